"""One layer from the registry to disk, in one go: downloaded, verified, decompressed, verified again and unpacked.

The download appends to a file of the content store.  The unpacker follows that file as it grows, so a layer that
an earlier pull left half done is taken up where it broke off, memory stays flat, and neither side waits for the
other longer than it must.  Nothing unpacked becomes visible before both digests are right.
"""

from __future__ import annotations

import os
import threading
import time

from wherry.errors import Cancelled, Unavailable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from wherry.engine.progress import Progress
    from wherry.store.content import Writer

_SHOW_EVERY = 0.05


class Restarted(Unavailable):
    """The download began again from the start, and what was read of it so far is worth nothing."""


class Growing:
    """A blob while it is written: a `registry.fetch.Writer` on one side, `Follower` streams on the other."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self._news = threading.Condition()
        self.generation = 0
        self._end = False
        self._error: BaseException | None = None

    @property
    def offset(self) -> int:
        """Bytes that are there."""
        return self._writer.offset

    @offset.setter
    def offset(self, _value: int) -> None:
        raise AttributeError("offset follows what is written")

    def write(self, piece: bytes) -> None:
        """Appends."""
        self._writer.write(piece)
        with self._news:
            self._news.notify_all()

    def restart(self) -> None:
        """Begins again; followers get `Restarted`."""
        with self._news:
            self._writer.restart()
            self.generation += 1
            self._news.notify_all()

    def commit(self) -> None:
        """Verifies and makes visible; followers come to the end."""
        self._writer.commit()
        with self._news:
            self._end = True
            self._news.notify_all()

    def fail(self, error: BaseException) -> None:
        """Followers get ``error``."""
        with self._news:
            self._error = error
            self._news.notify_all()

    def wait(self, position: int, generation: int) -> bool:
        """Waits for bytes at ``position``; False at the end of the verified blob."""
        with self._news:
            while True:
                if self._error is not None:
                    raise Cancelled("the download was given up") from self._error
                if self.generation != generation:
                    raise Restarted("the download began again")
                if self._writer.offset > position:
                    return True
                if self._end:
                    return False
                self._news.wait()

    def follow(self) -> Follower:
        """A stream over the blob from its first byte on."""
        with self._news:
            return Follower(self, self._writer.reader(), self.generation)


class Follower:
    """Reads a `Growing` blob from the start; the end is reported only when the blob has been verified."""

    def __init__(self, growing: Growing, fd: int, generation: int) -> None:
        self._growing = growing
        self._fd = fd
        self._generation = generation
        self.position = 0

    def read(self, size: int, /) -> bytes:
        """Up to ``size`` bytes, waiting for the first; nothing at the end."""
        while True:
            piece = os.pread(self._fd, size, self.position)
            if self._growing.generation != self._generation:
                raise Restarted("the download began again")
            if piece:
                self.position += len(piece)
                return piece
            if not self._growing.wait(self.position, self._generation):
                return b""

    def close(self) -> None:
        """Lets the file go."""
        os.close(self._fd)


class Whole:
    """Reads a blob that is here; ``show`` is told how far it has been read."""

    def __init__(self, path: str, show: Callable[[int], None] | None = None) -> None:
        self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self._show = show
        self.position = 0

    def read(self, size: int, /) -> bytes:
        """Up to ``size`` bytes; nothing at the end."""
        piece = os.read(self._fd, size)
        self.position += len(piece)
        if self._show is not None:
            self._show(self.position)
        return piece

    def close(self) -> None:
        """Lets the file go."""
        os.close(self._fd)


class Meter:
    """Tells `Progress` about bytes, but not more often than anybody can see."""

    def __init__(self, progress: Progress, item: str, total: int) -> None:
        self._progress = progress
        self._item = item
        self._total = total
        self._shown = 0.0

    def __call__(self, current: int) -> None:
        now = time.monotonic()
        if now - self._shown >= _SHOW_EVERY:
            self._shown = now
            self._progress.advance(self._item, current, self._total)


class Crew:
    """Runs jobs in a few threads; the first failure stops them all.

    ``stop`` is called once when a job fails or the caller is interrupted; jobs look at `stopped` where they wait.
    """

    def __init__(self, size: int, stop: Callable[[], None]) -> None:
        self._size = size
        self._stop = stop
        self._lock = threading.Lock()
        self._jobs: list[Callable[[], None]] = []
        self.error: BaseException | None = None

    def check(self) -> None:
        """Raises `Cancelled` when the whole is being given up."""
        if self.error is not None:
            raise Cancelled("given up because another part failed")

    def fail(self, error: BaseException) -> None:
        """Gives the whole up because of ``error``, unless it has been already."""
        with self._lock:
            first = self.error is None
            if first:
                self.error = error
        if first:
            self._stop()

    def run(self, jobs: list[Callable[[], None]]) -> None:
        """Runs every job and waits.  Raises the first failure after all threads have ended."""
        self._jobs = list(reversed(jobs))
        threads = [threading.Thread(target=self._work, daemon=True) for _ in range(min(self._size, len(jobs)))]
        try:
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        except BaseException as error:  # KeyboardInterrupt
            self.fail(error)
            for thread in threads:
                if thread.ident is not None:
                    thread.join()
            raise
        if self.error is not None:
            raise self.error

    def _work(self) -> None:
        while self.error is None:
            with self._lock:
                if not self._jobs:
                    return
                job = self._jobs.pop()
            try:
                job()
            except BaseException as error:
                self.fail(error)
