"""Reading the files of a log: also while they are written, and across their rotation.

A rotated log is ``LOG.1``, an older one ``LOG.2``, each perhaps compressed (``LOG.2.gz``).  An entry without its end is
still being written.  The file that is read is found again by its inode number, which a compressed one remembers: so
nothing is read twice or left out, however often the log is rotated between two reads.
"""

from __future__ import annotations

import os

from wherry.monitor.log_records import FORMATS
from wherry.monitor.log_rotation import origin

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

    from wherry.monitor.log_records import Entry

_BLOCK = 1 << 18
_ATTEMPTS = 100  # to see the files between two rotations


def files(path: str) -> list[str]:
    """The log and what was rotated, the oldest first."""
    directory, _slash, base = path.rpartition("/")
    numbered: dict[int, str] = {}
    try:
        names = os.listdir(directory)
    except FileNotFoundError:
        return []
    for name in sorted(names, reverse=True):  # one that is compressed before the same one that is not
        number = name.removeprefix(f"{base}.").removesuffix(".gz")
        if name.startswith(f"{base}.") and number.isdigit():
            numbered[int(number)] = f"{directory}/{name}"
    found = [numbered[number] for number in sorted(numbered, reverse=True)]
    return [*found, path] if base in names else found


def _open(path: str) -> BinaryIO:
    plain = open(path, "rb", buffering=0, opener=lambda name, _flags: os.open(name, os.O_RDONLY | _OWN))
    if not path.endswith(".gz"):
        return plain
    import gzip

    return gzip.open(plain)  # type: ignore[return-value]


_OWN = os.O_CLOEXEC | os.O_NOFOLLOW


def _inodes(names: list[str]) -> list[int]:
    found = []
    for name in names:
        try:
            found.append(os.stat(name).st_ino)
        except FileNotFoundError:
            found.append(0)
    return found


class LogReader:
    """The entries of one log, from the beginning or the last ``tail`` ones; `read` goes on where it stopped."""

    def __init__(self, path: str, tail: int = -1, driver: str = "json-file") -> None:
        self._path = path
        self._format = FORMATS[driver]
        self._file: BinaryIO | None = None
        self._compressed = self._last_look = False
        self._rest = b""
        self._skip = 0  # entries at the beginning of the first file
        if tail >= 0:
            self._find_tail(tail)
        else:
            self._go_on()  # the log stays readable when its container is removed now

    def _find_tail(self, tail: int) -> None:
        """Go to where the last ``tail`` entries begin."""
        for _attempt in range(_ATTEMPTS):
            names = files(self._path)
            before = _inodes(names)
            left = tail
            for name in reversed(names):
                found = self._begin(name, left)
                if found >= left:
                    break
                left -= found
            if _inodes(files(self._path)) == before:  # no rotation meanwhile
                return

    def _begin(self, name: str, tail: int) -> int:
        """Go to where the last ``tail`` entries of a file begin; how many it has, at least."""
        try:
            self._adopt(_open(name), name)
        except FileNotFoundError:
            return 0
        assert self._file is not None
        if self._compressed:
            found = self._count(self._file)
            self._skip = max(found - tail, 0)
            self._file.seek(0)
            return found
        size, found = os.fstat(self._file.fileno()).st_size, 0
        if tail:
            start, found = self._format.from_end(self._file, size, tail)
        else:
            start = self._end_of(self._file, size)
        self._skip = 0
        self._file.seek(start)
        return found

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
            if self._file is None and not self._go_on():
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
            elif not self._newer():
                return
            elif not self._last_look:
                self._last_look = True  # for what was written before the rotation
            elif not self._go_on():
                return

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

    def _go_on(self) -> bool:
        """Go to the next file; False when there is none.  Names say which it is only as long as nobody rotates."""
        for _attempt in range(_ATTEMPTS):
            names = self._newer()
            if not names:
                return False
            try:
                file = _open(names[0])
                if _inodes(self._newer()[:1]) == [os.fstat(file.fileno()).st_ino]:
                    self._adopt(file, names[0])
                    return True
                file.close()
            except FileNotFoundError:
                continue
        return False

    def _adopt(self, file: BinaryIO, name: str) -> None:
        self.close()
        self._file, self._compressed = file, name.endswith(".gz")
        self._rest, self._last_look = b"", False

    def _newer(self) -> list[str]:
        """The files that follow the one that is read; all of them when there is none, or it has been removed.

        While it is open no other file has its inode number, unless it was compressed before this one was made.
        """
        names = files(self._path)
        if self._file is None:
            return names
        inode = os.fstat(self._file.fileno()).st_ino
        for position in range(len(names) - 1, -1, -1):
            name = names[position]
            try:
                same = origin(name) if name.endswith(".gz") and not self._compressed else os.stat(name).st_ino
            except OSError:
                continue
            if same == inode:
                return names[position + 1 :]
        return names

    def close(self) -> None:
        """Let go of the file."""
        if self._file is not None:
            self._file.close()
            self._file = None
