"""Paths in a container's root, with Docker's rules of what a trailing slash, a dot and a symbolic link mean."""

from __future__ import annotations

import os
import stat

from wherry.linux import openat2
from wherry.record import Record

_HANDLE = os.O_PATH | os.O_NOFOLLOW
_DIRECTORY = os.O_PATH | os.O_DIRECTORY
_MAX_LINKS = 40


class PathStat(Record):
    """What is at a path (Docker API: ``ContainerPathStat``).

    ``name`` is the path's last part as it was asked for ("." or "/" for a directory's content), ``mode`` that of
    stat(2), ``mtime`` epoch nanoseconds; ``link_target`` where a symbolic link leads to in the end, absolute.
    """

    name: str
    size: int
    mode: int
    mtime: int
    link_target: str = ""

    @property
    def is_directory(self) -> bool:
        """Whether it is a directory."""
        return stat.S_ISDIR(self.mode)

    @property
    def is_link(self) -> bool:
        """Whether it is a symbolic link."""
        return stat.S_ISLNK(self.mode)


def absolute(path: str) -> str:
    """A path from the root, without ``..``; a ``/`` or ``/.`` at its end, which asks for a directory, stays."""
    clean = os.path.normpath("/" + path.lstrip("/"))
    if path.endswith("/.") or path == ".":
        return clean.rstrip("/") + "/."
    return clean.rstrip("/") + "/" if path.endswith("/") else clean


def asserts_directory(path: str) -> bool:
    """Whether a path can only be a directory's."""
    return path.endswith(("/", "/.")) or path == "."


def base_name(path: str) -> str:
    """The last part of an absolute path: "." where it ends in one, "/" of the root."""
    return path.rstrip("/").rpartition("/")[2] or "/"


def split(path: str) -> tuple[str, str]:
    """Directory and last part of a path, whatever slashes it ends with."""
    directory, _, name = path.rstrip("/").rpartition("/")
    return directory or ("/" if path.startswith("/") else "."), name


class Place:
    """An open path: ``directory`` and ``name`` in it, or, without a name, the directory itself.  A context manager."""

    def __init__(self, root: int, path: str) -> None:
        """Open the absolute ``path``; a last part that is a link is not followed.  Raises OSError."""
        if asserts_directory(path):
            self.name = b""
            self.directory = openat2.open_in(root, path, _DIRECTORY)
        else:
            above, name = split(path)
            self.name = os.fsencode(name)
            self.directory = openat2.open_in(root, above, _DIRECTORY)

    def __enter__(self) -> Place:
        return self

    def __exit__(self, *_error: object) -> None:
        os.close(self.directory)

    def status(self) -> os.stat_result:
        """Raises FileNotFoundError."""
        if self.name:
            return os.stat(self.name, dir_fd=self.directory, follow_symlinks=False)
        return os.fstat(self.directory)

    def open_directory(self) -> int:
        """A descriptor to list the directory that is here.  Raises OSError."""
        flags = os.O_RDONLY | os.O_DIRECTORY
        return openat2.open_in(self.directory, self.name or b".", flags, openat2.BENEATH | openat2.NO_SYMLINKS)


def look(root: int, path: str) -> PathStat:
    """What is at the absolute ``path``.  Raises OSError."""
    with Place(root, path) as place:
        status = place.status()
    target = evaluate(root, path) if stat.S_ISLNK(status.st_mode) else ""
    return PathStat(base_name(path), status.st_size, status.st_mode, status.st_mtime_ns, target)


def evaluate(root: int, path: str) -> str:
    """Where a path leads when all links are followed, as a path that need not exist (Docker's FollowSymlinkInScope)."""
    pending = [part for part in path.split("/") if part][::-1]
    done: list[str] = []
    links = 0
    while pending:
        part = pending.pop()
        if part == ".":
            continue
        if part == "..":
            done = done[:-1]
            continue
        target = _read_link(root, "/" + "/".join([*done, part]))
        if target is None:
            done.append(part)
            continue
        links += 1
        if links > _MAX_LINKS:
            raise OSError(40, "too many levels of symbolic links")
        if target.startswith("/"):
            done = []
        pending += [step for step in target.split("/") if step][::-1]
    return "/" + "/".join(done)


def _read_link(root: int, path: str) -> str | None:
    try:
        fd = openat2.open_in(root, path, _HANDLE)
    except OSError:
        return None
    try:
        return os.readlink("", dir_fd=fd) if stat.S_ISLNK(os.fstat(fd).st_mode) else None
    except OSError:
        return None  # one of procfs that means nothing to us
    finally:
        os.close(fd)
