"""The grammars of ``--volume``, ``--mount`` and ``--tmpfs`` (docker-run(1))."""

from __future__ import annotations

import os

from wherry.container.options import MountOption
from wherry.container.parse import size
from wherry.errors import InvalidArgument

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

PROPAGATIONS = ("private", "rprivate", "shared", "rshared", "slave", "rslave")
_CONSISTENCY = ("consistent", "cached", "delegated", "default")
_GROUPS = (("ro", "rw"), ("z", "Z"), PROPAGATIONS, ("nocopy", "copy"), _CONSISTENCY)

_NO_VALUE = ("readonly", "ro", "volume-nocopy", "bind-nonrecursive", "bind-create-src")


def volume(text: str, *, driver: str = "") -> MountOption:
    """One ``-v``: ``[SOURCE:]TARGET[:OPTIONS]``; a SOURCE that begins with a slash is a path, any other a volume."""
    if not text:
        raise InvalidArgument("invalid empty volume spec")
    parts = text.split(":")
    if "" in parts:
        raise InvalidArgument(f"invalid spec: {text}: empty section between colons")
    if len(parts) > 3:
        raise InvalidArgument(f"invalid volume specification: '{text}'", hint="write [SOURCE:]TARGET[:OPTIONS]")
    mode = parts[2] if len(parts) == 3 else ""
    if len(parts) == 2 and _mode(parts[1]) is not None:
        raise InvalidArgument(f"invalid volume specification: '{text}'", hint="options need a source and a target")
    chosen = _mode(mode)
    if chosen is None:
        raise InvalidArgument(f"invalid mode: {mode}", hint="known are ro, rw, z, Z, nocopy and bind propagation")
    source, target = (parts[0], parts[1]) if len(parts) > 1 else ("", parts[0])
    kind = "bind" if source.startswith("/") else "volume"
    if kind == "volume" and chosen & set(PROPAGATIONS):
        raise InvalidArgument(f"invalid volume specification: '{text}': propagation is for binds")
    if kind == "bind" and chosen & {"nocopy", "copy"}:
        raise InvalidArgument(
            f"invalid volume specification: '{text}': invalid mount config for type \"bind\": "
            "field VolumeOptions must not be specified",
            hint="nocopy is for volumes",
        )
    if source and kind == "volume":
        volume_name(source)
    return MountOption(
        kind,
        check_target(target, f"invalid volume specification: '{text}': invalid mount config for type \"{kind}\": "),
        source=os.path.normpath(source) if kind == "bind" else source,
        read_only="ro" in chosen,
        bind_propagation="".join(chosen & set(PROPAGATIONS)),
        bind_create_mountpoint=kind == "bind",
        selinux_relabel="".join(chosen & {"z", "Z"}),
        volume_no_copy="nocopy" in chosen,
        volume_driver=driver if kind == "volume" else "",
    )


def absolute_source(text: str, directory: str) -> str:
    """``-v`` text with a source like ``./data`` or ``.`` made absolute from ``directory``; other text unchanged."""
    source, colon, rest = text.partition(":")
    if colon and (source in (".", "..") or source.startswith(("./", "../"))):
        return os.path.normpath(f"{directory}/{source}") + colon + rest
    return text


def _mode(text: str) -> set[str] | None:
    words = text.split(",") if text else []
    chosen = set(words)
    if len(chosen) != len(words) or not chosen <= {word for group in _GROUPS for word in group}:
        return None
    if any(len(chosen.intersection(group)) > 1 for group in _GROUPS):
        return None
    return chosen


def check_target(target: str, prefix: str = "") -> str:
    """``target`` without ``..`` and doubled slashes; refused, in words after ``prefix``, when relative or the root."""
    if not target.startswith("/"):
        raise InvalidArgument(f"{prefix}invalid mount path: '{target}' mount path must be absolute")
    clean = os.path.normpath("/" + target.lstrip("/"))
    if clean == "/":
        raise InvalidArgument(f"{prefix}invalid specification: destination can't be '/'")
    if "\0" in target:
        raise InvalidArgument("a mount path cannot hold a NUL character")
    return clean


def volume_name(name: str) -> str:
    """``name`` when it may name a volume."""
    if (
        not name[:1].isalnum()
        or not name.isascii()
        or not name.replace("_", "").replace(".", "").replace("-", "").isalnum()
    ):
        raise InvalidArgument(
            f'create {name}: "{name}" includes invalid characters for a local volume name, only '
            '"[a-zA-Z0-9][a-zA-Z0-9_.-]" are allowed. If you intended to pass a host directory, use absolute path'
        )
    if len(name) < 2:
        raise InvalidArgument(
            f"create {name}: volume name is too short, names should be at least two alphanumeric characters"
        )
    return name


def mount(text: str, directory: str = "/", *, check: bool = True) -> MountOption:
    """One ``--mount``: comma-separated ``key=value`` fields, quoted as in CSV; ``directory`` is where ``./`` begins.

    Without ``check`` only what Docker's client refuses is refused, and not yet what its daemon does (`check_mount`).
    """
    if not text:
        raise InvalidArgument("EOF")
    fields: dict[str, Any] = {"type": "volume", "target": ""}
    families: set[str] = set()
    for field in csv_fields(text):
        key, equals, value = field.partition("=")
        key = key.lower()
        if not equals and key not in _NO_VALUE:
            raise InvalidArgument(f"invalid field '{field}' must be a key=value pair")
        if value != value.strip():
            raise InvalidArgument(f"invalid option '{key}' in '{field}': value should not have whitespace")
        _mount_field(key, value if equals else "true", field, fields, directory)
        family = key.partition("-")[0]
        if family in ("bind", "volume", "tmpfs") and key != family:
            families.add(family)
    option = _mount_option(fields, families)
    return check_mount(option) if check else option


def _mount_field(key: str, value: str, field: str, fields: dict[str, Any], directory: str) -> None:
    if key == "type":
        fields["type"] = value.lower()
    elif key in ("source", "src"):
        relative = value in (".", "..") or value.startswith(("./", "../"))
        fields["source"] = os.path.normpath(f"{directory}/{value}") if relative else value
    elif key in ("target", "dst", "destination"):
        fields["target"] = value
    elif key in ("readonly", "ro"):
        fields["read_only"] = _boolean(key, value)
    elif key == "consistency":
        if value.lower() not in _CONSISTENCY:
            raise InvalidArgument(f"invalid value for {key}: {value}")
    elif key == "bind-propagation":
        fields["bind_propagation"] = value.lower()
    elif key == "bind-nonrecursive":
        fields["bind_non_recursive"] = _boolean(key, value)
    elif key == "bind-create-src":
        fields["bind_create_mountpoint"] = _boolean(key, value)
    elif key == "bind-recursive":
        _recursive(value, fields)
    elif key == "volume-nocopy":
        fields["volume_no_copy"] = _boolean(key, value)
    elif key in ("volume-label", "volume-opt"):
        name, _equals, what = value.partition("=")
        kind = "volume_labels" if key == "volume-label" else "volume_driver_options"
        fields[kind] = (*fields.get(kind, ()), (name, what))
    elif key == "volume-driver":
        fields["volume_driver"] = value
    elif key == "volume-subpath":
        fields["volume_subpath"] = value
    elif key == "tmpfs-size":
        fields["tmpfs_size_bytes"] = _converted(key, value, size)
    elif key == "tmpfs-mode":
        fields["tmpfs_mode"] = _converted(key, value, lambda text: int(text, 8))
    else:
        raise InvalidArgument(f"unexpected key '{key}' in '{field}'")


def _recursive(value: str, fields: dict[str, Any]) -> None:
    if value == "enabled":
        return
    names = {
        "disabled": "bind_non_recursive",
        "writable": "bind_read_only_non_recursive",
        "readonly": "bind_read_only_force_recursive",
    }
    if value not in names:
        raise InvalidArgument(
            f'invalid value for bind-recursive: {value} (must be "enabled", "disabled", "writable", or "readonly")'
        )
    fields[names[value]] = True


def _boolean(key: str, value: str) -> bool:
    if value not in ("1", "true", "0", "false"):
        raise InvalidArgument(
            f'invalid value for \'{key}\': invalid boolean value ("{value}"): must be one of "true", "1", "false", or '
            '"0" (default "true")'
        )
    return value in ("1", "true")


def _converted(key: str, value: str, convert: Any) -> int:
    try:
        number = int(convert(value))
    except (InvalidArgument, ValueError):
        raise InvalidArgument(f"invalid value for {key}: {value}") from None
    if number < 0:
        raise InvalidArgument(f"invalid value for {key}: {value}")
    return number


def _mount_option(fields: dict[str, Any], families: set[str]) -> MountOption:
    kind = fields["type"]
    if not kind:
        raise InvalidArgument("type is required")
    if not fields["target"]:
        raise InvalidArgument("target is required")
    for family in sorted(families):
        if family != kind:
            raise InvalidArgument(f"cannot mix '{family}-*' options with mount type '{kind}'")
    return MountOption(**fields)


def check_mount(option: MountOption) -> MountOption:
    """A mount as the API or the command line gave it, with a clean target; `InvalidArgument` for what cannot be."""
    kind, source = option.type, option.source
    prefix = f'invalid mount config for type "{kind}"'
    if kind not in ("bind", "volume", "tmpfs"):
        raise InvalidArgument(f"{prefix}: mount type unknown", hint="bind, volume or tmpfs")
    if not option.target:
        raise InvalidArgument(f"{prefix}: field Target must not be empty")
    target = check_target(option.target, f"{prefix}: ")
    if kind == "bind":
        if not source:
            raise InvalidArgument(f"{prefix}: field Source must not be empty")
        if not source.startswith("/"):
            raise InvalidArgument(f"{prefix}: invalid mount path: '{source}' mount path must be absolute")
        if option.bind_propagation and option.bind_propagation not in PROPAGATIONS:
            raise InvalidArgument(
                f"{prefix}: invalid propagation mode: {option.bind_propagation}",
                hint="one of " + ", ".join(PROPAGATIONS),
            )
        _check_recursive(option)
        return option.replace(target=target, source=os.path.normpath(source))
    if kind == "tmpfs":
        if source:
            raise InvalidArgument(f"{prefix}: field Source must not be specified")
        return option.replace(target=target)
    if source:
        volume_name(source)
    elif option.read_only:
        raise InvalidArgument(f"{prefix}: must not set ReadOnly mode when using anonymous volumes")
    if option.volume_subpath:
        if not source:
            raise InvalidArgument(f"{prefix}: must not set Subpath when using anonymous volumes")
        if option.volume_subpath.startswith("/") or ".." in option.volume_subpath.split("/"):
            raise InvalidArgument(f"{prefix}: subpath must be a relative path within the volume")
    return option.replace(target=target)


def _check_recursive(option: MountOption) -> None:
    if option.bind_read_only_non_recursive and not option.read_only:
        raise InvalidArgument("option 'bind-recursive=writable' requires 'readonly' to be specified in conjunction")
    if option.bind_read_only_force_recursive:
        if not option.read_only:
            raise InvalidArgument("option 'bind-recursive=readonly' requires 'readonly' to be specified in conjunction")
        if option.bind_propagation != "rprivate":
            raise InvalidArgument(
                "option 'bind-recursive=readonly' requires 'bind-propagation=rprivate' to be specified in conjunction"
            )


def tmpfs(text: str) -> tuple[str, str]:
    """``--tmpfs /run:size=64m,mode=1777`` as (destination, options)."""
    destination, _colon, options = text.partition(":")
    return check_target(destination), options


def csv_fields(text: str) -> list[str]:
    """One record of RFC 4180: fields may be quoted to hold commas, a quote is doubled inside."""
    fields: list[str] = []
    rest = text
    while True:
        if rest.startswith('"'):
            value, rest = _quoted(rest, text)
        else:
            value, comma, after = rest.partition(",")
            if '"' in value:
                raise InvalidArgument(f'parse error: bare " in non-quoted field: {text}')
            rest = comma + after
        fields.append(value)
        if not rest:
            return fields
        rest = rest[1:]


def _quoted(rest: str, text: str) -> tuple[str, str]:
    value, position = "", 1
    while True:
        end = rest.find('"', position)
        if end < 0:
            raise InvalidArgument(f'parse error: extraneous or missing " in quoted field: {text}')
        value += rest[position:end]
        if rest[end + 1 : end + 2] != '"':
            break
        value, position = value + '"', end + 2
    rest = rest[end + 1 :]
    if rest and rest[0] != ",":
        raise InvalidArgument(f'parse error: extraneous or missing " in quoted field: {text}')
    return value, rest
