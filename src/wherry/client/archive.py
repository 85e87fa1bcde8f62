"""Files of a container over an API: `cp`, `diff`, `export`, `commit`.

What a copy comes to is decided here, by the same rules as on the machine itself (`wherry.engine.copy`).
"""

from __future__ import annotations

import base64
import json
import os
import stat
import threading

from wherry.client.containers import of
from wherry.client.images import pieces
from wherry.engine import copy as rules
from wherry.engine.archive import PipeEnd, checked, pipe
from wherry.engine.container_paths import PathStat, base_name
from wherry.engine.copy import Copied
from wherry.errors import InvalidArgument, NotFound, WherryError
from wherry.layers.changes import Change

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Self

    from wherry.client.http import Answer, Remote
    from wherry.engine.commit import CommitOptions, Committed
    from wherry.layers.compression import Readable
    from wherry.layers.pack import Writable

    Progress = Callable[[int], None]

_STAT = "X-Docker-Container-Path-Stat"
_PIECE = 1 << 20
_GO_TYPES = (
    (1 << 31, stat.S_IFDIR),
    (1 << 27, stat.S_IFLNK),
    (1 << 21, stat.S_IFCHR),
    (1 << 26, stat.S_IFBLK),
    (1 << 25, stat.S_IFIFO),
    (1 << 24, stat.S_IFSOCK),
)
_GO_BITS = ((1 << 23, stat.S_ISUID), (1 << 22, stat.S_ISGID), (1 << 20, stat.S_ISVTX))


def stat_mode(mode: int) -> int:
    """A mode of Go's ``fs.FileMode`` as that of stat(2)."""
    kind = next((ours for bit, ours in _GO_TYPES if mode & bit), stat.S_IFREG)
    for bit, ours in _GO_BITS:
        kind |= ours if mode & bit else 0
    return kind | mode & 0o777


def _stat(text: str) -> PathStat:
    try:
        found = json.loads(base64.b64decode(text))
        return PathStat(found["name"], int(found["size"]), stat_mode(found["mode"]), 0, found.get("linkTarget") or "")
    except (ValueError, KeyError, TypeError):
        raise WherryError("the engine does not say what is there") from None


def stat_path(remote: Remote, name: str, path: str) -> PathStat:
    """See `wherry.engine.archive.stat_path`."""
    try:
        with remote.stream("HEAD", f"{of(name)}/archive", {"path": checked(path)}) as answer:
            return _stat(answer.header(_STAT))
    except NotFound:
        remote.call("GET", f"{of(name)}/json")  # raises when it is the container that is not there
        raise NotFound("file", path, f"Could not find the file {path} in container {name}") from None


class Archive:
    """See `wherry.engine.archive.Archive`."""

    def __init__(self, remote: Remote, name: str, path: str, *, follow: bool = False) -> None:
        self._remote = remote
        self._name = name
        self._path = path
        self._follow = follow
        self._answer: Answer | None = None
        self.stat: PathStat
        self.entry = ""

    def __enter__(self) -> Self:
        path = checked(self._path)
        found = stat_path(self._remote, self._name, path)
        if self._follow and found.is_link:
            path, name = found.link_target, found.name
            found = stat_path(self._remote, self._name, path).replace(name=name)
        self.stat, self.entry = found, base_name(path)
        self._answer = self._remote.stream("GET", f"{of(self._name)}/archive", {"path": path}).__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        if self._answer is not None:
            self._answer.__exit__(*error)

    def read(self, size: int, /) -> bytes:
        """Up to ``size`` bytes of tar; nothing at its end."""
        assert self._answer is not None
        return self._answer.read(size)

    def finish(self) -> None:
        """Read what is behind the end of the tar; raises when the connection broke off."""
        while self.read(_PIECE):
            pass


def copy_out(
    remote: Remote, container: str, source: str, destination: str, *, follow: bool = False, owners: bool = False,
    progress: Progress | None = None,
) -> Copied:  # fmt: skip
    """See `wherry.engine.copy.copy_out`."""
    rules.check_output(destination)
    with Archive(remote, container, source, follow=follow) as found:
        return rules.receive(found, destination, owners=owners, progress=progress)


def copy_in(
    remote: Remote, source: str, container: str, destination: str, *, follow: bool = False, owners: bool = False,
    progress: Progress | None = None,
) -> Copied:  # fmt: skip
    """See `wherry.engine.copy.copy_in`."""
    wanted = checked(destination)
    directory, name, is_directory, entry = rules.host_source(source, follow)
    try:
        path, found = _look(remote, container, wanted)
        if found is not None and stat.S_IFMT(found.mode) in (stat.S_IFCHR, stat.S_IFBLK):
            place = f"{container}:{destination}"
            raise InvalidArgument(f'destination "{place}" must be a directory or a regular file: got a device')
        target = rules.decide(
            path, exists=found is not None, is_directory=found is not None and found.is_directory, name=entry,
            source_is_directory=is_directory,
        )  # fmt: skip
        shown = target.rename[1] if target.rename else entry
        sent: list[int] = []

        def told(size: int) -> None:
            sent[:] = [size]
            if progress is not None:
                progress(size)

        def write(out: PipeEnd) -> WherryError | None:
            return rules.send(rules.Sink(out, told), directory, name, shown, is_directory, owners)

        with _Feeding(write) as body:
            _put(remote, container, target.directory, body.pieces())
    finally:
        os.close(directory)
    return Copied(sent[0] if sent else 0, f"{container}:{path}")


def _look(remote: Remote, container: str, wanted: str) -> tuple[str, PathStat | None]:
    """What is at a path, through a link at its end; the path that was meant."""
    try:
        found = stat_path(remote, container, wanted)
        if found.is_link:
            wanted = found.link_target
            found = stat_path(remote, container, wanted)
    except NotFound as error:
        if error.kind != "file":
            raise
        return wanted, None
    return wanted, found


def _put(remote: Remote, container: str, directory: str, body: Iterator[bytes]) -> None:
    query = {"path": directory, "noOverwriteDirNonDir": "true"}
    with remote.upload("PUT", f"{of(container)}/archive", query, body) as answer:
        answer.whole()


class _Feeding:
    """A tar that a thread writes while it is read: a context manager, which raises at its end what the thread gives.

    ``write`` writes it and gives back what kept it from that.
    """

    def __init__(self, write: Callable[[PipeEnd], WherryError | None]) -> None:
        self._read, end = pipe()
        self._failure: WherryError | None = None

        def work() -> None:
            try:
                self._failure = write(PipeEnd(end))
            except BrokenPipeError:
                pass  # nobody reads any more, and says why
            finally:
                os.close(end)

        self._thread = threading.Thread(target=work, daemon=True)

    def pieces(self) -> Iterator[bytes]:
        """The tar."""
        while piece := os.read(self._read, _PIECE):
            yield piece

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        os.close(self._read)
        self._thread.join()
        if self._failure is not None:
            raise self._failure


def put_stream(remote: Remote, container: str, destination: str, stream: Readable) -> Copied:
    """See `wherry.engine.copy.put_stream`."""
    path, found = _look(remote, container, checked(destination))
    if found is None or not found.is_directory:
        raise InvalidArgument(f'destination "{container}:{destination}" must be a directory')
    size = 0

    def counted() -> Iterator[bytes]:
        nonlocal size
        for piece in pieces(stream):
            size += len(piece)
            yield piece

    _put(remote, container, path, counted())
    return Copied(size, f"{container}:{path}")


def diff(remote: Remote, name: str) -> tuple[Change, ...]:
    """See `wherry.engine.diff.diff`."""
    found = remote.call("GET", f"{of(name)}/changes") or []
    return tuple([Change("CAD"[one["Kind"]], os.fsencode(one["Path"])) for one in found])


def export(remote: Remote, name: str, out: Writable) -> None:
    """See `wherry.engine.export.export`."""
    with remote.stream("GET", f"{of(name)}/export") as answer:
        while piece := answer.read(_PIECE):
            out.write(piece)


def commit(remote: Remote, name: str, options: CommitOptions) -> Committed:
    """See `wherry.engine.commit.commit`."""
    from wherry.engine.commit import Committed, new_name

    reference = new_name(options.reference)
    query = {
        "container": name,
        "repo": reference.familiar_name() if reference else "",
        "tag": reference.tag if reference else "",
        "author": options.author,
        "comment": options.message,
        "changes": list(options.changes),
        "pause": "1" if options.pause else "0",
    }
    return Committed(str(remote.call("POST", "/commit", query)["Id"]))
