"""A layer's tree on disk: what `wherry.layers.erofs_layer` found, read again whenever an image has that layer.

    header         what this is, its form, how many entries and attributes, the tar's length and its file's blocks,
                   lengths of what follows, and a checksum of it
    rows           one of fixed size for every entry, a directory before what is in it
    names, targets, attributes: all of this compressed (gzip)

The form is ours alone and may change: an index of another form is made anew from the tar.
"""

from __future__ import annotations

import stat
import struct
import zlib

from wherry.errors import Corrupt
from wherry.layers import compress
from wherry.layers.erofs_tree import WHITEOUT, Child, Directory, Mark, Node
from wherry.record import Record

_HEADER = struct.Struct("<8sIIQQIIIII")
_MAGIC = b"wherryix"
_FORM = 2
_ROW = struct.Struct("<IHBxIIqIQIII")
_NONE = 0xFFFFFFFF
_IMPLIED, _OPAQUE = 1, 2
_USUAL = 64 << 20  # more is made room for when it comes: a damaged length may be any


class Layer(Record):
    """``tar_size`` is the length of the tar in its file, ``blocks`` that of the file in blocks of 512 bytes."""

    root: Directory
    tar_size: int
    blocks: int


class _Writer:
    def __init__(self) -> None:
        self.rows: list[bytes] = []
        self.names: list[bytes] = []
        self.targets: list[bytes] = []
        self.xattrs: dict[bytes, int] = {}
        self._seen: dict[int, int] = {}

    def number(self, xattrs: bytes) -> int:
        return self.xattrs.setdefault(xattrs, len(self.xattrs)) if xattrs else _NONE

    def directory(self, directory: Directory, parent: int, name: bytes) -> None:
        here = len(self.rows)
        flags = (_IMPLIED if directory.implied else 0) | (_OPAQUE if directory.opaque else 0)
        self.names.append(name)
        self.rows.append(
            _ROW.pack(
                parent, directory.mode, flags, directory.uid, directory.gid, directory.seconds,
                directory.nanoseconds, 0, 0, self.number(directory.xattrs), _NONE,
            )
        )  # fmt: skip
        for inside, child in directory.children.items():
            if isinstance(child, Directory):
                self.directory(child, here, inside)
            else:
                self.entry(child, here, inside)

    def entry(self, child: Node | Mark, parent: int, name: bytes) -> None:
        self.names.append(name)
        here = len(self.rows)
        if isinstance(child, Mark):
            self.targets.append(child.target)
            self.rows.append(_ROW.pack(parent, 0, 0, 0, 0, 0, 0, 0, 0, _NONE, _NONE))
            return
        mode, uid, gid, seconds, nanoseconds, size, where, xattrs, target = child
        same = self._seen.setdefault(id(child), here)
        number = self.number(xattrs) if xattrs else _NONE
        self.rows.append(
            _ROW.pack(
                parent, mode, 0, uid, gid, seconds, nanoseconds, size, where, number, _NONE if same == here else same
            )
        )
        if target and same == here:
            self.targets.append(target)


def dump(layer: Layer) -> bytes:
    """The bytes of an index."""
    writer = _Writer()
    writer.directory(layer.root, _NONE, b"")
    names, targets = b"\0".join(writer.names), b"\0".join(writer.targets)
    xattrs = b"".join(struct.pack("<I", len(one)) + one for one in writer.xattrs)
    body = b"".join((*writer.rows, names, targets, xattrs))
    sizes = (len(names), len(targets), len(xattrs), zlib.crc32(body))
    return _HEADER.pack(_MAGIC, _FORM, len(writer.rows), layer.tar_size, layer.blocks, *sizes, 0) + compress.quickly(
        body
    )


def head(data: bytes, *, any_form: bool = False) -> Layer:
    """What the first bytes of an index say, with an empty tree.  Raises `Corrupt` when they are not those of one.

    ``any_form``: of another version's index too, which begins with the same.
    """
    if len(data) < _HEADER.size:
        raise Corrupt("a layer's index is cut short")
    magic, form, _count, tar_size, blocks, *_rest = _HEADER.unpack_from(data)
    if magic != _MAGIC or (form != _FORM and not any_form):
        raise Corrupt("a layer's index has another form")
    return Layer(Directory(0, 0, 0, 0, 0), tar_size, blocks)


def load(data: bytes, base: int = 0) -> Layer:
    """The layer of an index, ``base`` added to the block addresses of files.  Raises `Corrupt` for a damaged one."""
    empty = head(data)
    _magic, _form, count, _tar, _blocks, name_size, target_size, xattr_size, check, _ = _HEADER.unpack_from(data)
    start = count * _ROW.size
    size = start + name_size + target_size + xattr_size
    try:
        data = zlib.decompress(memoryview(data)[_HEADER.size :], 31, min(size, _USUAL))
    except zlib.error:
        raise Corrupt("a layer's index is damaged") from None
    if len(data) != size or zlib.crc32(data) != check:
        raise Corrupt("a layer's index is damaged")
    names = data[start : start + name_size].split(b"\0")
    start += name_size
    targets = iter(data[start : start + target_size].split(b"\0"))
    xattrs = _xattrs(data[start + target_size :])
    entries: list[Child] = []
    add = entries.append
    rows = _ROW.iter_unpack(memoryview(data)[: count * _ROW.size])
    root: Directory | None = None
    for (parent, mode, flags, uid, gid, seconds, nanoseconds, size, where, number, same), name in zip(
        rows, names, strict=True
    ):
        child: Child
        attributes = xattrs[number] if number != _NONE else b""
        form = mode & 0o170000
        if form == stat.S_IFREG:
            if same != _NONE:
                child = entries[same]
            else:
                child = (mode, uid, gid, seconds, nanoseconds, size, where + base, attributes, b"")
        elif form == stat.S_IFDIR:
            child = Directory(mode, uid, gid, seconds, nanoseconds, attributes)
            child.implied, child.opaque = bool(flags & _IMPLIED), bool(flags & _OPAQUE)
        elif not mode:
            target = next(targets)
            child = Mark(target) if target else WHITEOUT
        elif same != _NONE:
            child = entries[same]
        else:
            target = next(targets) if form == stat.S_IFLNK else b""
            child = (mode, uid, gid, seconds, nanoseconds, size, where, attributes, target)
        add(child)
        if parent != _NONE:
            above = entries[parent]
            assert above.__class__ is Directory
            above.children[name] = child
        else:
            root = child if isinstance(child, Directory) else None
    if root is None:
        raise Corrupt("a layer's index has no root")
    return empty.replace(root=root)


def _xattrs(data: bytes) -> list[bytes]:
    found = []
    position = 0
    while position < len(data):
        (size,) = struct.unpack_from("<I", data, position)
        found.append(data[position + 4 : position + 4 + size])
        position += 4 + size
    return found
