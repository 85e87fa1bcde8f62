"""A path in a container as a tar, out of it and into it (Docker API: ``/containers/{id}/archive``).

Memory stays flat however large files and streams are: they pass through a pipe.
"""

from __future__ import annotations

import errno
import os
import threading
from struct import pack, unpack

from wherry.container import users
from wherry.engine import events
from wherry.engine.container_paths import PathStat, Place, absolute, asserts_directory, base_name, evaluate, look
from wherry.engine.view import View
from wherry.errors import Corrupt, Forbidden, InvalidArgument, NotFound, SystemFailure, WherryError
from wherry.layers import compression
from wherry.layers.extract import ExtractOptions, extract
from wherry.layers.pack import Packer
from wherry.layers.source import Source
from wherry.linux import openat2
from wherry.linux.mount import is_pseudo
from wherry.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Self, TypeVar

    from wherry.engine.engine import Engine
    from wherry.engine.worker import Worker
    from wherry.layers.compression import Readable
    from wherry.layers.extract import Extracted

    T = TypeVar("T")

_BUFFER = 1 << 20  # of the pipe, in bytes: the two processes change places less often
_F_SETPIPE_SZ = 1031
_ST_RDONLY = 1
_MAX_ACCOUNTS = 4 << 20  # bytes of /etc/passwd and of /etc/group


class PutOptions(Record):
    """``keep_kinds`` is the API's ``noOverwriteDirNonDir``; ``as_user`` its ``copyUIDGID``: everything belongs to the
    container's user instead of the tar's owners."""

    keep_kinds: bool = False
    as_user: bool = False


def stat_path(engine: Engine, name: str, path: str) -> PathStat:
    """What is at ``path`` in the container ``name``.  Raises `NotFound`, `InvalidArgument`."""
    wanted = checked(path)
    with View(engine, name) as view:
        return view.call(lambda root: at(name, path, lambda: _look(root, wanted)))


def checked(path: str) -> str:
    """A path in a container as the rest of this package takes it.  Raises `InvalidArgument`."""
    if not path:
        raise InvalidArgument("bad parameter: path cannot be empty")
    if "\0" in path:
        raise InvalidArgument("bad parameter: path has a zero byte")
    return absolute(path)


def at(container: str, path: str, do: Callable[[], T]) -> T:
    """Call ``do`` and tell of what is wrong with ``path`` in Docker's words."""
    try:
        return do()
    except FileNotFoundError:
        raise NotFound("file", path, f"Could not find the file {path} in container {container}") from None
    except NotADirectoryError:
        raise InvalidArgument(f"{container}:{path}: not a directory") from None
    except OSError as error:
        raise SystemFailure(f"looking at {container}:{path}", "openat2", error.errno or errno.EIO) from None


def _look(root: int, path: str) -> PathStat:
    if not asserts_directory(path):
        with Place(root, path) as place:
            if is_pseudo(place.directory):
                raise FileNotFoundError
    return look(root, path)


class Archive:
    """A path of a container as a stream of tar; a context manager.

    ``stat`` says what it is, ``entry`` what its first entry is called; ``follow``: a symbolic link gives what it leads
    to.  `read` to the end, then `finish`, which raises what went wrong on the way.  Entering raises `NotFound`,
    `InvalidArgument`, `Conflict`.
    """

    def __init__(self, engine: Engine, name: str, path: str, *, follow: bool = False) -> None:
        self._engine = engine
        self._name = name
        self._path = path
        self._follow = follow
        self._view: View | None = None
        self._worker: Worker[None] | None = None
        self._out = -1
        self._reading = threading.Lock()
        self.stat: PathStat
        self.entry = ""

    def __enter__(self) -> Self:
        wanted = checked(self._path)
        self._view = View(self._engine, self._name).__enter__()
        try:
            self._out, write = pipe()
            try:
                self._worker = self._view.start(lambda root: self._write(root, wanted, write))
            finally:
                os.close(write)
            head = self._exactly(4)
            if len(head) < 4:
                self._worker.result()
            self.entry, name, size, mode, mtime, target = _decoded(self._exactly(*unpack("=I", head)))
            self.stat = PathStat(name, int(size), int(mode), int(mtime), target)
            events.of_container(self._engine.db, self._view.record, "archive-path")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_error: object) -> None:
        if self._worker is not None:
            self._worker.__exit__()
            self._worker = None
        with self._reading:  # another thread's read has come to its end: nobody writes any more
            if self._out >= 0:
                os.close(self._out)
                self._out = -1
        if self._view is not None:
            self._view.__exit__()
            self._view = None

    def read(self, size: int, /) -> bytes:
        """Up to ``size`` bytes of tar; nothing at its end."""
        with self._reading:
            return os.read(self._out, size) if self._out >= 0 else b""

    def finish(self) -> None:
        """After the end of the tar: raise what went wrong while it was written."""
        if self._worker is not None:
            self._worker.result()

    def _exactly(self, size: int) -> bytes:
        found = b""
        while len(found) < size and (piece := os.read(self._out, size - len(found))):
            found += piece
        return found

    def _write(self, root: int, path: str, out: int) -> None:
        """In the child."""
        os.close(self._out)
        found = at(self._name, self._path, lambda: _look(root, path))
        if self._follow and found.is_link:
            path, name = found.link_target, found.name
            found = at(self._name, self._path, lambda: _look(root, path)).replace(name=name)
        fields = (base_name(path), found.name, found.size, found.mode, found.mtime, found.link_target)
        body = b"\0".join(os.fsencode(str(field)) for field in fields)
        pipe_end = PipeEnd(out)
        pipe_end.write(pack("=I", len(body)) + body)
        at(self._name, self._path, lambda: write_tar(root, path, pipe_end))


def _decoded(body: bytes) -> list[str]:
    return [os.fsdecode(field) for field in body.split(b"\0")]


def pipe() -> tuple[int, int]:
    """A pipe for tars."""
    import fcntl

    read, write = os.pipe()
    try:
        fcntl.fcntl(write, _F_SETPIPE_SZ, _BUFFER)
    except OSError:
        pass  # the user's share of pipe buffers is used up
    return read, write


class PipeEnd:
    """A `Writable` over a descriptor."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def write(self, data: bytes, /) -> None:
        """All of ``data``."""
        written = os.write(self._fd, data)
        if written < len(data):
            view = memoryview(data)[written:]
            while view:
                view = view[os.write(self._fd, view) :]

    def close(self) -> None:
        """Close it; once more does nothing."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def write_tar(root: int, path: str, out: PipeEnd) -> None:
    """Write what is at the absolute ``path`` as a tar whose entries begin with the path's last part."""
    packer = Packer(out, hollow=devices(root))
    name = os.fsencode(base_name(path))
    with Place(root, path) as place:
        if (place.status().st_mode & 0o170000) == 0o040000:
            fd = place.open_directory()
            try:
                packer.tree(fd, name)
            finally:
                os.close(fd)
        else:
            packer.leaf(place.directory, place.name, name)
    packer.end()


def devices(root: int) -> frozenset[tuple[int, int]]:
    """The file system that a runtime has mounted on /dev, if there is one: what is in it is not the container's."""
    try:
        fd = openat2.open_in(root, "/dev", os.O_PATH | os.O_DIRECTORY, openat2.IN_ROOT | openat2.NO_SYMLINKS)
    except OSError:
        return frozenset()
    status = os.fstat(fd)
    os.close(fd)
    mounted = status.st_dev != os.fstat(root).st_dev
    return frozenset(((status.st_dev, status.st_ino),)) if mounted else frozenset()


def put(engine: Engine, name: str, path: str, stream: Readable, options: PutOptions | None = None) -> Extracted:
    """Extract a tar, compressed or not, into the directory ``path`` of the container ``name``.

    Raises `NotFound`, `InvalidArgument` when it is no directory, `Forbidden` when it is read-only, `Conflict` for what
    stands in the way, `Corrupt` for what is no tar, `StorageFull`.  Files are there whole or not at all.
    """
    wanted, chosen = checked(path), options or PutOptions()
    with View(engine, name) as view:
        user = view.record.options.user if chosen.as_user else ""

        def work(root: int, tar: Readable) -> Extracted:
            owner = _user(root, user) if user else None
            base = writable_directory(root, wanted, name, path)
            return receive(tar, root, base, ExtractOptions(owner=owner, keep_kinds=chosen.keep_kinds, devices=True))

        done = through_pipe(view, work, lambda out: _decompress(stream, out))
        events.of_container(engine.db, view.record, "extract-to-dir")
        return done


def through_pipe(view: View, work: Callable[[int, Readable], T], send: Callable[[PipeEnd], WherryError | None]) -> T:
    """Call ``work`` in a child of ``view`` with its root and what ``send`` writes meanwhile; what ``work`` returns.

    Raises what ``send`` gives back, which is why ``work`` did not get everything, or else what ``work`` raises.
    """
    read, write = pipe()
    out = PipeEnd(write)

    def child(root: int) -> T:
        out.close()
        with open(read, "rb", buffering=0) as stream:
            return work(root, stream)

    try:
        with view.start(child) as worker:
            os.close(read)
            read = -1
            try:
                failure = send(out)
            except BrokenPipeError:
                failure = None  # the other side says why
            except BaseException:
                out.close()
                worker.wait()  # it undoes what it is at
                raise
            out.close()
            try:
                result = worker.result()
            except WherryError as error:
                raise failure or error from None
    finally:
        out.close()
        if read >= 0:
            os.close(read)
    if failure is not None:
        raise failure
    return result


def _decompress(stream: Readable, out: PipeEnd) -> WherryError | None:
    """Not in the container's child, whose ids may be unable to read the libraries."""
    try:
        reader = compression.reader(stream, archive=True)
        while piece := reader.read(compression.PIECE):
            out.write(piece)
    except WherryError as error:
        return _of_archive(error)
    return None


def _of_archive(error: WherryError) -> WherryError:
    """The same error in words for an archive that is no layer."""
    return type(error)(error.message.replace("layer", "archive", 1), hint=error.hint)


def receive(tar: Readable, root: int, base: str, options: ExtractOptions) -> Extracted:
    """Extract ``tar`` into ``base``, a path without links.  See `extract`."""
    before = os.umask(0)
    try:
        with Source(tar) as source:
            return extract(source, root, os.fsencode(base), options)
    except Corrupt as error:
        raise _of_archive(error) from None
    finally:
        os.umask(before)


def writable_directory(root: int, wanted: str, container: str, path: str) -> str:
    """The directory at ``wanted`` without links, when it is one and can be written to.

    Raises `NotFound`, `InvalidArgument`, `Forbidden`."""
    base = at(container, path, lambda: evaluate(root, wanted))
    try:
        fd = at(container, path, lambda: openat2.open_in(root, base, os.O_PATH | os.O_DIRECTORY))
    except InvalidArgument:
        raise InvalidArgument("extraction point is not a directory") from None
    try:
        if is_pseudo(fd):
            raise Forbidden(f"{path} lies in a file system of the kernel")
        if os.fstatvfs(fd).f_flag & _ST_RDONLY:
            rootfs = os.fstat(fd).st_dev == os.fstat(root).st_dev
            raise Forbidden("container rootfs is marked read-only" if rootfs else "mounted volume is marked read-only")
    finally:
        os.close(fd)
    return base


def _user(root: int, user: str) -> tuple[int, int]:
    """The ids of the container's user, by its own accounts."""
    found = users.resolve(user, (), _accounts(root, "/etc/passwd"), _accounts(root, "/etc/group"))
    return found.uid, found.gid


def _accounts(root: int, path: str) -> bytes:
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY
    try:
        fd = openat2.open_in(root, path, flags)
    except OSError:
        return b""
    with open(fd, "rb") as file:
        if (os.fstat(fd).st_mode & 0o170000) != 0o100000:
            return b""
        return file.read(_MAX_ACCOUNTS)
