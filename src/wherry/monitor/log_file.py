"""The file under a log: appended to, rotated, and honest about what a full disk did not take.

What cannot be written is counted, in the extended attribute ``user.wherry.lost`` of the file too, which needs no
room on most file systems, and told in the log itself as soon as there is room again.  A record that was written in
part is taken back, by whoever opens the file next where the machine lost power: what follows would be no record either.
Rotated files are ``LOG.1``, ``LOG.2``, the older the higher; compressed, ``LOG.2.gz``.
"""

from __future__ import annotations

import posix
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Protocol

    class Records(Protocol):
        """How records follow each other in a file; every record ends somewhere."""

        def end_at(self, records: bytes, least: int, /) -> int:
            """The first end of a record that is at or after ``least``, which is more than 0."""

        def end_before(self, records: bytes, most: int, /) -> int:
            """The last end of a record that is at or before ``most``; 0 for none."""

        def count(self, records: bytes, /) -> int:
            """How many there are."""

        def record(self, text: str, now: int, /) -> bytes:
            """A line of our own."""

        def whole(self, file: int, size: int, /) -> int:
            """How many of the ``size`` bytes of a file, from its beginning, are whole records."""


LOST = "user.wherry.lost"
"""The extended attribute: how many lines the log has lost, as decimal digits."""

_FLAGS = posix.O_WRONLY | posix.O_CREAT | posix.O_APPEND | posix.O_CLOEXEC | posix.O_NOFOLLOW
_MODE = 0o640
_NOTE_SECONDS = 1.0  # between two writes of the attribute


class LogFile:
    """``max_size`` (bytes; -1: any) is checked before each record, so a file may end a record later.  ``kept`` are the
    `values` of the same file in another process, which had it open.

    Raises OSError when it cannot be opened; nothing else raises.
    """

    def __init__(
        self,
        path: str,
        records: Records,
        *,
        max_size: int = -1,
        max_files: int = 1,
        compress: bool = False,
        kept: tuple[Any, ...] | None = None,
    ) -> None:
        self._path = path
        self._records = records
        self._max_size = max_size
        self._max_files = max_files
        self._compress = compress
        self._compressing = 0  # pid of the child that does
        self._untold = 0
        self._noted = 0.0
        self._reason = ""
        self._taken = 0
        self.fd: int
        if kept is not None:
            self.fd, self._size, self.lost, self._untold, self._reason, self._compressing = kept
            return
        self.fd = posix.open(path, _FLAGS, _MODE)
        self._size = posix.fstat(self.fd).st_size
        self.lost = lost_lines(self.fd) if self._size else 0
        if self._size:
            self._take_back()

    def _take_back(self) -> None:
        """Cut off what is no whole record at the end."""
        file = posix.open(self._path, posix.O_RDONLY | posix.O_CLOEXEC | posix.O_NOFOLLOW)
        try:
            whole = self._records.whole(file, self._size)
        finally:
            posix.close(file)
        if whole < self._size:
            self._cut(whole)
            self._size = whole
            self.lose(1, "its record was incomplete")

    def values(self) -> tuple[Any, ...]:
        """What is ``kept`` for another process with the same descriptors."""
        return self.fd, self._size, self.lost, self._untold, self._reason, self._compressing

    def append(self, records: bytes) -> None:
        """Write whole records, or count them as lost."""
        if self._untold and not self._tell():
            self._lose(records)
            return
        while records:
            if 0 < self._max_size <= self._size:
                self._rotate()
            end = len(records)
            if 0 < self._max_size < self._size + end:
                end = self._records.end_at(records, self._max_size - self._size)
            if not self._write(records[:end] if end < len(records) else records):
                self._lose(records[self._taken :] if self._taken else records)
                return
            records = records[end:]

    def _write(self, records: bytes) -> bool:
        """Whether all were written; if not, ``_taken`` says how many bytes of whole records were."""
        written = 0
        try:
            while written < len(records):
                written += posix.write(self.fd, records[written:] if written else records)
        except OSError as error:
            self._reason = (error.strerror or str(error)).lower()
            self._taken = self._records.end_before(records, written) if written else 0
            if written > self._taken:
                self._cut(self._size + self._taken)
            self._size += self._taken
            return False
        self._size += written
        return True

    def _cut(self, size: int) -> None:
        try:
            posix.ftruncate(self.fd, size)
        except OSError:
            pass  # readers leave out what is no record

    def _lose(self, records: bytes) -> None:
        self.lose(self._records.count(records), self._reason)

    def lose(self, count: int, reason: str) -> None:
        """So many lines are missing here."""
        self._reason = reason
        self.lost += count
        self._untold += count
        now = time.monotonic()
        if now - self._noted >= _NOTE_SECONDS:
            self._noted = now
            self._note()

    def _note(self) -> None:
        try:
            posix.setxattr(self.fd, LOST, b"%d" % self.lost)
        except OSError:
            pass  # a file system without: the log tells when it can

    def _tell(self) -> bool:
        """Say in the log what is missing here, if there is room for that."""
        lines = "1 line was" if self._untold == 1 else f"{self._untold} lines were"
        text = f"wherry: {lines} not logged: {self._reason}"
        if not self._write(self._records.record(text, time.time_ns())):
            return False
        self._untold = 0
        self._note()
        return True

    def _rotate(self) -> None:
        """Begin a new file.  Where that fails the old one goes on."""
        self._wait_for_compression()
        try:
            if self._max_files > 1:
                from wherry.monitor.log_rotation import shift

                shift(self._path, self._max_files)
            else:
                posix.unlink(self._path)  # not cut: whoever reads it reads it to its end
            fd = posix.open(self._path, _FLAGS, _MODE)
        except OSError:
            return
        posix.close(self.fd)
        self.fd, self._size = fd, posix.fstat(fd).st_size
        if self.lost:
            self._note()
        if self._compress and self._max_files > 1:
            from wherry.monitor.log_rotation import compress_apart

            self._compressing = compress_apart(f"{self._path}.1")

    def _wait_for_compression(self) -> None:
        pid, self._compressing = self._compressing, 0
        if pid:
            try:
                posix.waitpid(pid, 0)
            except ChildProcessError:
                pass

    def close(self) -> None:
        """Say what is lost, if there is room now, and let go of the file."""
        if self._untold:
            self._tell()
            self._note()
        posix.close(self.fd)
        self._wait_for_compression()


def lost_lines(file: int | str) -> int:
    """How many lines a log has lost, as far as its file remembers."""
    try:
        text = posix.getxattr(file, LOST)
    except OSError:
        return 0
    return int(text) if text.isdigit() else 0
