"""Reading a ``json-file`` log: also while it is written, and across its rotation.

A rotated log is ``LOG.1``, an older one ``LOG.2``, each perhaps compressed (``LOG.2.gz``).  A line without its end is
still being written; one that is not JSON was cut by a full disk and is left out.
"""

from __future__ import annotations

import os

from wherry.fastjson import JSONError, loads

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any, BinaryIO

_BLOCK = 1 << 18
_LINE_MOST = 1 << 20  # longer than any that we write: what has no end by then is no log


class Entry:
    """One line, or one piece of a long one."""

    __slots__ = ("_attributes", "stream", "text", "time")

    def __init__(self, document: dict[str, Any]) -> None:
        self.text: str = document["log"]
        self.stream = "stderr" if document["stream"] == "stderr" else "stdout"
        self.time = normal(document["time"])
        self._attributes: dict[str, str] = document.get("attrs") or {}

    @property
    def details(self) -> str:
        """What ``--details`` shows: ``name=value`` pairs, as in a URL."""
        if not self._attributes:
            return ""
        from urllib.parse import quote_plus

        return ",".join([f"{quote_plus(key)}={quote_plus(self._attributes[key])}" for key in sorted(self._attributes)])


def normal(time: str) -> str:
    """A UTC time with nine digits after the point: such texts are in the order of the times."""
    if len(time) == 30:
        return time
    whole, _point, fraction = time.removesuffix("Z").partition(".")
    return f"{whole}.{fraction[:9]:0<9}Z"


def parse(line: bytes) -> Entry | None:
    """The entry in a line; None for what is none."""
    try:
        return Entry(loads(line))
    except (JSONError, ValueError, TypeError, KeyError):
        return None


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
    return [*reversed(found), path] if os.path.exists(path) else list(reversed(found))


def _open(path: str) -> BinaryIO:
    if path.endswith(".gz"):
        import gzip

        return gzip.open(path)  # type: ignore[return-value]
    return open(path, "rb", buffering=0, opener=lambda name, flags: os.open(name, flags | os.O_CLOEXEC | os.O_NOFOLLOW))


class LogReader:
    """The entries of one container, from the beginning or the last ``tail`` ones; `read` goes on where it stopped."""

    def __init__(self, path: str, tail: int = -1) -> None:
        self._path = path
        self._file: BinaryIO | None = None
        self._rest = b""
        self._waiting: list[str] = []  # older files that are still to be read
        self._skip = 0  # lines at the beginning
        names = files(path)
        if tail < 0:
            self._waiting = names
        else:
            self._begin(names, tail)

    def _begin(self, names: list[str], tail: int) -> None:
        """Find the file, and the place in it, where the last ``tail`` lines begin."""
        for position in range(len(names) - 1, -1, -1):
            count = _count(names[position])
            if count >= tail or position == 0:
                self._waiting = names[position:]
                self._skip = max(count - tail, 0)
                return
            tail -= count

    def read(self) -> Iterator[list[Entry]]:
        """What has been written since, in pieces."""
        while True:
            if self._file is None and not self._next():
                return
            assert self._file is not None
            block = self._file.read(_BLOCK)
            if not block:
                if not self._rotated():
                    return
                continue
            *lines, self._rest = (self._rest + block).split(b"\n")
            if len(self._rest) > _LINE_MOST:
                self._rest = b""
            if self._skip:
                skipped = min(self._skip, len(lines))
                self._skip -= skipped
                lines = lines[skipped:]
            entries = [entry for entry in map(parse, lines) if entry is not None]
            if entries:
                yield entries

    def _next(self) -> bool:
        while self._waiting or os.path.exists(self._path):
            name = self._waiting.pop(0) if self._waiting else self._path
            try:
                self._file = _open(name)
            except FileNotFoundError:
                if name == self._path:
                    return False
                continue  # removed by rotation meanwhile
            self._rest = b""
            return True
        return False

    def _rotated(self) -> bool:
        """At the end of a file: go to the one that is next in time, if there is one."""
        assert self._file is not None
        here = os.fstat(self._file.fileno())
        names = files(self._path)
        for position, name in enumerate(names):
            try:
                found = os.stat(name)
            except FileNotFoundError:
                continue
            if (found.st_dev, found.st_ino) == (here.st_dev, here.st_ino):
                if position == len(names) - 1 and not name.endswith(".gz"):
                    if self._file.seekable() and found.st_size < self._file.tell():
                        self._file.seek(0)  # cut
                        return True
                    if name == self._path:
                        return False
                following = names[position + 1 :]
                break
        else:
            if not names:
                return False
            following = self._waiting or names[-1:]  # compressed or removed: what follows it is what is not read yet
        if not following:
            return False
        self._file.close()
        self._file = None
        self._waiting = following
        return True

    def close(self) -> None:
        """Let go of the file."""
        if self._file is not None:
            self._file.close()
            self._file = None


def _count(path: str) -> int:
    """Lines in a file; a last one that is being written is none."""
    count = 0
    try:
        with _open(path) as file:
            while block := file.read(_BLOCK):
                count += block.count(b"\n")
    except FileNotFoundError:
        pass
    return count
