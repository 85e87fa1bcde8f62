"""Opening paths that somebody else chose (openat2(2)): inside a directory, through no trick."""

from __future__ import annotations

import errno
import os
from _struct import pack

from wherry.linux.syscall import call, failed

NO_XDEV = 0x01
NO_MAGICLINKS = 0x02
NO_SYMLINKS = 0x04
BENEATH = 0x08
IN_ROOT = 0x10

_DIRECTORY = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
#: Attempts when the kernel says that the tree changed under a lookup (EAGAIN).
_ATTEMPTS = 64


def open_in(root: int, path: str | bytes, flags: int, resolve: int = IN_ROOT, mode: int = 0) -> int:
    """Open ``path`` as if ``root`` were ``/``; magic links such as ``/proc/self/fd/3`` are never followed.

    The descriptor closes on exec.  Raises `CallError`: ELOOP for a refused link, EXDEV for an escape.
    """
    how = pack("=QQQ", flags | os.O_CLOEXEC, mode, resolve | NO_MAGICLINKS)
    name = os.fsencode(path) + b"\0"
    for _ in range(_ATTEMPTS):
        try:
            return call("openat2", root, name, how, 24)
        except OSError as error:
            if error.errno not in (errno.EAGAIN, errno.EINTR):
                raise
    raise failed("openat2", errno.EAGAIN)


def make_directories(root: int, path: str | bytes, resolve: int = IN_ROOT, mode: int = 0o755) -> int:
    """An O_PATH descriptor of the directory ``path`` inside ``root``; what is missing of it is made.

    Each missing part is made in a directory that is held open, so nothing that changes the tree meanwhile can lead
    the creation outside of it.
    """
    try:
        return open_in(root, path, _DIRECTORY, resolve)
    except OSError as error:
        if error.errno != errno.ENOENT:
            raise
    above, _, name = os.fsdecode(path).rstrip("/").rpartition("/")
    if name in ("", ".", ".."):
        raise failed("openat2", errno.EINVAL)
    if above:
        parent = make_directories(root, above, resolve, mode)
    else:
        parent = open_in(root, "/" if resolve & IN_ROOT else ".", _DIRECTORY, resolve)
    try:
        return _make_one(parent, name, mode)
    finally:
        os.close(parent)


def _make_one(parent: int, name: str, mode: int) -> int:
    try:
        os.mkdir(name, mode, dir_fd=parent)
    except FileExistsError:
        pass
    # what was just made (or found, had another been faster) must be a directory here, not a link elsewhere
    return open_in(parent, name, _DIRECTORY, BENEATH | NO_SYMLINKS)


def make_file(root: int, path: str | bytes, resolve: int = IN_ROOT, mode: int = 0o644) -> int:
    """An O_PATH descriptor of the file ``path`` inside ``root``; an empty one is made where nothing is."""
    try:
        return open_in(root, path, os.O_PATH, resolve)
    except OSError as error:
        if error.errno != errno.ENOENT:
            raise
    directory, _, name = os.fsdecode(path).rstrip("/").rpartition("/")
    if name in ("", ".", ".."):
        raise failed("openat2", errno.EINVAL)
    parent = make_directories(root, directory or "/", resolve)
    try:
        flags = os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_WRONLY | os.O_CLOEXEC
        os.close(os.open(name, flags, mode, dir_fd=parent))
        return open_in(parent, name, os.O_PATH, BENEATH | NO_SYMLINKS)
    finally:
        os.close(parent)
