"""What a container has changed: the upper directory of its overlay compared with the image below.

The words and rules are Docker's (``docker diff``): a path was added, changed or deleted; a directory counts as changed
when its mode or owner differ or when something in it was changed, a file also when its time or length differ.
"""

from __future__ import annotations

import errno
import os
import stat

from wherry.errors import NotSupported, SystemFailure
from wherry.layers.tree import MAX_DEPTH, MAX_NAME, shown
from wherry.linux import openat2, trees
from wherry.linux.ids import IdMap, inside
from wherry.record import Record

ADDED, CHANGED, DELETED = "A", "C", "D"

_OPAQUE = ("trusted.overlay.opaque", "user.overlay.opaque")
_WHITEOUT = ("trusted.overlay.whiteout", "user.overlay.whiteout")
#: What is in every container whether or not its image has it, so that its own mounts have a place: no change of it.
_OURS = frozenset(
    b".dockerenv dev dev/console dev/mqueue dev/pts dev/shm etc etc/hostname etc/hosts etc/resolv.conf proc sys".split()
)


class Change(Record):
    """One path, absolute in the container, with ``kind`` `ADDED`, `CHANGED` or `DELETED`."""

    kind: str
    path: bytes


def changes(upper: int, lower: int, ids: tuple[IdMap, ...] = (), *, touched: bool = False) -> list[Change]:
    """The changes in the directory ``upper`` against ``lower``, parents first, each directory's in order of names.

    ``ids`` is how the container's ids are kept in ``upper``; none: as they are.  With ``touched`` a file counts as
    changed as soon as it is in ``upper``, whatever its time and length say.  Raises `NotSupported` for trees that are
    too deep, `SystemFailure`.
    """
    comparison = _Comparison(lower, ids, touched)
    try:
        comparison.directory(upper, b"", 0, below=True, opaque=False)
    except OSError as error:
        where = f"comparing {shown(comparison.path)} with the image"
        raise SystemFailure(where, "read", error.errno or errno.EIO) from error
    return comparison.found


def is_opaque(fd: int) -> bool:
    """Whether a directory of an upper layer hides everything below."""
    return any(_attribute(fd, name) == b"y" for name in _OPAQUE)


def is_whiteout(directory: int, name: bytes, status: os.stat_result) -> bool:
    """Whether an entry of an upper directory says that what is below was deleted, in either of overlay's forms."""
    if stat.S_ISCHR(status.st_mode):
        return status.st_rdev == 0
    if not stat.S_ISREG(status.st_mode) or status.st_size:
        return False
    path = b"/proc/self/fd/%d/%b" % (directory, name)
    return any(_attribute(path, attribute) is not None for attribute in _WHITEOUT)


def _attribute(target: int | bytes, name: str) -> bytes | None:
    try:
        if isinstance(target, int):
            return os.getxattr(target, name)
        return os.getxattr(target, name, follow_symlinks=False)
    except OSError:
        return None


class _Comparison:
    def __init__(self, lower: int, ids: tuple[IdMap, ...], touched: bool) -> None:
        self._lower = lower
        self._ids = ids
        self._touched = touched
        self.found: list[Change] = []
        self.path = b""

    def directory(self, upper: int, path: bytes, depth: int, *, below: bool, opaque: bool) -> None:
        """Everything in one directory; ``below``: the image has it too, ``opaque``: but nothing of it shows."""
        if depth > MAX_DEPTH or len(path) > MAX_NAME:
            raise NotSupported(f"directories are nested too deep for a layer: {shown(path)}")
        names = sorted(map(os.fsencode, os.listdir(upper)))
        known = self._below(path, names, every=opaque) if below else {}
        for name in sorted({*names, *known}) if opaque else names:
            inside_path = path + b"/" + name if path else name
            self.path = inside_path
            try:
                status = os.stat(name, dir_fd=upper, follow_symlinks=False)
            except FileNotFoundError:
                status = None
            if status is None or is_whiteout(upper, name, status):
                if name in known:
                    self._add(DELETED, inside_path)
                continue
            self._entry(upper, name, inside_path, status, known.get(name), depth)

    def _entry(
        self, upper: int, name: bytes, path: bytes, status: os.stat_result, before: os.stat_result | None, depth: int
    ) -> None:
        is_directory = stat.S_ISDIR(status.st_mode)
        ours = before is None and path in _OURS and (is_directory or not status.st_size)
        kind = "" if ours else ADDED if before is None else CHANGED if self._differs(status, before) else ""
        if not is_directory:
            if not kind and self._touched and not ours:
                kind = CHANGED
            if kind:
                self._add(kind, path)
            return
        at = len(self.found)
        fd = os.open(name, trees.DIRECTORY, dir_fd=upper)
        try:
            was_directory = before is not None and stat.S_ISDIR(before.st_mode)
            self.directory(fd, path, depth + 1, below=was_directory, opaque=was_directory and is_opaque(fd))
        finally:
            os.close(fd)
        if kind or len(self.found) > at:
            self.found.insert(at, Change(kind or CHANGED, b"/" + path))

    def _add(self, kind: str, path: bytes) -> None:
        self.found.append(Change(kind, b"/" + path))

    def _below(self, path: bytes, names: list[bytes], *, every: bool) -> dict[bytes, os.stat_result]:
        """What the image has of these names, or all of them, in the directory ``path``."""
        flags = os.O_RDONLY | os.O_DIRECTORY
        fd = openat2.open_in(self._lower, path or b".", flags, openat2.BENEATH | openat2.NO_SYMLINKS)
        try:
            found = {}
            for name in map(os.fsencode, os.listdir(fd)) if every else names:
                try:
                    found[name] = os.stat(name, dir_fd=fd, follow_symlinks=False)
                except FileNotFoundError:
                    continue
            return found
        finally:
            os.close(fd)

    def _differs(self, now: os.stat_result, before: os.stat_result) -> bool:
        if (now.st_mode, now.st_rdev) != (before.st_mode, before.st_rdev):
            return True
        if (inside(self._ids, now.st_uid), inside(self._ids, now.st_gid)) != (before.st_uid, before.st_gid):
            return True
        if stat.S_ISDIR(now.st_mode):
            return False
        return now.st_size != before.st_size or not _same_time(now.st_mtime_ns, before.st_mtime_ns)


def _same_time(one: int, other: int) -> bool:
    """Layers keep whole seconds, and some file systems do."""
    second = 1_000_000_000
    return one == other or (one // second == other // second and not (one % second and other % second))
