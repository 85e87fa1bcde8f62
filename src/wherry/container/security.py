"""``--security-opt``: what it says, and what follows from it (docker-run(1), "Security options")."""

from __future__ import annotations

from wherry.errors import InvalidArgument
from wherry.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wherry.container.options import ContainerOptions

_LABEL_KEYS = ("user", "role", "type", "level", "filetype")
_TRUE = ("1", "t", "T", "TRUE", "true", "True")
_FALSE = ("0", "f", "F", "FALSE", "false", "False")


class Security(Record):
    """The security options of one container.

    ``seccomp`` is "" for the default profile, "unconfined", or the text of a profile.  ``apparmor`` is "" for the
    host's default profile.  ``labels`` are SELinux ("type", "svirt_t") pairs.
    """

    seccomp: str = ""
    apparmor: str = ""
    labels: tuple[tuple[str, str], ...] = ()
    label_disabled: bool = False
    no_new_privileges: bool = False
    unconfined_paths: bool = False
    writable_cgroups: bool = False


PLAIN = Security()


def parse(options: ContainerOptions) -> Security:
    """``options.security_opt`` with what ``privileged`` implies.  Raises `InvalidArgument` in Docker's words."""
    if not options.security_opt and not options.privileged:
        return PLAIN
    found: dict[str, object] = {}
    labels: list[tuple[str, str]] = []
    for text in options.security_opt:
        _one(text, found, labels)
    if options.privileged:
        found.setdefault("seccomp", "unconfined")
        found.setdefault("apparmor", "unconfined")
        found["label_disabled"] = True
        found["unconfined_paths"] = True
        found.setdefault("writable_cgroups", True)
    return Security(labels=tuple(labels), **found)  # type: ignore[arg-type]


def _one(text: str, found: dict[str, object], labels: list[tuple[str, str]]) -> None:
    if text == "no-new-privileges":
        found["no_new_privileges"] = True
        return
    if text == "disable":
        found["label_disabled"] = True
        return
    key, equals, value = text.partition("=")
    if not equals:
        key, equals, value = text.partition(":")  # the older spelling
    if not equals:
        raise InvalidArgument(
            f'invalid --security-opt 1: "{text}"', hint="write KEY=VALUE, for example seccomp=unconfined"
        )
    if key == "label":
        _label(value, found, labels)
    elif key == "apparmor":
        found["apparmor"] = value
    elif key == "seccomp":
        found["seccomp"] = "" if value == "builtin" else value
    elif key in ("no-new-privileges", "writable-cgroups"):
        if value not in _TRUE + _FALSE:
            raise InvalidArgument(f'invalid --security-opt 2: "{text}"', hint="write true or false")
        found[key.replace("-", "_")] = value in _TRUE
    elif key == "systempaths" and value == "unconfined":
        found["unconfined_paths"] = True
    else:
        raise InvalidArgument(
            f'invalid --security-opt 2: "{text}"',
            hint="known are apparmor, label, no-new-privileges, seccomp, systempaths=unconfined and writable-cgroups",
        )


def _label(value: str, found: dict[str, object], labels: list[tuple[str, str]]) -> None:
    if value == "disable":
        found["label_disabled"] = True
        return
    kind, colon, what = value.partition(":")
    if not colon or kind not in _LABEL_KEYS or not what:
        raise InvalidArgument(
            f'bad label option "{value}", valid options are "disable" or '
            '"user, role, level, type, filetype" followed by ":" and a value'
        )
    labels.append((kind, what))


def selinux(security: Security, container_id: str) -> tuple[str, str]:
    """(process label, mount label) on a host that enforces SELinux; both empty when disabled for this container.

    The category pair comes from the container's id, so that two containers do not reach each other's files.
    """
    if security.label_disabled:
        return "", ""
    first, second = int(container_id[:8], 16) % 1024, int(container_id[8:16], 16) % 1023
    if second >= first:
        second += 1
    low, high = sorted((first, second))
    parts = {"user": "system_u", "role": "system_r", "type": "container_t", "level": f"s0:c{low},c{high}"}
    parts["filetype"] = "container_file_t"
    parts.update(security.labels)
    process = f"{parts['user']}:{parts['role']}:{parts['type']}:{parts['level']}"
    return process, f"{parts['user']}:object_r:{parts['filetype']}:{parts['level']}"
