"""Mount options of the runtime specification (config.md, "Linux mount options") as mount attributes."""

from __future__ import annotations

from wherry.errors import NotSupported
from wherry.linux import mount as m
from wherry.record import Record

#: option → (attributes to set, attributes to clear); each also exists with ``r`` in front, for the whole tree.
_ATTRIBUTES: dict[str, tuple[int, int]] = {
    "ro": (m.ATTR_RDONLY, 0),
    "rw": (0, m.ATTR_RDONLY),
    "nosuid": (m.ATTR_NOSUID, 0),
    "suid": (0, m.ATTR_NOSUID),
    "nodev": (m.ATTR_NODEV, 0),
    "dev": (0, m.ATTR_NODEV),
    "noexec": (m.ATTR_NOEXEC, 0),
    "exec": (0, m.ATTR_NOEXEC),
    "nodiratime": (m.ATTR_NODIRATIME, 0),
    "diratime": (0, m.ATTR_NODIRATIME),
    "noatime": (m.ATTR_NOATIME, m.ATTR_ATIME),
    "atime": (m.ATTR_RELATIME, m.ATTR_ATIME),
    "relatime": (m.ATTR_RELATIME, m.ATTR_ATIME),
    "norelatime": (m.ATTR_STRICTATIME, m.ATTR_ATIME),
    "strictatime": (m.ATTR_STRICTATIME, m.ATTR_ATIME),
    "nostrictatime": (m.ATTR_RELATIME, m.ATTR_ATIME),
    "nosymfollow": (m.ATTR_NOSYMFOLLOW, 0),
    "symfollow": (0, m.ATTR_NOSYMFOLLOW),
}
PROPAGATION: dict[str, int] = {
    "private": m.MS_PRIVATE,
    "rprivate": m.MS_PRIVATE | m.MS_REC,
    "slave": m.MS_SLAVE,
    "rslave": m.MS_SLAVE | m.MS_REC,
    "shared": m.MS_SHARED,
    "rshared": m.MS_SHARED | m.MS_REC,
    "unbindable": m.MS_UNBINDABLE,
    "runbindable": m.MS_UNBINDABLE | m.MS_REC,
}
#: A part of the source, found in it when it is mounted and through no link (util-linux mount(8) has it as well).
SUBDIRECTORY = "X-mount.subdir="
_WITHOUT_MEANING = ("defaults", "loud", "silent", "acl", "noacl", "iversion", "noiversion", "async", "nomand")


class Options(Record):
    """``mounts[].options`` taken apart; what is not known here is ``data`` for the file system."""

    set: int = 0
    clear: int = 0
    deep_set: int = 0
    deep_clear: int = 0
    bind: bool = False
    recursive: bool = False
    idmap: bool = False
    idmap_deep: bool = False
    propagation: int = 0
    remount: bool = False
    subdirectory: str = ""
    data: tuple[str, ...] = ()


def parse(options: list[str] | tuple[str, ...]) -> Options:
    """Take a mount's options apart; later ones win.  Raises NotSupported for ``tmpcopyup``."""
    top = [0, 0]
    deep = [0, 0]
    found: dict[str, int] = {}
    propagation = 0
    data: list[str] = []
    subdirectory = ""
    for option in options:
        if option in _ATTRIBUTES:
            _apply(top, *_ATTRIBUTES[option])
        elif option[:1] == "r" and option[1:] in _ATTRIBUTES:
            _apply(deep, *_ATTRIBUTES[option[1:]])
        elif option in PROPAGATION:
            propagation = PROPAGATION[option]
        elif option in ("bind", "rbind", "idmap", "ridmap", "remount"):
            found[option] = 1
        elif option.startswith(SUBDIRECTORY):
            subdirectory = option[len(SUBDIRECTORY) :]
        elif option == "tmpcopyup":
            raise NotSupported("the mount option tmpcopyup is not supported", hint="mount a volume instead")
        elif option not in _WITHOUT_MEANING:
            data.append(option)
    return Options(
        set=top[0],
        clear=top[1] & ~top[0],
        deep_set=deep[0],
        deep_clear=deep[1] & ~deep[0] | (deep[0] & m.ATTR_ATIME and m.ATTR_ATIME),
        bind="bind" in found or "rbind" in found,
        recursive="rbind" in found,
        idmap="idmap" in found or "ridmap" in found,
        idmap_deep="ridmap" in found,
        propagation=propagation,
        remount="remount" in found,
        subdirectory=subdirectory,
        data=tuple(data),
    )


def _apply(current: list[int], set_bits: int, clear_bits: int) -> None:
    current[0] = current[0] & ~clear_bits | set_bits
    current[1] = current[1] & ~set_bits | clear_bits


def with_atime_cleared(set_bits: int, clear_bits: int) -> int:
    """The ``attr_clr`` for mount_setattr(2) next to ``set_bits``: an access-time mode replaces the whole field."""
    if set_bits & m.ATTR_ATIME or clear_bits & m.ATTR_ATIME:
        return clear_bits | m.ATTR_ATIME
    return clear_bits
