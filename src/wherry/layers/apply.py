"""A layer's tar stream to a directory, in the form that overlay mounts.

Nothing is written but through descriptors of directories that `wherry.layers.tree` found inside the layer's root.
Files are made new (O_EXCL), so no entry writes through a link that an earlier one left.  Directories are open to
the writer alone until the end, when they get their owner, mode, attributes and times, deepest first.

Whiteouts (OCI image spec, layer.md): ``.wh.NAME`` becomes a character device 0/0, ``.wh..wh..opq`` an attribute of
its directory (Linux, Documentation/filesystems/overlayfs.rst).
"""

from __future__ import annotations

import errno
import os
import stat

from wherry.errors import Corrupt, InvalidArgument, NotSupported, StorageFull, SystemFailure
from wherry.layers import attributes, tar
from wherry.layers.compression import Readable
from wherry.layers.directories import Directory, finish
from wherry.layers.source import Source
from wherry.layers.tree import Tree, clean, shown
from wherry.linux import trees
from wherry.record import Record

_WHITEOUT = b".wh."
_OPAQUE = b".wh..wh..opq"
_META = b".wh..wh."
_IMPLIED_MODE = 0o755
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
#: Times are cut to this many nanoseconds from 1970; the kernel cuts them further to what the file system has.
_TIMES = (1 << 40) * 1_000_000_000
_FULL = (errno.ENOSPC, errno.EDQUOT)
#: Where descriptors have names, for the calls that take no descriptor of a directory.
_PROC = b"/proc/self/fd"


class Limits(Record):
    """What a layer may hold: headers, directories, and bytes of one file and of all files together."""

    entries: int = 4_000_000
    directories: int = 500_000
    file: int = 1 << 40
    total: int = 1 << 42


class ApplyOptions(Record):
    """How a layer is written.

    ``whiteouts`` is "overlay" (needs CAP_SYS_ADMIN for trusted.overlay.opaque) or "overlay-user" (user.overlay.opaque,
    for overlay mounted with ``userxattr``).  ``ownership`` is "keep" or "ignore" (everything belongs to the caller).
    ``devices`` is "keep" or "skip".
    """

    whiteouts: str = "overlay"
    ownership: str = "keep"
    devices: str = "keep"
    limits: Limits = Limits()


class Applied(Record):
    """What was written.

    ``diff_id`` is the sha256 of the whole tar stream, ``tar_size`` its length.  ``size`` is the bytes of file content,
    ``entries`` the number of files, directories and whiteouts.  ``implied_dirs`` are directories without an entry of
    their own, ``missing_links`` pairs of (name, target) of hard links whose target is not in this layer; names have
    no leading slash and are str with surrogate escapes.
    """

    diff_id: str
    size: int
    entries: int
    implied_dirs: tuple[str, ...]
    missing_links: tuple[tuple[str, str], ...]
    tar_size: int = 0


def apply(stream: Readable, directory_fd: int, options: ApplyOptions | None = None) -> Applied:
    """Write the tar ``stream`` (decompressed) into the empty directory ``directory_fd``.

    The stream is read to its end, in a helper thread.  On an error the directory holds half a layer and is to be
    removed.  Raises `Corrupt` for a damaged or hostile layer, `StorageFull`, `NotSupported` for owners that the user
    namespace does not have, `SystemFailure`, and what reading ``stream`` raises.
    """
    options = options or ApplyOptions()
    if options.whiteouts not in ("overlay", "overlay-user"):
        raise InvalidArgument(f"unknown form of whiteouts: {options.whiteouts}")
    with Source(stream) as source:
        return _Layer(source, directory_fd, options).apply()


class _Layer:
    """One layer while it is written."""

    def __init__(self, source: Source, root: int, options: ApplyOptions) -> None:
        self._source = source
        self._root = root
        self._options = options
        self._own = options.ownership == "keep"
        self._me = (os.geteuid(), os.getegid())
        self._tree = Tree(root, self._imply)
        self._directories = {b"": Directory(_IMPLIED_MODE, 0, 0, 0, {})}
        self._missing: dict[bytes, bytes] = {}
        self._size = 0
        self._entries = 0
        self._mtime = 0
        self._path = b""

    def apply(self) -> Applied:
        limits = self._options.limits
        try:
            os.fchmod(self._root, 0o700)  # and without a set-group-id bit, which would be handed down
            for entry in tar.entries(self._source, limits.entries):
                self._add(entry)
            self._source.finish()
            self._finish()
        except OSError as error:
            if error.filename is None and error.errno is None:
                raise
            raise self._failure(error) from None
        finally:
            self._tree.close()
        implied = sorted(path for path, directory in self._directories.items() if directory.implied and path)
        return Applied(
            self._source.digest,
            self._size,
            self._entries,
            tuple(map(os.fsdecode, implied)),
            tuple((os.fsdecode(path), os.fsdecode(target)) for path, target in self._missing.items()),
            self._source.size,
        )

    def _finish(self) -> None:
        """Give every directory what its entry says, those inside before those around them."""
        for path in sorted(self._directories, reverse=True):
            self._path = path
            above = self._tree.directory(path.rpartition(b"/")[0], create=False)
            finish(above, path, self._directories[path], self._own, self._options.whiteouts)

    def _failure(self, error: OSError) -> Exception:
        if error.errno in _FULL:
            return StorageFull(
                f"no space left on device while unpacking {shown(self._path)}",
                hint="remove images that are not needed, or make room where Wherry keeps its state",
            )
        if error.errno == errno.EFBIG:
            return Corrupt(f"layer has a file that is too large for this file system: {shown(self._path)}")
        return SystemFailure(f"unpacking {shown(self._path)}", "write", error.errno or errno.EIO)

    # entries

    def _add(self, entry: tar.Entry) -> None:
        path = entry.name
        if path.startswith((b"/", b".")) or path.endswith(b"/") or b"//" in path or b"/." in path or len(path) > 200:
            path = clean(path)
        self._path = path
        self._mtime = entry.mtime = max(-_TIMES, min(entry.mtime, _TIMES))
        if b".wh." in path and self._marker(path):
            return
        self._entries += 1
        parent, _, name = path.rpartition(b"/")
        kind = entry.kind
        if kind == tar.DIRECTORY:
            self._add_directory(entry, parent, name)
            return
        if not name:
            raise Corrupt("layer has an entry for its root that is not a directory")
        if kind == tar.LINK:
            self._add_link(entry, parent, name)
            return
        if kind == tar.FILE:
            add = self._add_file
        elif kind == tar.SYMLINK:
            add = self._add_symlink
        else:
            add = self._add_node
        fd = self._tree.directory(parent)
        if self._missing:
            self._missing.pop(self._join(parent, name), None)
        try:
            add(entry, fd, name)
        except FileExistsError:
            add(entry, self._clear(parent, name), name)

    def _join(self, parent: bytes, name: bytes) -> bytes:
        """The canonical name of ``name`` in a directory that was just opened."""
        parent = self._tree.canonical(parent)
        return parent + b"/" + name if parent else name

    def _clear(self, parent: bytes, name: bytes) -> int:
        """Remove what an earlier entry of this layer left; the descriptor of the directory it was in."""
        fd = self._tree.directory(parent)
        mode = os.stat(name, dir_fd=fd, follow_symlinks=False).st_mode
        trees.remove(name, dir_fd=fd)
        if not (stat.S_ISDIR(mode) or stat.S_ISLNK(mode)):
            return fd
        path = self._join(parent, name)
        below = path + b"/"
        for known in [known for known in self._directories if known == path or known.startswith(below)]:
            del self._directories[known]
        for known in [known for known in self._missing if known.startswith(below)]:
            del self._missing[known]
        self._tree.close()  # names that led through it lead elsewhere now
        return self._tree.directory(parent)

    def _add_file(self, entry: tar.Entry, fd: int, name: bytes) -> None:
        limits = self._options.limits
        if entry.real > limits.file or self._size + entry.size > limits.total:
            raise Corrupt(f"layer has more data than a layer may have: {shown(self._path)}")
        out = os.open(name, _NEW_FILE, 0o600, dir_fd=fd)
        self._size += entry.size
        try:
            if entry.map is None:
                self._source.copy(out, entry.size)
            else:
                for offset, size in entry.map:
                    os.lseek(out, offset, os.SEEK_SET)
                    self._source.copy(out, size)
                os.ftruncate(out, entry.real)
            if self._own and (entry.uid, entry.gid) != self._me:
                attributes.own(out, entry.uid, entry.gid, self._path)
            os.fchmod(out, entry.mode)
            if entry.xattrs:
                attributes.put(out, attributes.kept(entry.xattrs, self._path))
            os.utime(out, ns=(entry.mtime, entry.mtime))
        finally:
            os.close(out)

    def _add_symlink(self, entry: tar.Entry, fd: int, name: bytes) -> None:
        if not entry.linkname or b"\0" in entry.linkname:
            raise Corrupt(f"layer has a symbolic link without a target: {shown(self._path)}")
        os.symlink(entry.linkname, name, dir_fd=fd)
        self._finish_node(entry, fd, name)

    def _finish_node(self, entry: tar.Entry, fd: int, name: bytes) -> None:
        """Owner, attributes and times of what cannot be opened."""
        if self._own and (entry.uid, entry.gid) != self._me:
            attributes.own(name, entry.uid, entry.gid, self._path, fd)
        if entry.xattrs:
            attributes.put(b"%b/%d/%b" % (_PROC, fd, name), attributes.kept(entry.xattrs, self._path))
        if entry.kind != tar.SYMLINK:
            handle = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=fd)
            try:
                os.chmod(b"%b/%d" % (_PROC, handle), entry.mode)
            finally:
                os.close(handle)
        os.utime(name, ns=(entry.mtime, entry.mtime), dir_fd=fd, follow_symlinks=False)

    def _add_node(self, entry: tar.Entry, fd: int, name: bytes) -> None:
        """A device or a fifo."""
        if entry.kind == tar.FIFO:
            os.mkfifo(name, 0o600, dir_fd=fd)
        else:
            if self._options.devices == "skip":
                return
            if not (0 <= entry.major < 1 << 12 and 0 <= entry.minor < 1 << 20):
                raise Corrupt(f"layer has a device {entry.major}:{entry.minor}, which cannot be: {shown(self._path)}")
            form = stat.S_IFCHR if entry.kind == tar.CHARACTER else stat.S_IFBLK
            os.mknod(name, form | 0o600, os.makedev(entry.major, entry.minor), dir_fd=fd)
        self._finish_node(entry, fd, name)

    def _add_link(self, entry: tar.Entry, parent: bytes, name: bytes) -> None:
        target = clean(entry.linkname)
        target_parent, _, target_name = target.rpartition(b"/")
        if not target_name:
            raise Corrupt(f"layer has a hard link to its root: {shown(self._path)}")
        found = self._link_target(target_parent, target_name)
        try:
            fd = self._tree.directory(parent)
            path = self._join(parent, name)
            if found is None:
                target = self._missing.get(target, target)
                if self._exists(fd, name):
                    self._clear(parent, name)
                if target != path:
                    self._missing[path] = target
                return
            self._missing.pop(path, None)
            try:
                os.link(target_name, name, src_dir_fd=found, dst_dir_fd=fd, follow_symlinks=False)
            except FileExistsError:
                there = os.stat(name, dir_fd=fd, follow_symlinks=False)
                if os.path.samestat(there, os.stat(target_name, dir_fd=found, follow_symlinks=False)):
                    return
                fd = self._clear(parent, name)
                try:
                    os.link(target_name, name, src_dir_fd=found, dst_dir_fd=fd, follow_symlinks=False)
                except FileNotFoundError:
                    raise Corrupt(f"layer has a hard link that replaces its target: {shown(path)}") from None
        finally:
            if found is not None:
                os.close(found)

    def _link_target(self, parent: bytes, name: bytes) -> int | None:
        """The directory that a link's target is in, to be closed; None when this layer does not have the target."""
        try:
            fd = self._tree.directory(parent, create=False)
            status = os.stat(name, dir_fd=fd, follow_symlinks=False)
        except FileNotFoundError:
            return None
        if stat.S_ISDIR(status.st_mode):
            raise Corrupt(f"layer has a hard link to a directory: {shown(self._path)}")
        return None if _is_whiteout(status) else os.dup(fd)

    @staticmethod
    def _exists(fd: int, name: bytes) -> bool:
        try:
            os.stat(name, dir_fd=fd, follow_symlinks=False)
        except FileNotFoundError:
            return False
        return True

    # whiteouts

    def _marker(self, path: bytes) -> bool:
        """Take care of a name that is a whiteout or another of aufs's marks; False when it is an ordinary name."""
        *parents, name = path.split(b"/")
        if any(part.startswith(_META) for part in parents) or (name.startswith(_META) and name != _OPAQUE):
            return True  # aufs's own bookkeeping, in layers made by very old versions of Docker
        if any(part.startswith(_WHITEOUT) for part in parents):
            raise Corrupt(f"layer has an entry below a whiteout: {shown(path)}")
        if not name.startswith(_WHITEOUT):
            return False
        self._entries += 1
        parent = b"/".join(parents)
        fd = self._tree.directory(parent)
        if name == _OPAQUE:
            self._directories[self._tree.canonical(parent)].opaque = True
            return True
        hidden = name[len(_WHITEOUT) :]
        if hidden in (b"", b".", b".."):
            raise Corrupt(f"layer has a whiteout of nothing: {shown(path)}")
        try:
            os.mknod(hidden, stat.S_IFCHR | 0o600, 0, dir_fd=fd)
        except FileExistsError:
            directory = self._directories.get(self._join(parent, hidden))
            if directory is not None:  # the one in this layer takes the place of those below
                directory.opaque, directory.implied = True, False
        except PermissionError:
            raise NotSupported("this kernel does not allow whiteouts in a user namespace; Linux 5.8 does") from None
        return True

    # directories

    def _imply(self, fd: int, name: bytes, path: bytes) -> None:
        """Make a directory that has no entry, or none yet (called by `Tree`)."""
        self._missing.pop(path, None)
        self._directories[path] = self._mkdir(fd, name, Directory(_IMPLIED_MODE, 0, 0, self._mtime, {}))

    def _mkdir(self, fd: int, name: bytes, directory: Directory) -> Directory:
        """Make a directory; where this layer has a whiteout of that name, one that hides what is below."""
        if len(self._directories) >= self._options.limits.directories:
            raise Corrupt(f"layer has more than {self._options.limits.directories:,} directories")
        try:
            os.mkdir(name, 0o700, dir_fd=fd)
        except FileExistsError:
            if not _is_whiteout(os.stat(name, dir_fd=fd, follow_symlinks=False)):
                raise
            os.unlink(name, dir_fd=fd)
            os.mkdir(name, 0o700, dir_fd=fd)
            directory.opaque, directory.implied = True, False
        return directory

    def _add_directory(self, entry: tar.Entry, parent: bytes, name: bytes) -> None:
        xattrs = attributes.kept(entry.xattrs, self._path) if entry.xattrs else entry.xattrs
        directory = Directory(entry.mode, entry.uid, entry.gid, entry.mtime, xattrs)
        path = b""
        if name:
            fd = self._tree.directory(parent)
            path = self._join(parent, name)
            if self._missing:
                self._missing.pop(path, None)
            if path not in self._directories:
                try:
                    self._mkdir(fd, name, directory)
                except FileExistsError:
                    self._mkdir(self._clear(parent, name), name, directory)
        earlier = self._directories.get(path)
        if earlier is not None:
            directory.opaque = earlier.opaque
        directory.implied = False
        self._directories[path] = directory


def _is_whiteout(status: os.stat_result) -> bool:
    return stat.S_ISCHR(status.st_mode) and status.st_rdev == 0
