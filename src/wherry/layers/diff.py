"""The upper directory of an overlay to a layer's tar stream.

What the container deleted goes back to ``.wh.NAME``, directories that hide what is below get ``.wh..wh..opq`` (OCI
image spec, layer.md; Linux, Documentation/filesystems/overlayfs.rst, "whiteouts and opaque directories").  The entries
are in order of their names and times are whole seconds, as in Docker's layers, so one directory always gives one
digest.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from typing import Protocol

from wherry.errors import NotSupported, SystemFailure
from wherry.layers import attributes, tar
from wherry.layers.tarwriter import header, padding
from wherry.layers.tree import MAX_DEPTH, MAX_NAME, shown
from wherry.linux import trees
from wherry.linux.ids import IdMap, inside
from wherry.record import Record

_PIECE = 256 << 10
_OPAQUE, _WHITEOUT, _METACOPY, _REDIRECT = "overlay.opaque", "overlay.whiteout", "overlay.metacopy", "overlay.redirect"
_KINDS = {stat.S_IFCHR: tar.CHARACTER, stat.S_IFBLK: tar.BLOCK, stat.S_IFIFO: tar.FIFO}


class Writable(Protocol):
    """Where the tar goes."""

    def write(self, data: bytes, /) -> object: ...


class Written(Record):
    """The layer that was written: its diff id, the bytes of file content, its entries and the length of the tar."""

    diff_id: str
    size: int
    entries: int
    tar_size: int


def diff(directory_fd: int, out: Writable, ids: tuple[IdMap, ...] = ()) -> Written:
    """Write everything below ``directory_fd``, an overlay's upper directory, to ``out`` as a layer.

    ``ids`` is how the container's ids are kept on disk; none: as they are.  Files that change meanwhile are cut or
    filled with zeros to the length that they had.  Sockets are left out, as tar has no such thing.  Raises
    `NotSupported` for what a layer cannot hold, `SystemFailure`, and what writing raises.
    """
    return _Diff(out, ids).write(directory_fd)


class _Diff:
    def __init__(self, out: Writable, ids: tuple[IdMap, ...]) -> None:
        self._out = out
        self._ids = ids
        self._hash = hashlib.sha256()
        self._length = 0
        self._size = 0
        self._entries = 0
        self._links: dict[tuple[int, int], bytes] = {}

    def write(self, root: int) -> Written:
        """Walk the tree, parents before what is in them, and end the tar."""
        stack = [(os.dup(root), b"", _names(root))]
        try:
            while stack:
                fd, path, names = stack[-1]
                if not names:
                    os.close(stack.pop()[0])
                    continue
                name = names.pop()
                inside = path + b"/" + name if path else name
                if len(stack) > MAX_DEPTH or len(inside) > MAX_NAME:
                    raise NotSupported(f"directories are nested too deep for a layer: {shown(inside)}")
                try:
                    inner = self._entry(fd, name, inside)
                    if inner is not None:
                        stack.append((inner, inside, []))
                        stack[-1][2].extend(_names(inner))
                except FileNotFoundError:
                    continue  # gone since it was listed
                except OSError as error:
                    raise SystemFailure(f"reading {shown(inside)}", "read", error.errno or errno.EIO) from error
        finally:
            for fd, _path, _names_left in stack:
                os.close(fd)
        self._put(bytes(1024))
        return Written("sha256:" + self._hash.hexdigest(), self._size, self._entries, self._length)

    def _put(self, data: bytes) -> None:
        self._hash.update(data)
        self._length += len(data)
        self._out.write(data)

    def _entry(self, fd: int, name: bytes, path: bytes) -> int | None:
        """Write one entry; a descriptor of it when it is a directory to walk."""
        status = os.stat(name, dir_fd=fd, follow_symlinks=False)
        kind = stat.S_IFMT(status.st_mode)
        if kind == stat.S_IFDIR:
            inner = os.open(name, trees.DIRECTORY, dir_fd=fd)
            try:
                self._directory(inner, path)
            except BaseException:
                os.close(inner)
                raise
            return inner
        if kind == stat.S_IFREG:
            self._file(fd, name, path)
        elif kind == stat.S_IFCHR and status.st_rdev == 0:
            self._whiteout(path)
        elif kind != stat.S_IFSOCK and not self._linked(status, path):
            self._other(fd, name, path, status)
        return None

    def _head(self, path: bytes, kind: bytes, status: os.stat_result, xattrs: dict[str, bytes], size: int = 0,
              link: bytes = b"") -> None:  # fmt: skip
        self._entries += 1
        uid, gid = self._shown(status.st_uid, path), self._shown(status.st_gid, path)
        device = (os.major(status.st_rdev), os.minor(status.st_rdev)) if kind in (tar.CHARACTER, tar.BLOCK) else (0, 0)
        self._put(
            header(path, kind, size=size, mode=stat.S_IMODE(status.st_mode), uid=uid, gid=gid, link=link, device=device,
                   mtime=int(status.st_mtime_ns // 1_000_000_000), xattrs=xattrs)
        )  # fmt: skip

    def _shown(self, host: int, path: bytes) -> int:
        """An id as the container sees it."""
        found = inside(self._ids, host)
        if found < 0:
            raise NotSupported(f"{shown(path)} belongs to the id {host}, which the container does not have")
        return found

    def _whiteout(self, path: bytes) -> None:
        parent, slash, name = path.rpartition(b"/")
        self._entries += 1
        self._put(header(parent + slash + b".wh." + name, tar.FILE))

    def _directory(self, fd: int, path: bytes) -> None:
        marks = _marks(fd)
        if _REDIRECT in marks:
            raise NotSupported(f"{shown(path)} was renamed in a way that a layer cannot hold")
        self._head(path + b"/", tar.DIRECTORY, os.fstat(fd), attributes.get(fd))
        if marks.get(_OPAQUE) == b"y":
            self._entries += 1
            self._put(header(path + b"/.wh..wh..opq", tar.FILE))

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
        file = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=fd)
        try:
            status = os.fstat(file)
            if not stat.S_ISREG(status.st_mode):
                return
            marks = _marks(file)
            if _WHITEOUT in marks and not status.st_size:
                self._whiteout(path)
                return
            if _METACOPY in marks:
                raise NotSupported(f"{shown(path)} has its data in a layer below (metacopy)")
            if self._linked(status, path):
                return
            self._head(path, tar.FILE, status, attributes.get(file), size=status.st_size)
            self._size += status.st_size
            self._data(file, status.st_size)
        finally:
            os.close(file)

    def _data(self, file: int, size: int) -> None:
        left = size
        while left:
            piece = os.read(file, min(left, _PIECE)) or bytes(min(left, _PIECE))
            self._put(piece)
            left -= len(piece)
        self._put(padding(size))

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


def _marks(fd: int) -> dict[str, bytes]:
    """The overlay's own attributes of a file, without what they begin with."""
    found = {}
    for name in os.listxattr(fd):
        for prefix in ("trusted.", "user."):
            if name.startswith(prefix + "overlay."):
                found[name[len(prefix) :]] = os.getxattr(fd, name)
    return found
