"""Extended attributes as EROFS keeps them beside an inode, and which of a tar's a file system would have taken.

On-disk format: Linux, fs/erofs/erofs_fs.h, ``erofs_xattr_ibody_header`` and what follows.  What an unpacked layer gets
goes through setxattr(2), where the kernel refuses some attributes and makes a mode of an access control list
(`wherry.layers.attributes.put` accepts that); here nobody but us checks.
"""

from __future__ import annotations

import stat
import struct

from wherry.errors import NotSupported
from wherry.layers import attributes

_HEADER = bytes(12)
_INDEXES = (("user.", 1), ("trusted.", 4), ("security.", 6))
_ACCESS, _DEFAULT = "system.posix_acl_access", "system.posix_acl_default"
_ACLS = {_ACCESS: 2, _DEFAULT: 3}
_MAX_VALUE = 0xFFFF
_MAX_COUNT = 0xFFFF
_CAPABILITY_2 = 0x02
_ACL_VERSION = 2
_USER_OBJ, _USER, _GROUP_OBJ, _GROUP, _MASK, _OTHER = 0x01, 0x02, 0x04, 0x08, 0x10, 0x20


def encode(xattrs: dict[str, bytes], mode: int, path: bytes) -> tuple[bytes, int]:
    """The attributes of a file of ``mode`` (with its type) as they follow its inode, and the mode that they leave.

    Raises `Corrupt` for more than a file can have, and `NotSupported` for what EROFS cannot hold.
    """
    parts = []
    for name, value in attributes.kept(xattrs, path).items():
        if name in _ACLS:
            mode, value = _access_list(name, value, mode)
            index, rest = _ACLS[name], b""
            if not value:
                continue
        else:
            prefix, index = next(pair for pair in _INDEXES if name.startswith(pair[0]))
            rest = name[len(prefix) :].encode("utf-8", "surrogateescape")
            if not rest or not _fits(name, value, mode):
                continue
        if len(value) > _MAX_VALUE or len(rest) > 255:
            raise NotSupported(f"an extended attribute of {len(value):,} bytes")
        entry = struct.pack("<BBH", len(rest), index, len(value)) + rest + value
        parts.append(entry + bytes(-len(entry) % 4))
    if not parts:
        return b"", mode
    whole = _HEADER + b"".join(parts)
    if (len(whole) - 8) // 4 > _MAX_COUNT:
        raise NotSupported(f"{len(whole):,} bytes of extended attributes on one file")
    return whole, mode


def _fits(name: str, value: bytes, mode: int) -> bool:
    """Whether setxattr(2) would have taken it: user attributes are for files and directories (xattr(7)), and the form
    of file capabilities is checked."""
    if name.startswith("user."):
        return stat.S_ISREG(mode) or stat.S_ISDIR(mode)
    if name == attributes.CAPABILITY:
        return len(value) == 20 and value[3] == _CAPABILITY_2
    return True


def _access_list(name: str, value: bytes, mode: int) -> tuple[int, bytes]:
    """The mode and the list as the kernel would keep them (acl(5)); an empty one where it would refuse or drop it."""
    if stat.S_ISLNK(mode) or (name == _DEFAULT and not stat.S_ISDIR(mode)):
        return mode, b""
    entries = _parse(value)
    if not entries:
        return mode, b""
    if name == _DEFAULT:
        return mode, value
    permissions = {tag: rights for tag, rights, _identity in entries}
    group = permissions.get(_MASK, permissions[_GROUP_OBJ])
    mode = mode & ~0o777 | permissions[_USER_OBJ] << 6 | group << 3 | permissions[_OTHER]
    trivial = len(entries) == 3
    return mode, b"" if trivial else value


def _parse(value: bytes) -> list[tuple[int, int, int]]:
    """The entries of a list (Linux, include/uapi/linux/posix_acl_xattr.h); nothing when it is not valid."""
    if len(value) < 4 or (len(value) - 4) % 8 or struct.unpack_from("<I", value) != (_ACL_VERSION,):
        return []
    entries = list(struct.iter_unpack("<HHI", value[4:]))
    tags = [tag for tag, _rights, _identity in entries]
    named = any(tag in (_USER, _GROUP) for tag in tags)
    single = all(tags.count(tag) == 1 for tag in (_USER_OBJ, _GROUP_OBJ, _OTHER))
    known = all(tag in (_USER_OBJ, _USER, _GROUP_OBJ, _GROUP, _MASK, _OTHER) for tag in tags)
    if not (single and known and tags == sorted(tags)) or tags.count(_MASK) not in ((1,) if named else (0, 1)):
        return []
    if any(rights & ~7 for _tag, rights, _identity in entries):
        return []
    return entries
