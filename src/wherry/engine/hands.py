"""Processes that write the layers of a pull, each one layer at a time, while the pull itself downloads.

They are forked before the pull has a second thread, and share nothing that could keep one of them waiting for another:
threads of one interpreter take it from each other a hundred thousand times for 300 MB (decision 0153).  A hand that has
something to say sends one message with a memory file that holds it, of whatever size.  It ends with the pull, however
that ends.
"""

from __future__ import annotations

import gc
import os
import pickle
import signal
import socket
from contextlib import contextmanager
from functools import partial
from queue import SimpleQueue

from wherry import precompiled
from wherry.engine import afterwards
from wherry.engine.transfer import GIVEN_UP, WHOLE, Follower, Shared
from wherry.engine.unpack import Here
from wherry.engine.worker import answer_in, outcome_to
from wherry.errors import WherryError
from wherry.linux import prctl

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any, Self

    from wherry.engine.engine import Engine
    from wherry.layers.apply import ApplyOptions
    from wherry.store.layers import LayerRow
    from wherry.store.unsynced import Note

_LOOK_EVERY = 0.1
_JOB = 64 << 10


class Hands:
    """``count`` processes; a context manager that ends them.  The caller has a single thread, and no other child that
    it waits for with any id."""

    def __init__(self, engine: Engine, count: int, options: ApplyOptions, note: Note) -> None:
        self._all: list[Hand] = []
        self._free: SimpleQueue[Hand] = SimpleQueue()
        engine.will_fork()
        try:
            for _ in range(count):
                hand = Hand(engine, options, note, [one.socket for one in self._all])
                self._all.append(hand)
                self._free.put(hand)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends all of them, and waits until they have."""
        for hand in self._all:
            hand.end()
        for hand in self._all:
            hand.join()
        self._all.clear()

    def settle(self, note: Note) -> None:
        """Leaves it to a process of its own to sync what ``note`` names: nobody waits for that."""
        with self.one() as hand:
            hand.settle(note.fd)
        note.left = True

    @contextmanager
    def one(self) -> Iterator[Hand]:
        """One that is free, to be had alone; waits for it."""
        hand = self._free.get()
        try:
            yield hand
        finally:
            self._free.put(hand)


class Hand:
    """One of the processes: a `wherry.engine.unpack.Keeper` of the blob that `follow` or `read` named last.

    ``shared`` is its memory for a blob that grows, and tells how far it has read.
    """

    def __init__(self, engine: Engine, options: ApplyOptions, note: Note, others: list[socket.socket]) -> None:
        self.shared = Shared()
        self.socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._watch: Callable[[int], None] = _nothing
        self._fd = -1
        self._generation = 0
        parent = os.getpid()
        self.pid = os.fork()
        if self.pid:
            theirs.close()
            self.socket.settimeout(_LOOK_EVERY)
            return
        try:
            signal.signal(
                signal.SIGINT, signal.SIG_IGN
            )  # the terminal sends it to all: the pull says what becomes of it
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            prctl.set_parent_death_signal(signal.SIGKILL)
            for one in (self.socket, *others):
                one.close()
            if os.getppid() == parent:
                _work(engine, options, note, theirs, self.shared)
        finally:
            os._exit(0)

    def follow(self, fd: int) -> None:
        """The next blob is in the file ``fd``, which is taken over, and grows as ``shared`` tells."""
        self.let_go()
        self._fd, self._generation, self._watch = fd, self.shared.generation, _nothing

    def read(self, path: str, watch: Callable[[int], None]) -> None:
        """The next blob is the file ``path``, and whole; ``watch`` is told now and then how far it has been read."""
        self.let_go()
        self.shared.reset(WHOLE)
        self._fd, self._generation, self._watch = os.open(path, os.O_RDONLY | os.O_CLOEXEC), 0, watch

    def let_go(self) -> None:
        """Close the blob's file."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def keep(self, diff_id: str, unfit: str) -> LayerRow:
        """Writes the blob as the layer ``diff_id``."""
        found: LayerRow = self._ask("keep", diff_id, unfit)
        return found

    def diff_id(self) -> str:
        """The digest of what the blob decompresses to."""
        found: str = self._ask("diff_id")
        return found

    def settle(self, note_fd: int) -> None:
        """Forks the process that syncs: it has the note's descriptor from before."""
        self.follow(os.dup(note_fd))
        self._ask("settle")

    def _ask(self, *job: str) -> Any:
        socket.send_fds(self.socket, [pickle.dumps((self._generation, *job))], [self._fd])
        while True:
            try:
                fds = socket.recv_fds(self.socket, 1, 1)[1]
                break
            except TimeoutError:
                self._watch(self.shared.position)
        if not fds:
            raise WherryError("a process that writes layers has ended; it may have been killed for want of memory")
        try:
            return answer_in(fds[0])
        finally:
            os.close(fds[0])

    def end(self) -> None:
        """Tells it to stop, also in the middle of a blob."""
        self.let_go()
        self.shared.tell(GIVEN_UP)
        self.socket.close()

    def join(self) -> None:
        """Waits for its end."""
        os.waitpid(self.pid, 0)
        self.shared.close()


def _nothing(_position: int) -> None:
    """Whoever downloads shows what there is to see."""


def _work(engine: Engine, options: ApplyOptions, note: Note, channel: socket.socket, shared: Shared) -> None:
    """The process: one job after the other, until nobody has any."""
    gc.disable()  # a tree of 10,000 files has no cycles, and goes with the process
    while True:
        job, fds, _flags, _address = socket.recv_fds(channel, _JOB, 1)
        if not job:
            return
        generation, what, *arguments = pickle.loads(job)
        follower = Follower(fds[0], shared, generation)
        answer = os.memfd_create("answer", os.MFD_CLOEXEC)
        try:
            here = Here(engine, follower, options)
            function = partial(_settle, engine, note) if what == "settle" else getattr(here, what)
            outcome_to(answer, partial(function, *arguments))
            socket.send_fds(channel, [b"."], [answer])
        finally:
            follower.close()
            os.close(answer)


def _settle(engine: Engine, note: Note) -> None:
    """Forks a process that outlives the pull, syncs, does what else there is to do, and is gone."""
    engine.will_fork()
    if os.fork():
        return
    try:
        from wherry.monitor.main import leave_terminal

        leave_terminal([note.fd, *precompiled.descriptors()])
        note.settle()
        afterwards.work(engine, note.layers, note.blobs)
    finally:
        os._exit(0)
