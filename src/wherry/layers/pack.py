"""A directory tree to a tar stream, through descriptors: no symbolic link is followed, nothing but files is opened.

The entries are in order of their names and times are whole seconds, as in Docker's archives, so that one tree always
gives the same bytes.
"""

from __future__ import annotations

import errno
import os
import stat

from wherry.errors import NotSupported, SystemFailure
from wherry.layers import attributes, tar
from wherry.layers.tarwriter import header, padding
from wherry.layers.tree import MAX_DEPTH, MAX_NAME, shown
from wherry.linux import trees
from wherry.linux.ids import IdMap, inside
from wherry.linux.mount import is_pseudo

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Protocol, TypeVar

    T = TypeVar("T")
else:
    Protocol = object

_PIECE = 256 << 10
_KINDS = {stat.S_IFCHR: tar.CHARACTER, stat.S_IFBLK: tar.BLOCK, stat.S_IFIFO: tar.FIFO}
_HANDLE = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
_READ = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
#: What comes of a name that has become something else since it was looked at, before anything of it was written.
_CHANGED = (errno.ENOTDIR, errno.ELOOP, errno.EINVAL)
_ATTEMPTS = 5
_PRIVILEGES = stat.S_ISUID | stat.S_ISGID


class Writable(Protocol):
    """Where the tar goes."""

    def write(self, data: bytes, /) -> object: ...


class Packer:
    """Writes one tar: any number of `tree` and `leaf`, then `end`.

    ``ids`` is how the ids are kept where the tree is; none: as they are.  With ``owner`` every entry gets that owner,
    and what would give its rights away is left out: the set-user-id bit of a file of somebody else, capabilities.
    Files that change meanwhile are cut or filled with zeros to the length that they had.  Sockets are left out, as
    tar has no such thing; so is what the kernel shows in file systems like procfs.  Raises `NotSupported` for what a
    tar cannot hold, `SystemFailure`, and what writing raises.  Of the directories ``hollow``, by device and inode, the
    content is left out too.
    """

    def __init__(
        self,
        out: Writable,
        ids: tuple[IdMap, ...] = (),
        owner: tuple[int, int] | None = None,
        hollow: frozenset[tuple[int, int]] = frozenset(),
    ) -> None:
        self._out = out
        self._hollow = hollow
        self._ids = ids
        self._owner = owner
        self._links: dict[tuple[int, int], bytes] = {}
        self.length = 0
        self.size = 0
        self.entries = 0

    def end(self) -> None:
        """Write what ends a tar."""
        self._put(bytes(1024))

    def tree(self, root: int, name: bytes, *, head: bool = True) -> None:
        """Everything below the directory ``root``, parents before what is in them, as ``name`` and below.

        ``name`` "" is the top of the tar, which has no entry of its own; neither has any without ``head``.
        """
        self._attempt(name, lambda: self._directory(root, name) if head and name else None)
        stack = [(os.dup(root), name, [] if self._is_hollow(root) else _names(root))]
        base = name.count(b"/")
        try:
            while stack:
                fd, path, names = stack[-1]
                if not names:
                    os.close(stack.pop()[0])
                    continue
                entry = names.pop()
                inner_path = path.rstrip(b"/") + b"/" + entry if path else entry
                if len(stack) > MAX_DEPTH or len(inner_path) > MAX_NAME + base:
                    raise NotSupported(f"directories are nested too deep for a layer: {shown(inner_path)}")
                inner = self._attempt(inner_path, lambda: self._entry(fd, entry, inner_path))  # noqa: B023
                if inner is not None:
                    stack.append((inner, inner_path, []))
                    stack[-1][2].extend(_names(inner))
        finally:
            for fd, _path, _names_left in stack:
                os.close(fd)

    def leaf(self, directory: int, name: bytes, path: bytes) -> None:
        """What ``name`` in ``directory`` is, which is no directory, as ``path``."""
        inner = self._attempt(path, lambda: self._entry(directory, name, path))
        if inner is not None:
            os.close(inner)

    def _is_hollow(self, fd: int) -> bool:
        """Whether what is in a directory is left out."""
        status = os.fstat(fd)
        return (status.st_dev, status.st_ino) in self._hollow or is_pseudo(fd)

    def _attempt(self, path: bytes, do: Callable[[], T]) -> T | None:
        for _ in range(_ATTEMPTS):
            try:
                return do()
            except FileNotFoundError:
                return None  # gone since it was listed
            except BrokenPipeError:
                raise
            except OSError as error:
                if error.errno in _CHANGED:
                    continue
                if error.errno in (errno.ENOSPC, errno.EDQUOT):
                    raise
                raise SystemFailure(f"reading {shown(path)}", "read", error.errno or errno.EIO) from error
        return None

    def _put(self, data: bytes) -> None:
        self.length += len(data)
        self._out.write(data)

    def _entry(self, fd: int, name: bytes, path: bytes) -> int | None:
        """Write one entry; a descriptor of it when it is a directory to walk."""
        status = os.stat(name, dir_fd=fd, follow_symlinks=False)
        kind = stat.S_IFMT(status.st_mode)
        if kind == stat.S_IFDIR:
            inner = os.open(name, trees.DIRECTORY, dir_fd=fd)
            try:
                self._directory(inner, path)
                if status.st_dev != os.fstat(fd).st_dev and self._is_hollow(inner):
                    os.close(inner)
                    return None
            except BaseException:
                os.close(inner)
                raise
            return inner
        if kind == stat.S_IFREG:
            self._file(fd, name, path)
        elif kind != stat.S_IFSOCK and not self._linked(status, path):
            self._other(fd, name, path, status)
        return None

    def _head(self, path: bytes, kind: bytes, status: os.stat_result, xattrs: dict[str, bytes], size: int = 0,
              link: bytes = b"") -> None:  # fmt: skip
        self.entries += 1
        mode = stat.S_IMODE(status.st_mode)
        if self._owner is None:
            uid, gid = self._shown(status.st_uid, path), self._shown(status.st_gid, path)
        else:
            uid, gid = self._owner
            if kind == tar.FILE and (status.st_uid, status.st_gid) != self._owner:
                mode &= ~_PRIVILEGES
                xattrs.pop(attributes.CAPABILITY, None)
        device = (os.major(status.st_rdev), os.minor(status.st_rdev)) if kind in (tar.CHARACTER, tar.BLOCK) else (0, 0)
        self._put(
            header(path, kind, size=size, mode=mode, uid=uid, gid=gid, link=link, device=device,
                   mtime=int(status.st_mtime_ns // 1_000_000_000), xattrs=xattrs)
        )  # fmt: skip

    def _shown(self, host: int, path: bytes) -> int:
        """An id as the container sees it."""
        found = inside(self._ids, host)
        if found < 0:
            raise NotSupported(f"{shown(path)} belongs to the id {host}, which the container does not have")
        return found

    def _directory(self, fd: int, path: bytes) -> None:
        slash = b"" if path.endswith(b"/") else b"/"
        self._head(path + slash, tar.DIRECTORY, os.fstat(fd), attributes.get(fd))

    def _linked(self, status: os.stat_result, path: bytes) -> bool:
        """Write another name of a file that was written already; whether it was one."""
        if status.st_nlink < 2:
            return False
        first = self._links.setdefault((status.st_dev, status.st_ino), path)
        if first is path:
            return False
        self._head(path, tar.LINK, status, {}, link=first)
        return True

    def _file(self, fd: int, name: bytes, path: bytes) -> None:
        handle = os.open(name, _HANDLE, dir_fd=fd)  # opening a device that took its place could do anything
        try:
            if not stat.S_ISREG(os.fstat(handle).st_mode):
                return
            file = os.open(f"/proc/self/fd/{handle}", _READ)
        finally:
            os.close(handle)
        try:
            self._open_file(file, os.fstat(file), path)
        finally:
            os.close(file)

    def _open_file(self, file: int, status: os.stat_result, path: bytes) -> None:
        if self._linked(status, path):
            return
        self._head(path, tar.FILE, status, attributes.get(file), size=status.st_size)
        self.size += status.st_size
        left = status.st_size
        while left:
            piece = os.read(file, min(left, _PIECE)) or bytes(min(left, _PIECE))
            self._put(piece)
            left -= len(piece)
        self._put(padding(status.st_size))

    def _other(self, fd: int, name: bytes, path: bytes, status: os.stat_result) -> None:
        """A symbolic link, a device or a fifo."""
        xattrs = attributes.get(b"/proc/self/fd/%d/%b" % (fd, name))
        if stat.S_ISLNK(status.st_mode):
            self._head(path, tar.SYMLINK, status, xattrs, link=os.readlink(name, dir_fd=fd))
        else:
            self._head(path, _KINDS[stat.S_IFMT(status.st_mode)], status, xattrs)


def _names(fd: int) -> list[bytes]:
    """What is in a directory, last name first."""
    return sorted(map(os.fsencode, os.listdir(fd)), reverse=True)
