"""The blobs: compressed layers, manifests and configurations, each a file named by its digest.

Together with ``oci-layout`` and ``index.json`` (see `index`) they are an OCI image layout that skopeo, umoci and crane
read.  A blob is written aside in ``ingest/``, and appears under its name only when its digest and its size are right
and it is on disk.  What an interrupted download leaves in ``ingest/`` is taken up again by the next.

A blob that can be made again out of its layer may be dropped: then ``recipes/`` has a file of its name that says how,
and whoever reads the blob has it made (docs/decisions/0039-compressed-layers-are-kept.md).
"""

from __future__ import annotations

import os
from io import FileIO

from wherry import fastjson
from wherry.errors import Corrupt, NotFound
from wherry.oci import digest as digests
from wherry.store.layout import make_private, sync_directory, translate, write_private
from wherry.store.locks import Lock, is_named

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from hashlib import _Hash
    from types import TracebackType
    from typing import Any

    from wherry.store.layout import Layout

_PIECE = 1 << 20


class Content:
    """The blobs of one store.  Any thread and any process may use it at the same time.

    Without ``sync`` whoever adds blobs has them synced (`wherry.store.unsynced`).  ``remake`` puts a dropped blob back
    into its place, or raises.
    """

    __slots__ = ("_layout", "_remake", "_sync")

    def __init__(self, layout: Layout, *, sync: bool = True, remake: Callable[[str], None] | None = None) -> None:
        self._layout = layout
        self._sync = sync
        self._remake = remake

    def path(self, digest: str) -> str:
        """Where a blob is, or would be.  ``digest`` must have been parsed: it becomes a path."""
        algorithm, _, encoded = digests.parse(digest).partition(":")
        return f"{self._layout.blobs}/{algorithm}/{encoded}"

    def has(self, digest: str) -> bool:
        """Whether the blob is here, whole, or can be made again."""
        return os.path.exists(self.path(digest)) or os.path.exists(self.recipe_path(digest))

    def size(self, digest: str) -> int:
        """Bytes of a blob.  Raises `NotFound`."""
        try:
            return os.stat(self.path(digest)).st_size
        except FileNotFoundError:
            recipe = self.recipe(digest)
            if recipe is None:
                raise NotFound("blob", digest) from None
            return int(recipe["size"])

    def open(self, digest: str) -> FileIO:
        """A blob, to read; made again if it was dropped.  Raises `NotFound`, and what making it raises.

        Reading it raises `Corrupt` when the disk has it no more, or fs-verity does not let it be read.
        """
        path = self.path(digest)
        try:
            return _Blob(path)
        except FileNotFoundError:
            if self._remake is None or self.recipe(digest) is None:
                raise NotFound("blob", digest) from None
        self._remake(digest)
        return _Blob(path)

    def local(self, digest: str) -> str:
        """The path of a blob that is to be read; made again if it was dropped.  Raises as `open`."""
        self.open(digest).close()
        return self.path(digest)

    def read(self, digest: str, limit: int = 4 << 20) -> bytes:
        """A small blob, verified.  Raises `NotFound`, or `Corrupt` when it is larger than ``limit`` or damaged."""
        with self.open(digest) as file:
            body = file.read(limit + 1)
        if len(body) > limit:
            raise Corrupt(f"blob {digest} is larger than {limit} bytes")
        check = digests.hasher(digest)
        check.update(body)
        if check.hexdigest() != digests.hex_part(digest):
            raise Corrupt(f"blob {digest} is damaged on disk")
        return body

    def head(self, digest: str, size: int) -> bytes:
        """The first ``size`` bytes of a blob, four at most, or all of it.  Raises `NotFound`."""
        if not os.path.exists(self.path(digest)):
            recipe = self.recipe(digest)
            if recipe is not None:
                return bytes.fromhex(recipe["begins"])[:size]
        with self.open(digest) as file:
            return file.read(size)

    def put(self, body: bytes, digest: str = "") -> str:
        """Keeps a small blob and returns its digest.  Raises `Corrupt` when it is not ``digest``."""
        digest = digest or digests.of(body)
        with self.writer(digest, len(body)) as writer:
            if not writer.present:
                writer.restart()
                writer.write(body)
                writer.commit()
        return digest

    def put_stream(self, read: Callable[[int], bytes], expected: str = "") -> tuple[str, int]:
        """Keeps everything that ``read(size)`` gives, and returns its digest and its size.

        ``expected`` is the digest that it must have; without one it gets its sha256.  Raises `Corrupt`, `StorageFull`.
        """
        aside = f"{self._layout.ingest}/stream-{os.getpid()}-{os.urandom(8).hex()}"
        check = digests.hasher(expected or "sha256:")
        lock = Lock(aside)
        size = 0
        try:
            lock.acquire()
            while piece := read(_PIECE):
                check.update(piece)
                size += len(piece)
                view = memoryview(piece)
                while view:
                    view = view[os.write(lock.fd, view) :]
            digest = f"{check.name}:{check.hexdigest()}"
            if expected and digest != expected:
                raise Corrupt(f"blob {expected} does not match its digest: it is {digest}")
            path = self.path(digest)
            if not os.path.exists(path):
                make_private(os.path.dirname(path))
                if self._sync:
                    os.fsync(lock.fd)
                os.rename(aside, path)
                if self._sync:
                    sync_directory(os.path.dirname(path))
            return digest, size
        except OSError as error:
            raise translate(error, "write a blob") from error
        finally:
            lock.release(remove=lock.fd >= 0 and is_named(lock.fd, aside))

    # -- blobs that were dropped -------------------------------------------------------------------------------------

    def recipe_path(self, digest: str) -> str:
        """Where it says how a blob can be made again."""
        algorithm, _, encoded = digests.parse(digest).partition(":")
        return f"{self._layout.recipes}/{algorithm}-{encoded}"

    def recipe(self, digest: str) -> dict[str, Any] | None:
        """How a blob can be made again: an object with its ``size`` and the hex digits of its first bytes, ``begins``,
        beside what `remake` needs; None when nobody knows."""
        try:
            with open(self.recipe_path(digest), "rb") as file:
                found: dict[str, Any] = fastjson.loads(file.read().decode())
                return found
        except (FileNotFoundError, ValueError):
            return None

    def drop(self, digest: str, recipe: dict[str, Any]) -> int:
        """Keeps a recipe in place of a blob, and returns the blob's size."""
        try:
            make_private(self._layout.recipes)
            write_private(self.recipe_path(digest), fastjson.dumps(recipe).encode())
        except OSError as error:
            raise translate(error, "write a recipe") from error
        size = os.stat(self.path(digest)).st_size
        os.unlink(self.path(digest))
        return size

    def recipes(self) -> Iterator[str]:
        """The digests of the blobs whose recipes are here, whether they are dropped or not."""
        try:
            names = os.listdir(self._layout.recipes)
        except FileNotFoundError:
            return
        for name in names:
            digest = name.replace("-", ":", 1)
            if digests.is_digest(digest):
                yield digest

    def forget_recipe(self, digest: str) -> None:
        """A blob that could not be made by it is not here any more."""
        try:
            os.unlink(self.recipe_path(digest))
        except FileNotFoundError:
            return

    def delete(self, digest: str) -> int:
        """Removes a blob, and its recipe, and returns its size; 0 when it is not here."""
        path = self.path(digest)
        self.forget_recipe(digest)
        try:
            size = os.stat(path).st_size
            os.unlink(path)
        except FileNotFoundError:
            return 0
        return size

    def verify(self, digest: str) -> bool:
        """Whether the blob on disk is what its name says; reads all of it.  Raises `NotFound`, and OSError."""
        check = digests.hasher(digest)
        with open(self.local(digest), "rb", buffering=0) as file:
            while piece := file.read(_PIECE):
                check.update(piece)
        return check.hexdigest() == digests.hex_part(digest)

    def list_all(self) -> Iterator[str]:
        """The digests of every blob here."""
        for algorithm in os.listdir(self._layout.blobs):
            for encoded in os.listdir(f"{self._layout.blobs}/{algorithm}"):
                if digests.is_digest(f"{algorithm}:{encoded}"):
                    yield f"{algorithm}:{encoded}"

    def writer(self, digest: str, size: int, *, waiting: Callable[[], None] | None = None) -> Writer:
        """Where a blob of ``size`` bytes is written (-1: not known); a context manager, see `Writer`.

        When another process or thread is writing the same blob, entering waits for it; ``waiting`` is called meanwhile
        and may raise.
        """
        algorithm, _, encoded = digests.parse(digest).partition(":")
        aside = f"{self._layout.ingest}/{algorithm}-{encoded}"
        return Writer(self.path(digest), aside, digest, size, waiting, self._sync)


class _Blob(FileIO):
    """The file of a blob."""

    def read(self, size: int | None = -1, /) -> bytes:
        """Up to ``size`` bytes.  Raises `Corrupt`."""
        try:
            return super().read(size)
        except OSError as error:
            algorithm, encoded = str(self.name).split("/")[-2:]
            raise Corrupt(
                f"blob {algorithm}:{encoded} cannot be read: {os.strerror(error.errno or 0).lower()}",
                hint="'wherry system check --repair' removes what is damaged; then pull the image again",
            ) from error


class Writer:
    """One blob being written, by one writer at a time.

    After entering: ``present`` says that the blob is here already and nothing is to be done; otherwise ``offset`` bytes
    of it are, from an interrupted download, and have been hashed again.  Then `write` the rest and `commit`.  Leaving
    without `commit` keeps what was written for the next one to go on from, unless it was wrong or the disk is full.
    """

    def __init__(
        self, path: str, aside: str, digest: str, size: int, waiting: Callable[[], None] | None, sync: bool = True
    ) -> None:
        self._path = path
        self._aside = aside
        self._lock = Lock(aside, waiting=waiting)
        self._hash: _Hash
        self._keep = True
        self._sync = sync
        self.digest = digest
        self.size = size
        self.offset = 0
        self.present = False

    def __enter__(self) -> Writer:
        try:
            if os.path.exists(self._path):
                self.present = True
                return self
            make_private(os.path.dirname(self._path))
            self._lock.acquire()
        except OSError as error:
            raise translate(error, "write a blob") from error
        try:
            if os.path.exists(self._path):  # somebody else finished it
                self.present = True
                self._keep = False
            else:
                self.hash_again()
        except BaseException:
            self._lock.release()
            raise
        return self

    def hash_again(self) -> None:
        """Takes up what is in the file; called on entering."""
        self._hash = digests.hasher(self.digest)
        self.offset = 0
        os.lseek(self._lock.fd, 0, os.SEEK_SET)
        while piece := os.read(self._lock.fd, _PIECE):
            self._hash.update(piece)
            self.offset += len(piece)
        if 0 <= self.size < self.offset:
            self.restart()

    def restart(self) -> None:
        """Forgets what was written: the source cannot go on from there."""
        os.ftruncate(self._lock.fd, 0)
        os.lseek(self._lock.fd, 0, os.SEEK_SET)
        self._hash = digests.hasher(self.digest)
        self.offset = 0

    def write(self, piece: bytes | memoryview) -> None:
        """Appends.  Raises `Corrupt` beyond the size that was announced, `StorageFull`, `SystemFailure`."""
        if 0 <= self.size < self.offset + len(piece):
            self._keep = False
            raise Corrupt(f"blob {self.digest} is longer than the {self.size} bytes that were announced")
        self._hash.update(piece)
        view = memoryview(piece)
        try:
            while view:
                written = os.write(self._lock.fd, view)
                view = view[written:]
                self.offset += written
        except OSError as error:
            self._keep = False
            raise translate(error, "write a blob") from error

    def reader(self) -> int:
        """A descriptor of its own on what has been written so far, to read; the caller closes it."""
        return os.open(self._aside, os.O_RDONLY | os.O_CLOEXEC)

    def commit(self) -> None:
        """Makes the blob visible under its digest.  Raises `Corrupt` when it is not what it should be."""
        if 0 <= self.size != self.offset:
            self._keep = self.offset < self.size
            raise Corrupt(f"blob {self.digest} is cut short: {self.offset} of {self.size} bytes")
        if self._hash.hexdigest() != digests.hex_part(self.digest):
            self._keep = False
            found = f"{self._hash.name}:{self._hash.hexdigest()}"
            raise Corrupt(f"blob {self.digest} does not match its digest: it is {found}")
        try:
            if self._sync:
                os.fsync(self._lock.fd)
            os.rename(self._aside, self._path)
            if self._sync:
                sync_directory(os.path.dirname(self._path))
        except OSError as error:
            self._keep = False
            raise translate(error, "write a blob") from error
        self.present = True

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._lock.fd < 0:
            return
        unfinished = is_named(self._lock.fd, self._aside)
        self._lock.release(remove=unfinished and (self.present or not self._keep or not self.offset))
