"""Names of a layer to directory descriptors, inside the layer's root whatever the names and links say.

A name is walked one component at a time with O_NOFOLLOW, so the kernel never follows a symbolic link here; a link
that lies on the way is read and walked by the same rules, with the layer's root as ``/`` and as the parent of
itself: what openat2(2) calls RESOLVE_IN_ROOT, except that missing directories are made.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable

from wherry.errors import Corrupt
from wherry.linux.trees import HANDLE

_CACHED = 128
_MAX_LINKS = 40
MAX_NAME = 4095
MAX_DEPTH = 512


def shown(name: bytes) -> str:
    """A name for an error message: quoted, on one line."""
    text = repr(os.fsdecode(name))
    return text if len(text) <= 200 else text[:200] + "…'"


def clean(name: bytes) -> bytes:
    """A tar's name below the root: no leading ``/`` or ``./``, no ``..``; ``b""`` is the root itself.

    Raises `Corrupt` for a name that leaves the root or is too long or deep.
    """
    parts: list[bytes] = []
    for part in name.split(b"/"):
        if part == b"..":
            if not parts:
                raise Corrupt(f"layer has an entry outside of its root: {shown(name)}")
            parts.pop()
        elif part and part != b".":
            parts.append(part)
    path = b"/".join(parts)
    if len(path) > MAX_NAME or len(parts) > MAX_DEPTH or max(map(len, parts), default=0) > 255:
        raise Corrupt(f"layer has an entry whose name is too long: {shown(name)}")
    if b"\0" in path:
        raise Corrupt(f"layer has an entry whose name contains a zero byte: {shown(name)}")
    return path


class Tree:
    """Directories of a layer by name, most of them from a cache of open descriptors.

    ``make(fd, name, path)`` is called to make a missing directory ``name`` in the directory ``fd``; ``path`` is its
    whole name without links.
    """

    def __init__(self, root: int, make: Callable[[int, bytes, bytes], None]) -> None:
        self._root = root
        self._make = make
        self._open: dict[bytes, int] = {}
        #: Names that lead through links, with the names that they stand for.
        self.aliases: dict[bytes, bytes] = {}

    def close(self) -> None:
        """Close every descriptor but the root's, and forget what was seen."""
        for fd in self._open.values():
            os.close(fd)
        self._open.clear()
        self.aliases.clear()

    def directory(self, path: bytes, *, create: bool = True) -> int:
        """A descriptor (O_PATH) of the directory ``path``, which is `clean`.  It stays open until the next call.

        Raises FileNotFoundError when it is missing and ``create`` is false, `Corrupt` when something on the way
        cannot be a directory.
        """
        if not path:
            return self._root
        fd = self._open.get(path)
        if fd is not None:
            return fd
        return self._walk(path, create)

    def canonical(self, path: bytes) -> bytes:
        """The name without links of a directory that `directory` has just returned."""
        return self.aliases.get(path, path) if self.aliases else path

    def _walk(self, path: bytes, create: bool) -> int:
        pending = path.split(b"/")[::-1]
        done: list[bytes] = []
        links = 0
        fd = self._root
        while pending:
            part = pending.pop()
            if part in (b"", b"."):
                continue
            if part == b"..":
                if done:
                    done.pop()
                fd = self.directory(b"/".join(done))
                continue
            here = b"/".join([*done, part])
            cached = self._open.get(here)
            if cached is not None:
                fd = cached
                if here in self.aliases:
                    done = self.aliases[here].split(b"/") if self.aliases[here] else []
                else:
                    done.append(part)
                continue
            try:
                child = os.open(part, HANDLE, dir_fd=fd)
            except FileNotFoundError:
                if not create:
                    raise
                self._make(fd, part, here)
                child = os.open(part, HANDLE, dir_fd=fd)
            except NotADirectoryError:
                target = self._link(fd, part, here)
                if target is None:
                    if not create:
                        raise FileNotFoundError(part) from None
                    self._make(fd, part, here)
                    child = os.open(part, HANDLE, dir_fd=fd)
                else:
                    links += 1
                    if links > _MAX_LINKS or len(pending) > 8 * MAX_DEPTH:
                        raise Corrupt(f"layer has too many symbolic links on the way to {shown(path)}") from None
                    if target.startswith(b"/"):
                        done, fd = [], self._root
                    pending += target.split(b"/")[::-1]
                    continue
            self._keep(here, child)
            fd = child
            done.append(part)
            if len(done) > MAX_DEPTH:
                raise Corrupt(f"layer has an entry whose name is too long: {shown(path)}")
        real = b"/".join(done)
        if real != path:
            fd = os.dup(fd)
            self._keep(path, fd)
            self.aliases[path] = real
        return fd

    def _link(self, fd: int, part: bytes, here: bytes) -> bytes | None:
        """The target of a link, None for a whiteout, which a directory may replace."""
        status = os.stat(part, dir_fd=fd, follow_symlinks=False)
        if stat.S_ISLNK(status.st_mode):
            return os.readlink(part, dir_fd=fd)
        if stat.S_ISCHR(status.st_mode) and status.st_rdev == 0:
            return None
        raise Corrupt(f"layer has an entry below {shown(here)}, which is not a directory")

    def _keep(self, path: bytes, fd: int) -> None:
        if len(self._open) >= _CACHED:
            oldest = next(iter(self._open))
            os.close(self._open.pop(oldest))
            self.aliases.pop(oldest, None)
        self._open[path] = fd
