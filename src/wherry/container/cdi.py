"""Devices described by the host's Container Device Interface specs: ``--gpus`` and ``--device vendor/class=name``.

CDI 1.0 (https://github.com/cncf-tags/container-device-interface, SPEC.md).  Specs are files that the host's
administrator or a driver put into `DIRECTORIES`.  A device is asked for on the command line or in the API and nowhere
else: annotations and labels of images and containers name no device here (CVE-2026-53488, CVE-2026-53492).
"""

from __future__ import annotations

import os

from wherry import fastjson
from wherry.errors import Corrupt, InvalidArgument, NotFound, NotSupported

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from wherry.container.options import DeviceRequest

DIRECTORIES = ("/etc/cdi", "/var/run/cdi")  # a device in a later directory replaces the same one in an earlier
MAX_FILE = 16 << 20
_GPU_KINDS = (("nvidia", "nvidia.com/gpu"), ("amd", "amd.com/gpu"))
_S_IFMT, _S_IFREG, _S_IFCHR, _S_IFBLK, _S_IFIFO = 0o170000, 0o100000, 0o020000, 0o060000, 0o010000
_HOOKS = ("prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop")


class Registry:
    """The devices that the specs in ``directories`` describe.  Reading happens once, when it is made.

    A spec that cannot be read or understood is left out and kept in ``problems`` (path, reason): it must not stop
    containers that want other devices.
    """

    def __init__(self, directories: tuple[str, ...] = DIRECTORIES) -> None:
        self.devices: dict[str, dict[str, Any]] = {}  # "vendor/class=name" → containerEdits
        self.common: dict[str, tuple[str, dict[str, Any]]] = {}  # same → (spec's path, its own containerEdits)
        self.conflicts: set[str] = set()
        self.problems: list[tuple[str, str]] = []
        for directory in directories:
            self._read_directory(directory)

    def _read_directory(self, directory: str) -> None:
        here: set[str] = set()
        try:
            names = sorted(os.listdir(directory))
        except OSError:
            return
        for name in names:
            if not name.endswith((".json", ".yaml", ".yml")):
                continue
            path = f"{directory}/{name}"
            try:
                self._add(path, _load(path), here)
            except (Corrupt, OSError) as error:
                self.problems.append((path, str(error)))

    def _add(self, path: str, spec: dict[str, Any], here: set[str]) -> None:
        kind = spec.get("kind")
        if not isinstance(kind, str) or not _is_kind(kind):
            raise Corrupt(f"{path}: invalid kind {kind!r}")
        devices = spec.get("devices")
        if not isinstance(devices, list):
            raise Corrupt(f"{path}: no devices")
        for device in devices:
            name = device.get("name") if isinstance(device, dict) else None
            if not isinstance(name, str) or not _is_name(name):
                raise Corrupt(f"{path}: invalid device name {name!r}")
            full = f"{kind}={name}"
            if full in here:
                self.conflicts.add(full)
            else:
                self.conflicts.discard(full)
            here.add(full)
            self.devices[full] = _edits_of(device, path)
            self.common[full] = (path, _edits_of(spec, path))

    def kinds(self) -> set[str]:
        """Every ``vendor/class`` that has a device."""
        return {name.partition("=")[0] for name in self.devices}


def edits(requests: tuple[DeviceRequest, ...], registry: Registry | None = None) -> dict[str, Any]:
    """The containerEdits for all ``requests`` in one, device numbers filled in from the host.

    ``registry`` is what the host's specs describe unless given.
    Raises `NotFound` for a device that no spec describes, `InvalidArgument` for one that two specs of one directory do.
    """
    if registry is None:
        registry = Registry()
    merged: dict[str, Any] = {}
    seen_specs: set[str] = set()
    names = list(dict.fromkeys([name for request in requests for name in device_names(request, registry)]))
    missing = [name for name in names if name not in registry.devices]
    if missing:
        message = f"CDI device injection failed: unresolvable CDI devices {', '.join(missing)}"
        problems = "; ".join([reason for _path, reason in registry.problems])
        hint = f"unreadable specs: {problems}" if problems else f"specs are looked for in {' and '.join(DIRECTORIES)}"
        raise NotFound("device", missing[0], message, hint=hint)
    for name in names:
        if name in registry.conflicts:
            raise InvalidArgument(f"CDI device injection failed: more than one spec describes {name}")
        path, common = registry.common[name]
        _merge(merged, registry.devices[name])
        if path not in seen_specs:
            seen_specs.add(path)
            _merge(merged, common)
    for node in merged.get("deviceNodes", ()):
        _complete(node)
    return merged


def device_names(request: DeviceRequest, registry: Registry) -> list[str]:
    """The full CDI names that one request stands for."""
    if request.driver == "cdi":
        if request.count:
            raise InvalidArgument("cannot use count with the cdi device driver")
        for name in request.device_ids:
            kind, equals, device = name.partition("=")
            if not equals or not _is_kind(kind) or not _is_name(device):
                raise InvalidArgument(f"invalid CDI device name: {name}", hint="write VENDOR/CLASS=NAME")
        return list(request.device_ids)
    if request.options:
        raise NotSupported("options of a GPU request need a vendor's runtime; CDI has none")
    known = registry.kinds()
    kinds = [kind for driver, kind in _GPU_KINDS if request.driver in ("", driver) and kind in known]
    wants_gpu = not request.capabilities or any("gpu" in group for group in request.capabilities)
    if not kinds or not wants_gpu:
        shown = " ".join(["[" + " ".join(group) + "]" for group in request.capabilities])
        raise NotFound(
            "device driver",
            request.driver,
            f'could not select device driver "{request.driver}" with capabilities: [{shown}]',
            hint="no CDI spec has it; nvidia-ctk cdi generate --output=/etc/cdi/nvidia.yaml describes NVIDIA's",
        )
    kind = kinds[0]
    if request.device_ids:
        return [device if "=" in device else f"{kind}={device}" for device in request.device_ids]
    if request.count < 0:
        if f"{kind}=all" in registry.devices:
            return [f"{kind}=all"]
        return sorted(name for name in registry.devices if name.startswith(f"{kind}="))
    return [f"{kind}={index}" for index in range(request.count)]


def apply(spec: dict[str, Any], found: dict[str, Any]) -> None:
    """Carries out ``found`` (from `edits`) on an OCI runtime spec, in place."""
    process, linux = spec["process"], spec["linux"]
    for entry in found.get("env", ()):
        name = entry.partition("=")[0] + "="
        process["env"] = [old for old in process["env"] if not old.startswith(name)] + [entry]
    for node in found.get("deviceNodes", ()):
        device = {key: node[key] for key in ("path", "type", "major", "minor", "fileMode", "uid", "gid") if key in node}
        linux.setdefault("devices", [])
        linux["devices"] = [old for old in linux["devices"] if old["path"] != node["path"]] + [device]
        rules = linux["resources"].get("devices")
        if rules is not None and node["type"] in ("c", "b"):
            rule = {"allow": True, "type": node["type"], "major": node["major"], "minor": node["minor"]}
            rules.append({**rule, "access": node.get("permissions") or "rwm"})
    for mount in found.get("mounts", ()):
        options = list(mount.get("options") or ["rbind", "ro"])
        kind = mount.get("type") or "bind"
        if kind == "bind" and not {"bind", "rbind"} & set(options):
            options.insert(0, "rbind")
        destination = os.path.normpath("/" + mount["containerPath"].lstrip("/"))
        spec["mounts"] = [old for old in spec["mounts"] if old["destination"] != destination]
        spec["mounts"].append(
            {"destination": destination, "type": kind, "source": mount["hostPath"], "options": options}
        )
    for hook in found.get("hooks", ()):
        made = {key: hook[key] for key in ("path", "args", "env", "timeout") if hook.get(key)}
        spec.setdefault("hooks", {}).setdefault(hook["hookName"], []).append(made)
    groups = process["user"].setdefault("additionalGids", [])
    groups += [gid for gid in found.get("additionalGids", ()) if gid and gid not in groups]
    if found.get("intelRdt"):
        linux["intelRdt"] = found["intelRdt"]


def _load(path: str) -> dict[str, Any]:
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        status = os.fstat(descriptor)
        if status.st_mode & _S_IFMT != _S_IFREG or status.st_size > MAX_FILE:
            raise Corrupt(f"{path}: not a regular file of at most {MAX_FILE} bytes")
        content = b""
        while chunk := os.read(descriptor, MAX_FILE):
            content += chunk
    finally:
        os.close(descriptor)
    try:
        document = fastjson.loads(content) if path.endswith(".json") else _yaml(content)
    except ValueError as error:
        raise Corrupt(f"{path}: {str(error).splitlines()[0]}") from None
    if not isinstance(document, dict):
        raise Corrupt(f"{path}: not a CDI spec")
    return document


def _yaml(content: bytes) -> Any:
    import yaml

    try:
        return yaml.load(content, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except (yaml.YAMLError, RecursionError) as error:
        raise ValueError(str(error)) from None


def _edits_of(holder: dict[str, Any], path: str) -> dict[str, Any]:
    """The containerEdits in ``holder``, of the right types.  Raises `Corrupt`."""
    found = holder.get("containerEdits") or {}
    if not isinstance(found, dict):
        raise Corrupt(f"{path}: containerEdits is not an object")
    for key, required in (("deviceNodes", ("path",)), ("mounts", ("hostPath", "containerPath")), ("hooks", ("path",))):
        entries = found.get(key) or []
        if not isinstance(entries, list):
            raise Corrupt(f"{path}: {key} is not a list")
        for entry in entries:
            if not isinstance(entry, dict) or not all(isinstance(entry.get(name), str) for name in required):
                raise Corrupt(f"{path}: an entry of {key} lacks {' or '.join(required)}")
            if key == "hooks" and (entry.get("hookName") not in _HOOKS or not entry["path"].startswith("/")):
                raise Corrupt(f"{path}: invalid hook {entry.get('hookName')!r}")
    environment = found.get("env") or []
    if not isinstance(environment, list) or not all(isinstance(entry, str) and "=" in entry for entry in environment):
        raise Corrupt(f"{path}: env is not a list of NAME=value")
    return found


def _merge(merged: dict[str, Any], found: dict[str, Any]) -> None:
    for key in ("env", "mounts", "hooks", "additionalGids"):
        if found.get(key):
            merged.setdefault(key, []).extend(found[key])
    for node in found.get("deviceNodes") or ():
        merged.setdefault("deviceNodes", []).append(dict(node))
    if found.get("intelRdt"):
        merged["intelRdt"] = found["intelRdt"]


def _complete(node: dict[str, Any]) -> None:
    """Fills in type, numbers and mode of a device node from the host's device."""
    host = node.pop("hostPath", None) or node["path"]
    if node.get("type") in ("c", "b", "u") and node.get("major") is not None and node.get("minor") is not None:
        node["type"] = "c" if node["type"] == "u" else node["type"]
        return
    try:
        status = os.stat(host)
    except OSError as error:
        raise NotFound(
            "device", host, f"CDI device injection failed: {host}: {os.strerror(error.errno or 0).lower()}"
        ) from None
    kind = {_S_IFCHR: "c", _S_IFBLK: "b", _S_IFIFO: "p"}.get(status.st_mode & _S_IFMT)
    if kind is None:
        raise InvalidArgument(f"CDI device injection failed: {host} is not a device")
    node["type"] = kind
    if kind != "p":
        node["major"], node["minor"] = os.major(status.st_rdev), os.minor(status.st_rdev)
    node.setdefault("fileMode", status.st_mode & 0o777)


def _is_kind(text: str) -> bool:
    vendor, slash, device_class = text.partition("/")
    letters = vendor.replace(".", "").replace("-", "").replace("_", "")
    return bool(slash) and letters.isalnum() and vendor[:1].isalpha() and _is_name(device_class)


def _is_name(text: str) -> bool:
    """``[A-Za-z0-9]`` at both ends, ``-_.:`` allowed between."""
    if not text or not text.isascii() or not text[0].isalnum() or not text[-1].isalnum():
        return False
    return all(character.isalnum() or character in "-_.:" for character in text)
