"""Small files below a root file system that is open, following no link."""

from __future__ import annotations

import os
import re

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


def named(root: int, path: str) -> tuple[str, str]:
    """The normalised name and the version of a package, from its METADATA.  Raises `Corrupt`.

    It is a message of RFC 822 with any line ends (packaging.python.org, "Core metadata specifications").
    """
    lines = content(root, path).decode(errors="replace").splitlines()
    fields: dict[str, str] = {}
    for line in lines[: lines.index("") if "" in lines else None]:
        key, colon, value = line.partition(":")
        if colon:
            fields.setdefault(key.strip().lower(), value.strip())
    return re.sub(r"[-_.]+", "-", fields.get("name", "")).lower(), fields.get("version", "")


def content(root: int, path: str) -> bytes:
    """The beginning of a file, as much of it as any file of a package should have.  Raises `Corrupt`."""
    try:
        fd = openat2.open_in(root, path, FILE, _RESOLVE)
    except OSError:
        raise Corrupt(f"/{path} is missing, or no file") from None
    with open(fd, "rb") as file:
        return file.read(_LIMIT)
