"""Reading the files of a log: also while they are written, and across their rotation.

A rotated log is ``LOG.1``, an older one ``LOG.2``, each perhaps compressed (``LOG.2.gz``).  An entry without its end is
still being written.  A file is known by its inode number, which a compressed one remembers: so nothing is read twice or
left out, however often the log is rotated between two reads.
"""

from __future__ import annotations

import os

from wherry.monitor.log_records import FORMATS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

    from wherry.monitor.log_records import Entry

_BLOCK = 1 << 18


def files(path: str) -> list[str]:
    """The log and what was rotated, the oldest first."""
    found: list[str] = []
    number = 1
    while True:
        name = next((name for name in (f"{path}.{number}", f"{path}.{number}.gz") if os.path.exists(name)), "")
        if not name:
            break
        found.append(name)
        number += 1
    found.reverse()
    return [*found, path] if os.path.exists(path) else found


def _open(path: str) -> BinaryIO:
    plain = open(path, "rb", buffering=0, opener=lambda name, _flags: os.open(name, os.O_RDONLY | _OWN))
    if not path.endswith(".gz"):
        return plain
    import gzip

    return gzip.open(plain)  # type: ignore[return-value,call-overload,no-any-return]


_OWN = os.O_CLOEXEC | os.O_NOFOLLOW


def _identity(path: str) -> int:
    """The inode number of a file, or of the one that it was compressed from; 0 when it has gone."""
    try:
        if path.endswith(".gz"):
            from wherry.monitor.log_rotation import origin

            return origin(path) or os.stat(path).st_ino
        return os.stat(path).st_ino
    except OSError:
        return 0


class LogReader:
    """The entries of one log, from the beginning or the last ``tail`` ones; `read` goes on where it stopped."""

    def __init__(self, path: str, tail: int = -1, driver: str = "json-file") -> None:
        self._path = path
        self._format = FORMATS[driver]
        self._file: BinaryIO | None = None
        self._inode = 0  # of the file that is read, or was read last
        self._rest = b""
        self._skip = 0  # entries at the beginning of the first file
        self._start = 0  # or the place where to begin in it
        self._first = 0  # its inode number
        self._last_look = self._compressed = False
        if tail >= 0:
            self._find_tail(tail)

    def _find_tail(self, tail: int) -> None:
        """Find the file, and the place in it, where the last ``tail`` entries begin."""
        for name in reversed(files(self._path)):
            try:
                file = _open(name)
            except FileNotFoundError:
                continue
            with file:
                self._first, self._start, self._skip = _identity(name), 0, 0
                if name.endswith(".gz"):
                    found = self._count(file)
                    self._skip = max(found - tail, 0)
                else:
                    size = os.fstat(file.fileno()).st_size
                    self._start, found = (
                        self._format.from_end(file, size, tail) if tail else (self._end_of(file, size), 0)
                    )
            if found >= tail:
                return
            tail -= found

    def _end_of(self, file: BinaryIO, size: int) -> int:
        """Where the next entry begins: an entry that is being written is one to come."""
        start, found = self._format.from_end(file, size, 1)
        if not found:
            return 0
        file.seek(start)
        return size - len(self._format.parse(file.read(size - start))[1])

    def _count(self, file: BinaryIO) -> int:
        count, rest = 0, b""
        while block := file.read(_BLOCK):
            found, rest = self._format.drop(rest + block, 1 << 62)
            count += found
        return count

    def read(self) -> Iterator[list[Entry]]:
        """What has been written since, in pieces."""
        while True:
            if self._file is None and not self._next():
                return
            assert self._file is not None
            try:
                block = self._file.read(_BLOCK)
            except EOFError:  # cut off by a full disk
                block = b""
            if block:
                yield from self._entries(self._rest + block)
            elif not self._compressed and os.fstat(self._file.fileno()).st_size < self._file.tell():
                self._file.seek(0)  # somebody has emptied it
                self._rest = b""
            elif self._last_look:
                self.close()
            elif self._is_newest():
                return
            else:
                self._last_look = True  # for what was written before the rotation

    def _entries(self, data: bytes) -> Iterator[list[Entry]]:
        if self._skip:
            dropped, data = self._format.drop(data, self._skip)
            self._skip -= dropped
            if self._skip:
                self._rest = data
                return
        found, self._rest = self._format.parse(data)
        if found:
            yield found

    def _next(self) -> bool:
        """Open the file that follows the one read last; the first one in the beginning."""
        names = files(self._path)
        for position in range(len(names) - 1, -1, -1):
            identity = _identity(names[position])
            if identity and identity in (self._inode, self._first):
                names = names[position + (identity == self._inode) :]
                break
        for name in names:
            try:
                self._file = _open(name)
            except FileNotFoundError:
                continue  # rotated or compressed meanwhile
            self._compressed = name.endswith(".gz")
            self._inode = _identity(name) if self._compressed else os.fstat(self._file.fileno()).st_ino
            if self._start and not self._compressed:
                self._file.seek(self._start)
            self._first, self._start, self._rest, self._last_look = 0, 0, b"", False
            return True
        return False

    def _is_newest(self) -> bool:
        names = files(self._path)
        return not names or _identity(names[-1]) in (0, self._inode)

    def close(self) -> None:
        """Let go of the file."""
        if self._file is not None:
            self._file.close()
            self._file = None
