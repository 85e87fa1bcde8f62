"""What became visible before it was synced: notes that outlive a crash (docs/decisions/0154-pulls-sync-afterwards.md).

unsynced/<boot id>.<random>          one note, locked by whoever is going to sync; the directory goes with the last one

While the kernel that a note was written under runs, everything is as it was written.  A note of an earlier boot says
that the machine went down before that reached the disk: nothing that it names may be trusted.
"""

from __future__ import annotations

import os

from wherry import fastjson
from wherry.linux import sync
from wherry.record import Record
from wherry.store.layout import make_private, sync_directory, translate
from wherry.store.locks import Lock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from wherry.store.layout import Layout


class Promise(Record):
    """What a note names: the layers as (digest of the blob, diff id), other blobs, and the image of all these."""

    layers: tuple[tuple[str, str], ...]
    blobs: tuple[str, ...]
    image: str


class Note:
    """A note: a context manager that syncs when it is left, unless that was `left` to somebody else.

    It is on disk when entering has ended.  Raises `StorageFull`, `SystemFailure`.
    """

    def __init__(self, layout: Layout, promise: Promise) -> None:
        self._directory = layout.unsynced
        self._promise = promise
        self._lock = Lock("")
        self.left = False

    def __enter__(self) -> Note:
        text = fastjson.dumps([self._promise.layers, self._promise.blobs, self._promise.image]).encode()
        try:
            self._lock = Lock(f"{self._directory}/{boot_id()}.{os.urandom(8).hex()}")
            while True:
                try:
                    make_private(self._directory)
                    self._lock.acquire()
                    break
                except FileNotFoundError:
                    continue  # the last one before went, and took the directory along
            os.pwrite(self._lock.fd, text, 0)
            os.fsync(self._lock.fd)
            sync_directory(self._directory)
            sync_directory(os.path.dirname(self._directory))
        except OSError as error:
            self._lock.release(remove=self._lock.fd >= 0)
            raise translate(error, "write a note") from error
        return self

    def __exit__(self, *_error: object) -> None:
        if self.left:
            os.close(self._lock.fd)  # whoever it was left to has it from us
        else:
            self.settle()

    @property
    def layers(self) -> tuple[tuple[str, str], ...]:
        """What it promises of layers (`Promise`)."""
        return self._promise.layers

    @property
    def blobs(self) -> tuple[str, ...]:
        """What it promises besides."""
        return self._promise.blobs

    @property
    def fd(self) -> int:
        """The open note: the lock is held as long as any process has it."""
        return self._lock.fd

    def settle(self) -> None:
        """Sync the store, and take the note away.  A note whose sync fails stays."""
        try:
            sync.file_system(self._lock.fd)
        except OSError:
            self._lock.release()
            return
        self._lock.release(remove=True)
        forget_directory(self._directory)


def boot_id() -> str:
    """The kernel's name for the time since it started (proc(5))."""
    with open("/proc/sys/kernel/random/boot_id", "rb", buffering=0) as file:
        return file.read().strip().decode()


def settle_left(layout: Layout) -> None:
    """Sync for those that died before they could."""
    for path in _notes(layout, ours=True):
        lock = Lock(path)
        try:
            free = lock.try_acquire()
        except FileNotFoundError:
            continue  # gone meanwhile, with the directory
        if free:
            sync.file_system(lock.fd)
            lock.release(remove=True)
    forget_directory(layout.unsynced)


def broken(layout: Layout) -> Iterator[tuple[Lock, Promise]]:
    """The notes of earlier boots, each with its lock, which the caller releases; waits for who is at work on one."""
    for path in _notes(layout, ours=False):
        lock = Lock(path)
        try:
            lock.acquire()
        except FileNotFoundError:
            continue  # gone meanwhile, with the directory
        text = os.pread(lock.fd, os.fstat(lock.fd).st_size, 0)
        if not text:  # cut short before anything had become visible, or taken care of by another process meanwhile
            lock.release(remove=True)
            continue
        layers, blobs, image = fastjson.loads(text.decode())
        yield lock, Promise(tuple((digest, diff_id) for digest, diff_id in layers), tuple(blobs), image)


def _notes(layout: Layout, *, ours: bool) -> Iterator[str]:
    try:
        names = os.listdir(layout.unsynced)
    except FileNotFoundError:
        return
    boot = boot_id()
    for name in names:
        if (name.partition(".")[0] == boot) is ours:
            yield f"{layout.unsynced}/{name}"


def forget_directory(path: str) -> None:
    """Remove the directory of notes when none is left: every command looks whether it is there."""
    try:
        os.rmdir(path)
    except OSError:
        pass
