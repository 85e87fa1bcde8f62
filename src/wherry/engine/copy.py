"""``docker cp``: files between the host and a container, whether it runs or not.

What a copy comes to depends on what is at its destination; the rules are those of docker-cp(1).  The host's side of a
copy belongs to the caller; the container's side is done in a child that is the container's root (`view`).
"""

from __future__ import annotations

import errno
import os
import stat

from wherry.engine import archive, events
from wherry.engine import container_paths as places
from wherry.engine.archive import Archive, PutOptions
from wherry.engine.view import View
from wherry.errors import Conflict, Corrupt, InvalidArgument, NotFound, SystemFailure, WherryError
from wherry.layers.extract import ExtractOptions
from wherry.layers.pack import Packer
from wherry.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Protocol

    from wherry.engine.container_paths import PathStat
    from wherry.engine.engine import Engine
    from wherry.layers.compression import Readable
    from wherry.layers.extract import Extracted
    from wherry.layers.pack import Writable

    class Found(Readable, Protocol):
        """What `wherry.engine.archive.Archive` is, once entered."""

        stat: PathStat
        entry: str

        def finish(self) -> None: ...


_MAX_LINKS = 10


class Copied(Record):
    """``size`` is the bytes of tar that went over, ``destination`` where to, ``skipped`` the device nodes left out."""

    size: int
    destination: str
    skipped: tuple[str, ...] = ()


class Target(Record):
    """Where a tar is extracted: ``directory``, and what its top entry ``old`` is called there ("" for all of it)."""

    directory: str
    rename: tuple[str, str] | None = None


def decide(path: str, *, exists: bool, is_directory: bool, name: str, source_is_directory: bool) -> Target:
    """How something called ``name`` ("." or "/" for the content of a directory) is put to ``path``.

    Raises `Conflict`, `NotFound` in Docker's words.
    """
    directory, base = places.split(path)
    if exists and is_directory:
        return Target(path)
    if exists and source_is_directory:
        raise Conflict("cannot copy directory", hint=f"{path} is there, and is no directory")
    if not exists and not source_is_directory and places.asserts_directory(path):
        raise NotFound("directory", path, "no such directory", hint=f"make {path} first, or leave out the slash")
    return Target(directory, ("" if name in (".", "/") else name, base))


# out of a container


def copy_out(
    engine: Engine, container: str, source: str, destination: str, *, follow: bool = False, owners: bool = False,
    progress: Callable[[int], None] | None = None,
) -> Copied:  # fmt: skip
    """Copy ``source`` of a container to the host; ``follow`` a link at its end.

    Everything belongs to the caller and has no set-user-id bits, or with ``owners`` to the container's ids as far as
    the caller may.  Raises what `Archive` does, and `InvalidArgument`, `Conflict` for a destination that cannot be.
    """
    check_output(destination)
    with Archive(engine, container, source, follow=follow) as found:
        return receive(found, destination, owners=owners, progress=progress)


def receive(found: Found, destination: str, *, owners: bool, progress: Callable[[int], None] | None) -> Copied:
    """Extract what was found in a container to the host.  See `copy_out`."""
    path = _destination(destination)
    target = decide(
        path, exists=os.path.lexists(path), is_directory=os.path.isdir(path), name=found.entry,
        source_is_directory=found.stat.is_directory,
    )  # fmt: skip
    rename = target.rename
    if rename is None and found.entry not in (found.stat.name, ".", "/"):
        rename = (found.entry, found.stat.name)  # it was found through a link, whose name it keeps
    options = ExtractOptions(
        owner=None if owners else (),
        rename=(os.fsencode(rename[0]), os.fsencode(rename[1])) if rename else None,
        keep_kinds=True,
        devices=owners,
        lenient=True,
        place=target.directory.rstrip("/") or "/",
    )
    try:
        done = _extract_here(_Counted(found, progress), target.directory, options)
    except Corrupt:
        found.finish()  # why it is cut short
        raise
    found.finish()
    return Copied(done.tar_size, destination, done.skipped)


def _extract_here(stream: Readable, directory: str, options: ExtractOptions) -> Extracted:
    root = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        return archive.receive(stream, root, "", options)
    finally:
        os.close(root)


def check_output(path: str) -> None:
    """Raises `InvalidArgument` unless ``path`` can be written to: its directory is there, and it is no device."""
    directory = os.path.dirname(os.path.normpath(path))
    if directory and not os.path.isdir(directory):
        raise InvalidArgument(f"invalid output path: stat {directory}: no such file or directory")
    try:
        mode = os.stat(path).st_mode
    except OSError:
        return
    if stat.S_ISBLK(mode) or stat.S_ISCHR(mode):
        raise InvalidArgument(f'invalid output path: "{path}" must be a directory or a regular file: got a device')


def _destination(path: str) -> str:
    """The path with a link at its end followed; it need not exist."""
    for _ in range(_MAX_LINKS):
        if not os.path.islink(path):
            return path
        path = os.path.join(os.path.dirname(path), os.readlink(path))
    raise SystemFailure(f"following {path}", "readlink", errno.ELOOP)


class _Counted:
    """A stream whose bytes are told to ``progress``."""

    def __init__(self, stream: Readable, progress: Callable[[int], None] | None) -> None:
        self._stream = stream
        self._progress = progress
        self.size = 0

    def read(self, size: int, /) -> bytes:
        piece = self._stream.read(size)
        self.size += len(piece)
        if self._progress is not None:
            self._progress(self.size)
        return piece


# into a container


def copy_in(
    engine: Engine, source: str, container: str, destination: str, *, follow: bool = False, owners: bool = False,
    progress: Callable[[int], None] | None = None,
) -> Copied:  # fmt: skip
    """Copy ``source`` of the host, an absolute path, into a container; ``follow`` a link at its end.

    Everything belongs to the container's root, or with ``owners`` to the same ids as on the host.  Raises `NotFound`,
    `Conflict`, `Forbidden` for read-only places, `StorageFull`.
    """
    wanted = archive.checked(destination)
    directory, name, is_directory, entry = host_source(source, follow)

    def work(root: int, tar: Readable) -> tuple[Extracted, str]:
        path, target = _target(root, wanted, container, destination, entry, is_directory)
        base = archive.writable_directory(root, target.directory, container, target.directory)
        rename = (os.fsencode(target.rename[0]), os.fsencode(target.rename[1])) if target.rename else None
        options = ExtractOptions(rename=rename, keep_kinds=True, devices=owners)
        return archive.receive(tar, root, base, options), path

    try:
        with View(engine, container) as view:
            done, path = archive.through_pipe(
                view, work, lambda out: send(Sink(out, progress), directory, name, entry, is_directory, owners)
            )
            events.of_container(engine.db, view.record, "extract-to-dir")
    finally:
        os.close(directory)
    return Copied(done.tar_size, f"{container}:{path}", done.skipped)


def host_source(path: str, follow: bool) -> tuple[int, str, bool, str]:
    """The directory that the source is in, its name there, whether it is a directory; the name that it shall have."""
    try:
        resolved = os.path.realpath(path, strict=True) if follow else path
        if places.asserts_directory(resolved):
            resolved, is_directory = os.path.realpath(resolved, strict=True), True
            if not os.path.isdir(resolved):
                raise NotADirectoryError(errno.ENOTDIR, "not a directory")
        else:
            is_directory = stat.S_ISDIR(os.lstat(resolved).st_mode)
        above, name = places.split(resolved)
        directory = os.open(above, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise NotFound("file", path, f"lstat {path}: {reason}") from None
    return directory, name or ".", is_directory, places.base_name(path)


def _target(
    root: int, wanted: str, container: str, destination: str, entry: str, is_directory: bool
) -> tuple[str, Target]:
    """Where in the container to put it, in the child: the path that was meant, and how to get there."""
    path, found = wanted, None
    try:
        found = places.look(root, path)
        if found.is_link:
            path = found.link_target
            found = places.look(root, path)
    except (FileNotFoundError, NotADirectoryError):
        found = None
    if found is not None and (stat.S_ISCHR(found.mode) or stat.S_ISBLK(found.mode)):
        raise InvalidArgument(
            f'destination "{container}:{destination}" must be a directory or a regular file: got a device'
        )
    return path, decide(
        path,
        exists=found is not None,
        is_directory=found is not None and found.is_directory,
        name=entry,
        source_is_directory=is_directory,
    )


class Sink:
    """A `Writable` whose bytes are told to ``progress``."""

    def __init__(self, out: Writable, progress: Callable[[int], None] | None) -> None:
        self._out = out
        self._progress = progress
        self._size = 0

    def write(self, data: bytes, /) -> None:
        self._out.write(data)
        self._size += len(data)
        if self._progress is not None:
            self._progress(self._size)


def send(out: Writable, directory: int, name: str, entry: str, is_directory: bool, owners: bool) -> WherryError | None:
    """Write the source as a tar; what kept it from that, which is not that the other side has gone."""
    packer = Packer(out, owner=None if owners else (0, 0))
    shown = os.fsencode(entry)
    try:
        if is_directory:
            try:
                fd = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory)
            except OSError as error:
                return SystemFailure(f"reading {name}", "open", error.errno or errno.EIO)
            try:
                packer.tree(fd, shown)
            finally:
                os.close(fd)
        else:
            packer.leaf(directory, os.fsencode(name), shown)
        packer.end()
    except WherryError as error:
        return error
    return None


def put_stream(engine: Engine, container: str, destination: str, stream: Readable) -> Copied:
    """Extract the tar ``stream`` into a directory of a container, with the tar's owners.  Raises what `put` does."""
    wanted = archive.checked(destination)
    with View(engine, container) as view:
        found = view.call(lambda root: _directory_at(root, wanted))
    if found is None:
        raise InvalidArgument(f'destination "{container}:{destination}" must be a directory')
    done = archive.put(engine, container, found, stream, PutOptions(keep_kinds=True))
    return Copied(done.tar_size, f"{container}:{found}", done.skipped)


def _directory_at(root: int, wanted: str) -> str | None:
    try:
        path = places.evaluate(root, wanted)
        return path if places.look(root, path).is_directory else None
    except OSError:
        return None
