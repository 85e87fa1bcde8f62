"""A layer's tar stream to a file as it is and a tree of what is in it, in one pass: nothing is unpacked.

What the names and links of a hostile tar lead to is decided here by the rules of `wherry.layers.apply`, on a tree that
is only in memory: there is no file system that a name could leave.  Whatever one of the two makes of a tar, the other
makes too, and a test holds that.

A sparse file's pieces are not where its content would be, so it is written out once more, whole, after all other
content in the same file.
"""

from __future__ import annotations

import os
import stat

from wherry.errors import Corrupt, NotSupported
from wherry.layers import erofs_xattrs, tar
from wherry.layers.apply import Applied, Limits
from wherry.layers.compression import Readable
from wherry.layers.erofs_sparse import BLOCK, Sparse, expand
from wherry.layers.erofs_tar import Split
from wherry.layers.erofs_tree import WHITEOUT, Child, Directory, Mark, Node
from wherry.layers.source import Source
from wherry.layers.tree import MAX_DEPTH, clean, shown
from wherry.record import Record

#: What one layer's tree may take in memory: a layer that has more is unpacked instead.
ENTRIES = 500_000
TEXT = 64 << 20
#: The blocks of one layer: less than all that an image can address.
BLOCKS = 1 << 31

_WHITEOUT, _OPAQUE, _META = b".wh.", b".wh..wh..opq", b".wh..wh."
_IMPLIED_MODE = stat.S_IFDIR | 0o755
_TIMES = 1 << 40
_MAX_LINKS = 40
_FORMS = {
    tar.FILE: stat.S_IFREG, tar.SYMLINK: stat.S_IFLNK, tar.CHARACTER: stat.S_IFCHR, tar.BLOCK: stat.S_IFBLK,
    tar.FIFO: stat.S_IFIFO,
}  # fmt: skip


class Indexed(Record):
    """What came of a stream.

    ``applied`` is what unpacking it would have reported.  ``root`` is its tree, with addresses in blocks from the
    beginning of its file, ``blocks`` the length of the file; ``reason`` says why there is no tree, of a tar that is
    valid but is not for this form.
    """

    applied: Applied
    root: Directory | None
    blocks: int
    reason: str = ""


def index(
    stream: Readable, parts: tuple[int, int] | None, limits: Limits | None = None, *, whole: bool = False
) -> Indexed:
    """Write the tar ``stream`` (decompressed) to the empty files ``parts`` (`erofs_tar`) and index it.

    Nothing is written without ``parts``; ``whole`` says that the layer's file has the whole tar then.  The stream is
    read to its end, in a helper thread.  Raises `Corrupt` for a damaged or hostile layer, OSError when a file cannot be
    written, and what reading ``stream`` raises.
    """
    with Source(stream) if whole else Split(stream, parts) as source:
        layer = _Layer(source, limits or Limits())
        reason = ""
        try:
            layer.read()
        except NotSupported as error:
            reason = str(error)
        source.finish()
        if reason:
            return Indexed(Applied(source.digest, 0, 0, (), (), source.size), None, 0, reason)
        end = source.size if whole else source.content
        blocks = expand(layer.sparse, parts[0] if parts else None, end)
    implied, missing = _open_ends(layer.root)
    applied = Applied(source.digest, layer.size, layer.entries, implied, missing, source.size)
    return Indexed(applied, layer.root, blocks)


def _open_ends(root: Directory) -> tuple[tuple[str, ...], tuple[tuple[str, str], ...]]:
    """The directories that have no entry, and the hard links to files that are not here."""
    implied: list[str] = []
    missing: list[tuple[str, str]] = []

    def look(directory: Directory, above: bytes) -> None:
        for name, child in directory.children.items():
            if child.__class__ is Directory:
                if child.implied:
                    implied.append(os.fsdecode(above + name))
                look(child, above + name + b"/")
            elif child.__class__ is Mark and child.target:
                missing.append((os.fsdecode(above + name), os.fsdecode(child.target)))

    look(root, b"")
    return tuple(sorted(implied)), tuple(missing)


class _Missing(Exception):
    """A directory that is not there."""


class _Layer:
    """The tree of one layer, as it grows."""

    def __init__(self, source: Source, limits: Limits) -> None:
        self._source = source
        self._limits = limits
        self.root = Directory(_IMPLIED_MODE, 0, 0, 0, 0)
        self._known: dict[bytes, Directory] = {b"": self.root}
        self._mtime = (0, 0)
        self._text = 0
        self._path = b""
        self._count = 1
        self._blocks = 0
        self.sparse: list[Sparse] = []
        self.size = 0
        self.entries = 0

    def read(self) -> None:
        """Take every entry of the tar.  Raises `Corrupt`, and `NotSupported` for a tar that only unpacking does
        justice to."""
        add = self._add
        for entry in tar.entries(self._source, self._limits.entries):
            add(entry)

    def _add(self, entry: tar.Entry) -> None:
        path = entry.name
        if path.startswith((b"/", b".")) or path.endswith(b"/") or b"//" in path or b"/." in path or len(path) > 200:
            path = clean(path)
        self._path = path
        seconds, nanoseconds = divmod(entry.mtime, 1_000_000_000)
        if not -_TIMES <= seconds < _TIMES:
            seconds, nanoseconds = max(-_TIMES, min(seconds, _TIMES)), 0
        self._mtime = (seconds, nanoseconds)
        if b".wh." in path and self._marker(path):
            return
        self.entries += 1
        self._text += len(path) + len(entry.linkname) + 64
        if self.entries > ENTRIES or self._text > TEXT:
            raise NotSupported(f"a layer of more than {self.entries - 1:,} entries")
        parent, _, name = path.rpartition(b"/")
        kind = entry.kind
        if kind == tar.DIRECTORY:
            self._add_directory(entry, parent, name)
        elif not name:
            raise Corrupt("layer has an entry for its root that is not a directory")
        elif kind == tar.LINK:
            self._add_link(entry, parent, name)
        else:
            self._add_node(entry, parent, name)

    def _xattrs(self, entry: tar.Entry, mode: int) -> tuple[bytes, int]:
        if not entry.xattrs:
            return b"", mode
        xattrs, mode = erofs_xattrs.encode(entry.xattrs, mode, self._path)
        self._text += len(xattrs)
        return xattrs, mode

    def _add_node(self, entry: tar.Entry, parent: bytes, name: bytes) -> None:
        directory = self._known.get(parent) or self._directory(parent)
        kind = entry.kind
        where = 0
        target = b""
        size = 0
        if kind == tar.FILE:
            size = entry.real
            self.size += entry.size
            if size > self._limits.file or self.size > self._limits.total:
                raise Corrupt(f"layer has more data than a layer may have: {shown(self._path)}")
            where = self._source.content // BLOCK
        elif kind == tar.SYMLINK:
            target = entry.linkname
            if not target or b"\0" in target:
                raise Corrupt(f"layer has a symbolic link without a target: {shown(self._path)}")
            size = len(target)
        elif kind != tar.FIFO:
            where = self._device(entry)
        mode = _FORMS[kind] | (0o777 if target else entry.mode)
        xattrs = b""
        if entry.xattrs:
            xattrs, mode = self._xattrs(entry, mode)
        if name in directory.children:
            directory = self._clear(directory, name, parent)
        children = directory.children
        if kind == tar.CHARACTER and not where:
            children[name] = WHITEOUT  # which is what overlay takes such a device for
            return
        node = (mode, entry.uid, entry.gid, *self._mtime, size, where, xattrs, target)
        children[name] = node
        if kind == tar.FILE and entry.map is not None:
            self._add_sparse(entry, node, directory, name)
        elif where >= BLOCKS and kind == tar.FILE:
            raise NotSupported("a layer of more than a tebibyte")

    def _add_sparse(self, entry: tar.Entry, node: Node, directory: Directory, name: bytes) -> None:
        assert entry.map is not None
        self._blocks += -(-entry.real // BLOCK)
        self._text += 16 * len(entry.map)
        if self._blocks + self._source.content // BLOCK >= BLOCKS:
            raise NotSupported("sparse files of more than a tebibyte")
        self.sparse.append(Sparse(node, [(directory, name)], self._source.content, entry.map, entry.real))

    def _device(self, entry: tar.Entry) -> int:
        """The number of a device as the kernel encodes it (new_encode_dev)."""
        major, minor = entry.major, entry.minor
        if not (0 <= major < 1 << 12 and 0 <= minor < 1 << 20):
            raise Corrupt(f"layer has a device {major}:{minor}, which cannot be: {shown(self._path)}")
        return minor & 0xFF | major << 8 | (minor & ~0xFF) << 12

    def _add_directory(self, entry: tar.Entry, parent: bytes, name: bytes) -> None:
        xattrs, mode = self._xattrs(entry, stat.S_IFDIR | entry.mode)
        found: Child | None = self.root
        if name:
            above = self._directory(parent)
            found = above.children.get(name)
            if found.__class__ is not Directory:
                found = self._make(above, name, parent)
        assert isinstance(found, Directory)
        found.implied = False
        found.mode, found.uid, found.gid, found.xattrs = mode, entry.uid, entry.gid, xattrs
        found.seconds, found.nanoseconds = self._mtime

    def _make(self, above: Directory, name: bytes, parent: bytes | None = None) -> Directory:
        """A new directory, in place of what is there; one that hides what is below where a whiteout was.

        ``parent`` is the name by which ``above`` was found, when what is there may be a link.
        """
        if self._count >= self._limits.directories:
            raise Corrupt(f"layer has more than {self._limits.directories:,} directories")
        self._count += 1
        directory = Directory(_IMPLIED_MODE, 0, 0, *self._mtime)
        if name in above.children:
            there = above.children[name]
            if isinstance(there, Mark) and there.hides:
                directory.opaque, directory.implied = True, False
            above = self._clear(above, name, parent)
        above.children[name] = directory
        return directory

    def _clear(self, directory: Directory, name: bytes, parent: bytes | None) -> Directory:
        """Remove what an earlier entry left in the directory ``parent``; the directory that has this name now."""
        there = directory.children.pop(name)
        if there.__class__ is Directory or (there.__class__ is tuple and there[8]):
            self._known = {b"": self.root}  # names that led through it lead elsewhere now
            if parent is not None:
                return self._directory(parent)
        return directory

    def _add_link(self, entry: tar.Entry, parent: bytes, name: bytes) -> None:
        target = clean(entry.linkname)
        if not target:
            raise Corrupt(f"layer has a hard link to its root: {shown(self._path)}")
        found = self._find(target)
        if found.__class__ is Directory:
            raise Corrupt(f"layer has a hard link to a directory: {shown(self._path)}")
        directory = self._directory(parent)
        there = directory.children.get(name)
        if found is None or isinstance(found, Mark):
            if found is not None and found.target and self._find(target) is found:
                target = found.target
            if there is not None and (there is WHITEOUT or there.__class__ is not Mark):
                directory = self._clear(directory, name, parent)
            if target != self._path:
                directory.children[name] = Mark(target)
            return
        if there is found:
            return
        if there is not None:
            directory = self._clear(directory, name, parent)
            if self._find(target) is not found:
                raise Corrupt(f"layer has a hard link that replaces its target: {shown(self._path)}")
        directory.children[name] = found
        for file in self.sparse:
            if file.node is found:
                file.names.append((directory, name))

    def _find(self, path: bytes) -> Child | None:
        """What this layer has at ``path``; the last name is not followed."""
        parent, _, name = path.rpartition(b"/")
        try:
            return self._directory(parent, create=False).children.get(name)
        except _Missing:
            return None

    # whiteouts

    def _marker(self, path: bytes) -> bool:
        """Take care of a name that is a whiteout or another of aufs's marks; False when it is an ordinary name."""
        *parents, name = path.split(b"/")
        if any(part.startswith(_META) for part in parents) or (name.startswith(_META) and name != _OPAQUE):
            return True
        if any(part.startswith(_WHITEOUT) for part in parents):
            raise Corrupt(f"layer has an entry below a whiteout: {shown(path)}")
        if not name.startswith(_WHITEOUT):
            return False
        self.entries += 1
        directory = self._directory(b"/".join(parents))
        if name == _OPAQUE:
            directory.opaque = True
            return True
        hidden = name[len(_WHITEOUT) :]
        if hidden in (b"", b".", b".."):
            raise Corrupt(f"layer has a whiteout of nothing: {shown(path)}")
        there = directory.children.get(hidden)
        if isinstance(there, Directory):  # the one in this layer takes the place of those below
            there.opaque, there.implied = True, False
        elif there is None:
            directory.children[hidden] = WHITEOUT
        elif isinstance(there, Mark):
            directory.children[hidden] = Mark(there.target, hides=True) if there.target else WHITEOUT
        return True

    # directories by name

    def _directory(self, path: bytes, *, create: bool = True) -> Directory:
        """The directory ``path``, which is `clean`, symbolic links followed inside the layer.

        Raises `_Missing` when it is missing and ``create`` is false, `Corrupt` when something on the way cannot be a
        directory.
        """
        found = self._known.get(path)
        if found is None:
            found = self._walk(path, create)
            self._known[path] = found
        return found

    def _walk(self, path: bytes, create: bool) -> Directory:
        pending = path.split(b"/")[::-1]
        done: list[Directory] = [self.root]
        links = 0
        while pending:
            part = pending.pop()
            if part in (b"", b"."):
                continue
            if part == b"..":
                if len(done) > 1:
                    done.pop()
                continue
            child = done[-1].children.get(part)
            if child is None or child.__class__ is Mark:
                if not create:
                    raise _Missing
                child = self._make(done[-1], part)
            elif isinstance(child, tuple):
                target = child[8]
                if not target:
                    raise Corrupt(f"layer has an entry below {shown(part)}, which is not a directory")
                links += 1
                if links > _MAX_LINKS or len(pending) > 8 * MAX_DEPTH:
                    raise Corrupt(f"layer has too many symbolic links on the way to {shown(path)}")
                if target.startswith(b"/"):
                    done = [self.root]
                pending += target.split(b"/")[::-1]
                continue
            assert isinstance(child, Directory)
            done.append(child)
            if len(done) > MAX_DEPTH + 1:
                raise Corrupt(f"layer has an entry whose name is too long: {shown(path)}")
        return done[-1]
