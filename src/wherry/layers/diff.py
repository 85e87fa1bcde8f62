"""The upper directory of an overlay to a layer's tar stream.

What the container deleted goes back to ``.wh.NAME``, directories that hide what is below get ``.wh..wh..opq`` (OCI
image spec, layer.md; Linux, Documentation/filesystems/overlayfs.rst, "whiteouts and opaque directories").
"""

from __future__ import annotations

import hashlib
import os
import stat

from wherry.errors import NotSupported
from wherry.layers import tar
from wherry.layers.changes import is_whiteout
from wherry.layers.pack import Packer, Writable
from wherry.layers.tarwriter import header
from wherry.layers.tree import shown
from wherry.linux.ids import IdMap
from wherry.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Container

_OPAQUE, _METACOPY, _REDIRECT = "overlay.opaque", "overlay.metacopy", "overlay.redirect"


class Written(Record):
    """The layer that was written: its diff id, the bytes of file content, its entries and the length of the tar."""

    diff_id: str
    size: int
    entries: int
    tar_size: int


def diff(
    directory_fd: int, out: Writable, ids: tuple[IdMap, ...] = (), only: Container[bytes] | None = None
) -> Written:
    """Write what is below ``directory_fd``, an overlay's upper directory, to ``out`` as a layer.

    ``ids`` is how the container's ids are kept on disk; none: as they are.  With ``only`` just those paths are written
    (absolute, and with every path the directories around it).  See `Packer` for what else holds and is raised.
    """
    writer = _Diff(out, ids, only)
    writer.tree(directory_fd, b"")
    writer.end()
    return Written(writer.diff_id, writer.size, writer.entries, writer.length)


class _Diff(Packer):
    def __init__(self, out: Writable, ids: tuple[IdMap, ...], only: Container[bytes] | None) -> None:
        super().__init__(out, ids)
        self._only = only
        self._hash = hashlib.sha256()

    @property
    def diff_id(self) -> str:
        """The digest of everything written so far."""
        return "sha256:" + self._hash.hexdigest()

    def _put(self, data: bytes) -> None:
        self._hash.update(data)
        super()._put(data)

    def _entry(self, fd: int, name: bytes, path: bytes) -> int | None:
        if self._only is not None and b"/" + path not in self._only:
            return None
        status = os.stat(name, dir_fd=fd, follow_symlinks=False)
        if is_whiteout(fd, name, status):
            self._mark(os.path.join(os.path.dirname(path), b".wh." + name))
            return None
        return super()._entry(fd, name, path)

    def _mark(self, path: bytes) -> None:
        self.entries += 1
        self._put(header(path, tar.FILE))

    def _directory(self, fd: int, path: bytes) -> None:
        marks = _marks(fd)
        if _REDIRECT in marks:
            raise NotSupported(f"{shown(path)} was renamed in a way that a layer cannot hold")
        super()._directory(fd, path)
        if marks.get(_OPAQUE) == b"y":
            self._mark(path + b"/.wh..wh..opq")

    def _open_file(self, file: int, status: os.stat_result, path: bytes) -> None:
        if stat.S_ISREG(status.st_mode) and _METACOPY in _marks(file):
            raise NotSupported(f"{shown(path)} has its data in a layer below (metacopy)")
        super()._open_file(file, status, path)


def _marks(fd: int) -> dict[str, bytes]:
    """The overlay's own attributes of a file, without what they begin with."""
    found = {}
    for name in os.listxattr(fd):
        for prefix in ("trusted.", "user."):
            if name.startswith(prefix + "overlay."):
                found[name[len(prefix) :]] = os.getxattr(fd, name)
    return found
