"""What a layer's directories become when everything in them is there."""

from __future__ import annotations

import os

from wherry.layers import attributes
from wherry.linux import trees

_OPAQUE = {"overlay": "trusted.overlay.opaque", "overlay-user": "user.overlay.opaque"}


class Directory:
    """What a directory is to become.

    ``implied``: it has no entry of its own, or none yet.  ``opaque``: it hides what is in the same directory below.
    """

    __slots__ = ("gid", "implied", "mode", "mtime", "opaque", "uid", "xattrs")

    def __init__(self, mode: int, uid: int, gid: int, mtime: int, xattrs: dict[str, bytes]) -> None:
        self.mode, self.uid, self.gid, self.mtime, self.xattrs = mode, uid, gid, mtime, xattrs
        self.implied = True
        self.opaque = False


def finish(above: int, path: bytes, directory: Directory, own: bool, whiteouts: str) -> None:
    """Give the directory ``path``, which is in the directory ``above``, owner, mode, attributes and time.

    Raises OSError and `NotSupported`.
    """
    fd = os.open(path.rpartition(b"/")[2] or b".", trees.DIRECTORY, dir_fd=above)
    try:
        # the layer's own directory may have been given another group by the one around it
        if own and (not path or (directory.uid, directory.gid) != (os.geteuid(), os.getegid())):
            attributes.own(fd, directory.uid, directory.gid, path)
        os.fchmod(fd, directory.mode)
        if directory.xattrs:
            attributes.put(fd, directory.xattrs)
        if directory.opaque and path:
            os.setxattr(fd, _OPAQUE[whiteouts], b"y")
        os.utime(fd, ns=(directory.mtime, directory.mtime))
    finally:
        os.close(fd)
