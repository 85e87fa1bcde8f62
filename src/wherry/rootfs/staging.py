"""Layers while they are written: directories that get their name when they are complete and durable.

<hex of the id>/                     complete
.staging-<hex>-<random>/             one that is written, locked (flock(2)) by its writer
.removing-<hex>-<random>/            one that is removed
"""

from __future__ import annotations

import errno
import fcntl
import os

from wherry.linux import trees
from wherry.store.layout import translate

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType

STAGING = ".staging-"
REMOVING = ".removing-"


class DirectoryStaging:
    """A directory of ``layers`` while it is written (`wherry.rootfs.Staging`)."""

    def __init__(self, layers: str, name: str, *, sync: bool = True) -> None:
        self._layers = layers
        self._name = name
        self._committed = False
        self._sync = sync
        self.path, self.fd = self._make()

    def _make(self) -> tuple[str, int]:
        while True:
            path = f"{self._layers}/{STAGING}{self._name}-{os.urandom(6).hex()}"
            os.mkdir(path, 0o700)
            try:
                fd = os.open(path, trees.DIRECTORY)
            except FileNotFoundError:
                continue  # swept before it was locked
            fcntl.flock(fd, fcntl.LOCK_EX)
            if os.fstat(fd).st_nlink:
                os.fchmod(fd, 0o700)
                return path, fd
            os.close(fd)

    def __enter__(self) -> DirectoryStaging:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._committed:
            discard(self.path)
        os.close(self.fd)

    def commit(self) -> None:
        """Make it durable, unless somebody else sees to that, then visible (docs/decisions/0041-layer-durability.md).

        Raises `StorageFull`, `SystemFailure`.
        """
        from wherry.linux import sync

        try:
            if self._sync:
                sync.file_system(self.fd)
            try:
                os.rename(self.path, f"{self._layers}/{self._name}")
            except OSError as error:
                if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):
                    raise
                return
            self._committed = True
            if self._sync:
                sync_directory(self._layers)
        except OSError as error:
            raise translate(error, "keep a layer") from error


def sync_directory(path: str) -> None:
    """Make the names in a directory durable."""
    fd = os.open(path, trees.DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def discard(path: str) -> None:
    """Remove a directory and everything in it."""
    directory, _, name = path.rpartition("/")
    fd = os.open(directory, trees.HANDLE)
    try:
        trees.remove(name, dir_fd=fd)
    finally:
        os.close(fd)


def remove(layers: str, name: str) -> None:
    """Remove the directory ``name``; nothing there is fine.  It disappears at once, its files afterwards.

    Raises `SystemFailure`.
    """
    aside = set_aside(layers, name)
    try:
        if aside:
            discard(aside)
    except OSError as error:
        raise translate(error, "remove a layer") from error


def set_aside(layers: str, name: str) -> str:
    """Take the name away from the directory ``name``: the path by which to `discard` it, empty when it was not there.

    Raises `SystemFailure`.
    """
    aside = f"{layers}/{REMOVING}{name}-{os.urandom(6).hex()}"
    try:
        os.rename(f"{layers}/{name}", aside)
    except FileNotFoundError:
        return ""
    except OSError as error:
        raise translate(error, "remove a layer") from error
    return aside


def discard_alone(path: str) -> None:
    """`discard` what was set aside, while no `sweep` does."""
    try:
        fd = os.open(path, trees.DIRECTORY)
    except FileNotFoundError:
        return
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        discard(path)
    except BlockingIOError:
        return
    finally:
        os.close(fd)


def sweep(layers: str) -> int:
    """Remove what writers and removers that died have left; how many directories that were.

    Those that another process still writes are locked, and stay.  Raises `SystemFailure`.
    """
    count = 0
    for name in os.listdir(layers):
        if not name.startswith((STAGING, REMOVING)):
            continue
        path = f"{layers}/{name}"
        try:
            fd = os.open(path, trees.DIRECTORY)
        except FileNotFoundError:
            continue
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            discard(path)
            count += 1
        except BlockingIOError:
            continue
        except OSError as error:
            raise translate(error, "remove an unfinished layer") from error
        finally:
            os.close(fd)
    return count
