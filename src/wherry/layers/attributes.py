"""Owners and extended attributes of a layer: which are kept, and in what form (xattr(7), capabilities(7))."""

from __future__ import annotations

import errno
import os

from wherry.errors import Corrupt, NotSupported
from wherry.layers.tree import shown

#: Longest value that Linux stores (XATTR_SIZE_MAX), and the most attributes of one file.
_MAX_VALUE = 64 << 10
_MAX_COUNT = 1000
#: A file system that has no such attributes, or a caller who may not set them, is no reason to refuse an image.
_IGNORED = (errno.EOPNOTSUPP, errno.EPERM)

CAPABILITY = "security.capability"
_ACLS = ("system.posix_acl_access", "system.posix_acl_default")
_REVISION_2, _REVISION_3 = 0x02, 0x03


def wanted(name: str) -> bool:
    """Whether a layer may set this attribute.

    Not the overlay's own (an image could redirect one directory to another), not labels and hashes that are the
    host's to give (SELinux, IMA, EVM, Smack).
    """
    if name.startswith("user."):
        return not name.startswith("user.overlay.")
    if name.startswith("trusted."):
        return not name.startswith("trusted.overlay.")
    return name == CAPABILITY or name in _ACLS


def kept(xattrs: dict[str, bytes], path: bytes) -> dict[str, bytes]:
    """The attributes to set on ``path``.  Raises `Corrupt` for ones that no file could have."""
    if len(xattrs) > _MAX_COUNT:
        raise Corrupt(f"layer has {len(xattrs):,} extended attributes on {shown(path)}")
    result = {}
    for name, value in xattrs.items():
        if len(value) > _MAX_VALUE:
            raise Corrupt(f"layer has an extended attribute of {len(value):,} bytes on {shown(path)}")
        if wanted(name):
            result[name] = plain_capability(value) if name == CAPABILITY else value
    return result


def plain_capability(value: bytes) -> bytes:
    """A file capability without the user namespace it was made for (revision 3 to revision 2).

    The kernel adds the right one when it is set inside a user namespace.
    """
    if len(value) == 24 and value[3] == _REVISION_3:
        return value[:3] + bytes([_REVISION_2]) + value[4:20]
    return value


def put(target: int | str | bytes, xattrs: dict[str, bytes]) -> None:
    """Set attributes on a descriptor, or on a name that is not followed.  Raises OSError."""
    for name, value in xattrs.items():
        try:
            if isinstance(target, int):
                os.setxattr(target, name, value)
            else:
                os.setxattr(target, name, value, follow_symlinks=False)
        except OSError as error:
            if error.errno not in _IGNORED and not (error.errno == errno.EINVAL and name in (*_ACLS, CAPABILITY)):
                raise


def own(target: int | bytes, uid: int, gid: int, path: bytes, dir_fd: int | None = None) -> None:
    """Give a descriptor, or a name in a directory that is not followed, its owner.

    Raises `NotSupported` for an owner that the user namespace does not have; ``path`` is for the message.
    """
    try:
        if dir_fd is None:
            os.chown(target, uid, gid)
        else:
            os.chown(target, uid, gid, dir_fd=dir_fd, follow_symlinks=False)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.EPERM, errno.EOVERFLOW):
            raise
        raise NotSupported(
            f"insufficient UIDs or GIDs available in user namespace (requested {uid}:{gid} for {shown(path)})",
            hint="give this user more subordinate ids in /etc/subuid and /etc/subgid",
        ) from None


def get(target: int | str | bytes) -> dict[str, bytes]:
    """The attributes of a file that belong into a layer."""
    follow = isinstance(target, int)
    result = {}
    try:
        names = os.listxattr(target) if follow else os.listxattr(target, follow_symlinks=False)
    except OSError as error:
        if error.errno in _IGNORED:
            return {}
        raise
    for name in names:
        if not wanted(name):
            continue
        try:
            value = os.getxattr(target, name) if follow else os.getxattr(target, name, follow_symlinks=False)
        except OSError as error:
            if error.errno in (errno.ENODATA, *_IGNORED):
                continue
            raise
        result[name] = plain_capability(value) if name == CAPABILITY else value
    return result
