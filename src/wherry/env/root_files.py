"""Small files below a root file system that is open, following no link."""

from __future__ import annotations

import os

from wherry.errors import Corrupt
from wherry.linux import openat2

FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK

_LIMIT = 64 << 20  # bytes of a file
_RESOLVE = openat2.IN_ROOT | openat2.NO_SYMLINKS


def names(root: int, path: str) -> list[str]:
    """What a directory has, sorted; nothing where it is none."""
    try:
        fd = openat2.open_in(root, path, os.O_RDONLY | os.O_DIRECTORY, _RESOLVE)
    except OSError:
        return []
    try:
        return sorted(os.listdir(fd))
    finally:
        os.close(fd)


def content(root: int, path: str) -> bytes:
    """The beginning of a file, as much of it as any file of a package should have.  Raises `Corrupt`."""
    try:
        fd = openat2.open_in(root, path, FILE, _RESOLVE)
    except OSError:
        raise Corrupt(f"/{path} is missing, or no file") from None
    with open(fd, "rb") as file:
        return file.read(_LIMIT)
