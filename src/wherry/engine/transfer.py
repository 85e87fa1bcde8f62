"""One layer from the registry to disk, in one go: downloaded, verified, decompressed, verified again and unpacked.

The download appends to a file of the content store.  The unpacker, in another process (`wherry.engine.hands`), follows
that file as it grows, so a layer that an earlier pull left half done is taken up where it broke off, memory stays flat,
and neither side waits for the other longer than it must.  Nothing unpacked becomes visible before both digests are
right.
"""

from __future__ import annotations

import os
import threading
import time
from mmap import mmap
from struct import Struct

from wherry.errors import Cancelled, Unavailable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from wherry.engine.progress import Progress
    from wherry.store.content import Writer

_SHOW_EVERY = 0.05

GROWING, WHOLE, GIVEN_UP = range(3)
_HEAD, _POSITION, _STATE = Struct("=II"), Struct("=q"), Struct("=IIq")
_POSITION_AT = _HEAD.size


class Restarted(Unavailable):
    """The download began again from the start, and what was read of it so far is worth nothing."""


class Shared:
    """What the two sides of a blob that is being written know of it, in whatever processes they are: a few bytes of
    memory that forked processes have together, and a descriptor to wait on."""

    __slots__ = ("_event", "_memory")

    def __init__(self) -> None:
        self._memory = mmap(-1, _STATE.size)
        self._event = os.eventfd(0, os.EFD_CLOEXEC)

    @property
    def generation(self) -> int:
        """How often the blob was begun again."""
        return int(_STATE.unpack_from(self._memory)[0])

    @property
    def state(self) -> int:
        """`GROWING`, `WHOLE` (and verified) or `GIVEN_UP`."""
        return int(_STATE.unpack_from(self._memory)[1])

    @property
    def position(self) -> int:
        """How far the blob has been read."""
        return int(_STATE.unpack_from(self._memory)[2])

    @position.setter
    def position(self, value: int) -> None:
        _POSITION.pack_into(self._memory, _POSITION_AT, value)

    def tell(self, state: int = GROWING, *, again: bool = False) -> None:
        """Says that there is more, or what came of it; ``again``: that it begins from the start."""
        _HEAD.pack_into(self._memory, 0, self.generation + again, state)
        os.eventfd_write(self._event, 1)

    def wait(self) -> None:
        """Waits until something was told since the last wait."""
        os.eventfd_read(self._event)

    def reset(self, state: int) -> None:
        """Makes it that of another blob."""
        _STATE.pack_into(self._memory, 0, 0, state, 0)

    def close(self) -> None:
        """Lets it go."""
        os.close(self._event)
        self._memory.close()


class Growing:
    """A blob while it is written: a `registry.fetch.Writer` on one side, a `Follower` on the other.

    The memory ``shared`` is made before the process of the follower is forked.
    """

    def __init__(self, writer: Writer, shared: Shared) -> None:
        self._writer = writer
        self._shared = shared
        shared.reset(GROWING)

    @property
    def offset(self) -> int:
        """Bytes that are there."""
        return self._writer.offset

    @offset.setter
    def offset(self, _value: int) -> None:
        raise AttributeError("offset follows what is written")

    @property
    def generation(self) -> int:
        """How often it was begun again."""
        return self._shared.generation

    def write(self, piece: bytes) -> None:
        """Appends."""
        self._writer.write(piece)
        self._shared.tell()

    def restart(self) -> None:
        """Begins again; the follower gets `Restarted`."""
        self._writer.restart()
        self._shared.tell(again=True)

    def commit(self) -> None:
        """Verifies and makes visible; the follower comes to the end."""
        self._writer.commit()
        self._shared.tell(WHOLE)

    def fail(self) -> None:
        """The follower gets `Cancelled`."""
        self._shared.tell(GIVEN_UP)

    def reader(self) -> int:
        """A descriptor for a `Follower`, who closes it."""
        return self._writer.reader()


class Follower:
    """Reads a `Growing` blob from the start; the end is reported only when the blob has been verified.

    ``generation`` is the blob's at the time when ``fd`` was opened.
    """

    def __init__(self, fd: int, shared: Shared, generation: int = 0) -> None:
        self._shared = shared
        self._fd = fd
        self._generation = generation
        self._position = 0

    def read(self, size: int, /) -> bytes:
        """Up to ``size`` bytes, waiting for the first; nothing at the end."""
        shared = self._shared
        while True:
            state = shared.state  # before the bytes: what is whole has no more than they are
            piece = os.pread(self._fd, size, self._position)
            if shared.generation != self._generation:
                raise Restarted("the download began again")
            if state == GIVEN_UP:
                raise Cancelled("the download was given up")
            if piece:
                self._position += len(piece)
                shared.position = self._position
                return piece
            if state == WHOLE:
                return b""
            shared.wait()

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
        self._jobs: list[Callable[[], object]] = []
        self._threads: list[threading.Thread] = []
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

    def run(self, jobs: Sequence[Callable[[], object]]) -> None:
        """Runs every job and waits.  Raises the first failure after all threads have ended."""
        self.start(jobs)
        self.wait()
        if self.error is not None:
            raise self.error

    def start(self, jobs: Sequence[Callable[[], object]]) -> None:
        """Has the jobs run while the caller does something else; `wait` is to follow."""
        self._jobs = list(reversed(jobs))
        self._threads = [threading.Thread(target=self._work, daemon=True) for _ in range(min(self._size, len(jobs)))]
        try:
            for thread in self._threads:
                thread.start()
        except BaseException as error:  # KeyboardInterrupt
            self.fail(error)
            self.wait()
            raise

    def wait(self) -> None:
        """Waits until all threads have ended."""
        try:
            for thread in self._threads:
                if thread.ident is not None:
                    thread.join()
        except BaseException as error:  # KeyboardInterrupt
            self.fail(error)
            for thread in self._threads:
                thread.join()
            raise

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
