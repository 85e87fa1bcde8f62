"""Locks between processes, and between the threads of one: flock(2) on a file made for the purpose.

A lock ends with its holder, however that ends.  Lock files live in the part of the state that a reboot clears.
"""

from __future__ import annotations

import fcntl
import os
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

_NAP = 0.05  # seconds between two attempts to get it; the first ones come sooner


class Lock:
    """``with Lock(path):`` holds ``path`` alone; with ``shared``, along with others who share.

    Waits without limit.  ``waiting`` is called about twenty times a second meanwhile; what it raises ends the wait.
    ``fd`` is the open lock file while it is held, else -1.
    """

    __slots__ = ("_path", "_shared", "_waiting", "fd")

    def __init__(self, path: str, *, shared: bool = False, waiting: Callable[[], None] | None = None) -> None:
        self._path = path
        self._shared = shared
        self._waiting = waiting
        self.fd = -1

    def acquire(self) -> None:
        """Waits until the lock is held."""
        nap = 0.001
        while not self.try_acquire():
            if self._waiting is not None:
                self._waiting()
            time.sleep(nap)
            nap = min(nap * 2, _NAP)

    def try_acquire(self) -> bool:
        """Takes the lock if it can be had at once."""
        how = fcntl.LOCK_SH if self._shared else fcntl.LOCK_EX
        while True:
            fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            try:
                fcntl.flock(fd, how | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(fd)
                return False
            except BaseException:
                os.close(fd)
                raise
            if is_named(fd, self._path):
                self.fd = fd
                return True
            os.close(fd)  # its last holder removed it meanwhile

    def release(self, *, remove: bool = False) -> None:
        """Lets go.  ``remove`` takes the file away too: only for a lock that is held alone."""
        if self.fd >= 0:
            if remove:
                os.unlink(self._path)
            os.close(self.fd)
            self.fd = -1

    def __enter__(self) -> Lock:
        self.acquire()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release(remove=not self._shared)


def is_held(path: str) -> bool:
    """Whether another process holds the lock ``path``."""
    try:
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return False
    except BlockingIOError:
        return True
    finally:
        os.close(fd)


def is_named(fd: int, path: str) -> bool:
    """Whether ``path`` is still the name of the open file ``fd``."""
    try:
        named = os.lstat(path)
    except FileNotFoundError:
        return False
    held = os.fstat(fd)
    return (named.st_dev, named.st_ino) == (held.st_dev, held.st_ino)
