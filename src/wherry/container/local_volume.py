"""The options of the ``local`` volume driver: what is mounted where a volume's data is (mount(8)).

``type``, ``device`` and ``o`` are those of mount(8).  A bind (``o=bind``) needs no mount: the device is the data.
"""

from __future__ import annotations

from wherry.errors import InvalidArgument, NotSupported
from wherry.linux import mount
from wherry.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

_KNOWN = ("type", "device", "o", "size")
_NEEDS = {"device": ("type",), "type": ("device",), "o": ("device", "type")}
_BIND = ("bind", "rbind")
_ATTRIBUTES = {
    "ro": mount.ATTR_RDONLY,
    "nosuid": mount.ATTR_NOSUID,
    "nodev": mount.ATTR_NODEV,
    "noexec": mount.ATTR_NOEXEC,
    "noatime": mount.ATTR_NOATIME,
    "strictatime": mount.ATTR_STRICTATIME,
    "nodiratime": mount.ATTR_NODIRATIME,
}
_NOTHING = ("", "rw", "defaults", "relatime", "suid", "dev", "exec", "atime", "async", "diratime")


class Local(Record):
    """``kind`` is the type of file system, "" for a plain directory or a bind, of which ``device`` is the source;
    ``options`` are the file system's own, ``attributes`` the mount's (``ATTR_*``)."""

    kind: str = ""
    device: str = ""
    options: tuple[str, ...] = ()
    attributes: int = 0
    read_only: bool = False


def parse(options: Mapping[str, str]) -> Local:
    """Raises `InvalidArgument` in Docker's words, `NotSupported` for a size limit, which needs quotas."""
    for name in options:
        if name not in _KNOWN:
            raise InvalidArgument(f'invalid option: "{name}"', hint="the local driver has type, device and o")
    if "size" in options:
        raise NotSupported("quota size requested but no quota support", hint="use type=tmpfs with o=size=...")
    for name, needed in _NEEDS.items():
        for other in needed:
            if name in options and other not in options:
                raise InvalidArgument(f'missing required option: "{other}"')
    if not options:
        return Local()
    kind, device = options["type"], options["device"]
    words = options.get("o", "").split(",")
    if any(word in _BIND for word in words):
        _check_bind(kind, device, words)
        return Local("", device, read_only="ro" in words)
    if kind in ("", "none", "bind"):
        raise InvalidArgument(f'a volume of type "{kind}" needs the option bind', hint="add --opt o=bind")
    found, attributes = [], 0
    for word in words:
        if word in _ATTRIBUTES:
            attributes |= _ATTRIBUTES[word]
        elif word not in _NOTHING:
            found.append(word)
    if kind.startswith("nfs") and not any(word.startswith("addr=") for word in words):
        raise InvalidArgument("a volume of type nfs needs the server's address", hint="add addr=SERVER to --opt o=")
    return Local(kind, device, tuple(found), attributes, "ro" in words)


def _check_bind(kind: str, device: str, words: list[str]) -> None:
    if not device.startswith("/"):
        raise InvalidArgument(f"the device of a bind is an absolute path, not {device!r}")
    other = [word for word in words if word not in (*_BIND, *_NOTHING, "ro")]
    if other:
        raise NotSupported(f"a volume that is a bind cannot have the option {other[0]}", hint="it can have ro")
    if kind not in ("", "none", "bind"):
        raise InvalidArgument(f'a bind has the type none, not "{kind}"')
