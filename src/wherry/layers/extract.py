"""A tar stream into a tree that exists and that others may be changing: the receiving side of a copy.

Every name is resolved by openat2(2) inside the root that the caller holds open, and what is found is used through
descriptors, so no link and no exchange of directories leads out.  A file gets its name last: it is there
whole or not at all, and no name that is there already is ever written through (CVE-2021-41089).
"""

from __future__ import annotations

import errno
import os
import stat

from wherry.errors import Conflict, Corrupt, Forbidden, NotSupported, StorageFull, SystemFailure
from wherry.layers import attributes, tar
from wherry.layers.apply import Limits
from wherry.layers.tree import clean, shown
from wherry.linux import openat2, trees
from wherry.linux.mount import is_pseudo
from wherry.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wherry.layers.source import Source

_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_UNNAMED = os.O_WRONLY | os.O_TMPFILE | os.O_CLOEXEC
_HANDLE = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
_PRIVILEGES = stat.S_ISUID | stat.S_ISGID
_TIMES = (1 << 40) * 1_000_000_000
_LONGEST = 120  # of a name in a message
_MOUNTED = "device or resource busy"


def _link(file: int, directory: int, name: bytes, aside: bytes) -> bool:
    """Give a file without a name its name, or, where that is taken, the name ``aside``: then True."""
    source = f"/proc/self/fd/{file}"
    try:
        os.link(source, name, dst_dir_fd=directory)
        return False
    except FileExistsError:
        os.link(source, aside, dst_dir_fd=directory)
        return True


class ExtractOptions(Record):
    """How entries become files.

    ``owner`` is who gets them, None for the tar's owners; () leaves them to whoever extracts, without what would give
    that person's rights away: set-user-id bits and capabilities.  ``rename`` is (old, new): the first part of every
    name that is ``old`` becomes ``new``.  ``keep_kinds``: a directory never replaces something else, nor the other way
    round (Docker's ``noOverwriteDirNonDir``).  ``devices``: device nodes are made; otherwise they are skipped.
    ``lenient``: owners that the caller may not give are left out.  ``place`` is the name of the directory to extract
    to, for messages.
    """

    owner: tuple[int, int] | tuple[()] | None = None
    rename: tuple[bytes, bytes] | None = None
    keep_kinds: bool = False
    devices: bool = False
    lenient: bool = False
    place: str = ""
    limits: Limits = Limits()


class Extracted(Record):
    """What was extracted: bytes of tar, entries, and the names of the device nodes that were skipped."""

    tar_size: int
    entries: int
    skipped: tuple[str, ...] = ()


def extract(source: Source, root: int, base: bytes, options: ExtractOptions) -> Extracted:
    """Extract a tar into the directory ``base`` of the tree ``root``.

    Raises `Corrupt` for a damaged or hostile tar, `Conflict` for what stands in the way, `StorageFull`, `Forbidden` for
    places that nobody may write to, `SystemFailure`.
    """
    return _Extraction(source, root, base, options).run()


class _Extraction:
    def __init__(self, source: Source, root: int, base: bytes, options: ExtractOptions) -> None:
        self._source = source
        self._root = root
        self._base = base.strip(b"/")
        self._options = options
        self._parent: tuple[bytes, int] | None = None
        self._directories: dict[bytes, tar.Entry] = {}
        self._path = b""
        self._entries = self._size = 0
        self._skipped: list[str] = []

    def run(self) -> Extracted:
        try:
            for entry in tar.entries(self._source, self._options.limits.entries):
                self._add(entry)
            self._source.finish()
            for path in sorted(self._directories, reverse=True):
                self._finish(path, self._directories[path])
        except OSError as error:
            raise self._failure(error) from None
        finally:
            self._forget()
        return Extracted(self._source.size, self._entries, tuple(self._skipped))

    def _failure(self, error: OSError) -> Exception:
        where = shown(b"/" + self._path)[:_LONGEST]
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            return StorageFull(f"no space left on device while writing {where}")
        if error.errno == errno.EROFS:
            return Forbidden(f"{where} is on a read-only file system")
        if error.errno in (errno.ENOTDIR, errno.ELOOP):
            return Conflict(f"cannot write {where}: not a directory")
        return SystemFailure(f"writing {where}", "write", error.errno or errno.EIO)

    # places

    def _in_root(self, path: bytes) -> bytes:
        return b"/" + self._base + b"/" + path

    def _directory(self, path: bytes) -> int:
        """A descriptor of a directory below the base, made where it is missing; it stays open until the next call."""
        if self._parent is not None and self._parent[0] == path:
            return self._parent[1]
        self._forget()
        try:
            fd = openat2.open_in(self._root, self._in_root(path), trees.HANDLE & ~os.O_NOFOLLOW)
        except FileNotFoundError:
            above, _, name = path.rpartition(b"/")
            if not path:
                raise
            parent = self._directory(above)
            try:
                os.mkdir(name, 0o755, dir_fd=parent)
                self._own(name, parent, *(self._options.owner or (0, 0)), implied=True)
            except FileExistsError:
                pass  # somebody else made it, or it is a dangling link: then opening it fails
            fd = openat2.open_in(parent, name, trees.HANDLE, openat2.BENEATH | openat2.NO_SYMLINKS)
            self._forget()
        if is_pseudo(fd):
            os.close(fd)
            raise Forbidden(f"cannot write {shown(b'/' + self._path)}: it lies in a file system of the kernel")
        self._parent = (path, fd)
        return fd

    def _forget(self) -> None:
        if self._parent is not None:
            os.close(self._parent[1])
            self._parent = None

    def _renamed(self, name: bytes) -> bytes:
        path = clean(name)
        if self._options.rename is not None:
            old, new = self._options.rename
            if path == old or not old:
                return new + b"/" + path if path and not old else new
            if path.startswith(old + b"/"):
                return new + path[len(old) :]
        return path

    # entries

    def _add(self, entry: tar.Entry) -> None:
        self._path = path = self._renamed(entry.name)
        entry.mtime = max(-_TIMES, min(entry.mtime, _TIMES))
        self._entries += 1
        parent, _, name = path.rpartition(b"/")
        if not name:
            if entry.kind != tar.DIRECTORY:
                raise Corrupt("archive has an entry for its root that is not a directory")
            return  # the directory to extract to stays what it is
        fd = self._directory(parent)
        there = self._make_room(entry, fd, name)
        if entry.kind == tar.DIRECTORY:
            if not there:
                os.mkdir(name, 0o700, dir_fd=fd)
            if len(self._directories) >= self._options.limits.directories:
                raise Corrupt(f"archive has more than {self._options.limits.directories:,} directories")
            self._directories[path] = entry
        elif entry.kind == tar.FILE:
            self._add_file(entry, fd, name)
        elif entry.kind == tar.LINK:
            self._add_link(entry, parent, name)
        else:
            self._add_node(entry, fd, name)

    def _make_room(self, entry: tar.Entry, fd: int, name: bytes) -> bool:
        """Remove what stands in the way of an entry; whether a directory is there that an entry for one can use."""
        try:
            status = os.stat(name, dir_fd=fd, follow_symlinks=False)
        except FileNotFoundError:
            return False
        was, is_directory = stat.S_ISDIR(status.st_mode), entry.kind == tar.DIRECTORY
        if was and is_directory:
            return True
        if was != is_directory and self._options.keep_kinds:
            base = self._options.place or "/" + os.fsdecode(self._base)
            path = f"{base.rstrip('/')}/{os.fsdecode(self._path)}"
            first, second = ("directory", "non-directory") if was else ("non-directory", "directory")
            raise Conflict(f'cannot overwrite {first} "{path}" with {second} "{base}"')
        self._refuse_mount(fd, name, self._path)
        if is_directory or was:
            self._forget_below()
            trees.remove(name, dir_fd=self._directory(os.path.dirname(self._path)))
        elif entry.kind != tar.FILE:  # a file takes the other's place at once
            os.unlink(name, dir_fd=fd)
        return False

    def _forget_below(self) -> None:
        """A directory is replaced: what was to be done to those in it is not to be done any more."""
        below = self._path + b"/"
        for path in [path for path in self._directories if path == self._path or path.startswith(below)]:
            del self._directories[path]

    @staticmethod
    def _refuse_mount(fd: int, name: bytes, path: bytes) -> None:
        """Removing a name on which another mount namespace has mounted something would take the mount away there."""
        try:
            os.close(openat2.open_in(fd, name, _HANDLE, openat2.BENEATH | openat2.NO_XDEV))
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            raise Conflict(f"cannot replace {shown(path)}, a mount point: {_MOUNTED}") from None

    def _add_file(self, entry: tar.Entry, fd: int, name: bytes) -> None:
        limits = self._options.limits
        self._size += entry.size
        if entry.real > limits.file or self._size > limits.total:
            raise Corrupt(f"archive has more data than it may have: {shown(self._path)}")
        aside = b".wherry-" + os.urandom(6).hex().encode()
        try:
            out, named = os.open(b".", _UNNAMED, 0o600, dir_fd=fd), False
        except OSError as error:
            if error.errno not in (errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL, errno.ENOENT):
                raise
            out, named = os.open(aside, _NEW, 0o600, dir_fd=fd), True
        try:
            try:
                for offset, size in entry.map or ((0, entry.size),):
                    os.lseek(out, offset, os.SEEK_SET)
                    self._source.copy(out, size)
                if entry.map is not None:
                    os.ftruncate(out, entry.real)
                self._finish_open(entry, out)
                if not named:
                    named = _link(out, fd, name, aside)
            finally:
                os.close(out)
            if named:
                os.rename(aside, name, src_dir_fd=fd, dst_dir_fd=fd)
        except BaseException:
            trees.remove(aside, dir_fd=fd)
            raise

    def _add_link(self, entry: tar.Entry, parent: bytes, name: bytes) -> None:
        target = self._renamed(entry.linkname)
        above, _, target_name = target.rpartition(b"/")
        if not target_name or target == self._path:
            raise Corrupt(f"archive has a hard link to {shown(target)}: {shown(self._path)}")
        source = os.dup(self._directory(above))
        try:
            status = os.stat(target_name, dir_fd=source, follow_symlinks=False)
            if stat.S_ISDIR(status.st_mode):
                raise Corrupt(f"archive has a hard link to a directory: {shown(self._path)}")
            os.link(target_name, name, src_dir_fd=source, dst_dir_fd=self._directory(parent), follow_symlinks=False)
        except FileNotFoundError:
            raise Corrupt(f"archive has a hard link to {shown(target)}, which is not there") from None
        finally:
            os.close(source)

    def _add_node(self, entry: tar.Entry, fd: int, name: bytes) -> None:
        """A symbolic link, a fifo or a device."""
        if entry.kind == tar.SYMLINK:
            if not entry.linkname or b"\0" in entry.linkname:
                raise Corrupt(f"archive has a symbolic link without a target: {shown(self._path)}")
            os.symlink(entry.linkname, name, dir_fd=fd)
        elif entry.kind == tar.FIFO:
            os.mkfifo(name, 0o600, dir_fd=fd)
        elif not self._options.devices:
            self._skipped.append(os.fsdecode(self._path))
            return
        else:
            if not (0 <= entry.major < 1 << 12 and 0 <= entry.minor < 1 << 20):
                raise Corrupt(f"archive has a device {entry.major}:{entry.minor}, which cannot be: {shown(self._path)}")
            form = stat.S_IFCHR if entry.kind == tar.CHARACTER else stat.S_IFBLK
            try:
                os.mknod(name, form | 0o600, os.makedev(entry.major, entry.minor), dir_fd=fd)
            except PermissionError:
                self._skipped.append(os.fsdecode(self._path))
                return
        self._own(name, fd, entry.uid, entry.gid)
        if entry.kind != tar.SYMLINK:
            handle = os.open(name, _HANDLE, dir_fd=fd)
            try:
                if stat.S_ISDIR(os.fstat(handle).st_mode) or stat.S_ISREG(os.fstat(handle).st_mode):
                    return  # exchanged for something else
                os.chmod(f"/proc/self/fd/{handle}", entry.mode)
            finally:
                os.close(handle)
        os.utime(name, ns=(entry.mtime, entry.mtime), dir_fd=fd, follow_symlinks=False)

    # owners, modes and times

    def _owner(self, uid: int, gid: int) -> tuple[int, int] | None:
        owner = self._options.owner
        if owner is None:
            return uid, gid
        return owner if owner else None

    def _own(self, name: bytes, fd: int, uid: int, gid: int, *, implied: bool = False) -> None:
        owner = self._owner(uid, gid)
        if owner is None or (implied and self._options.owner is None and self._options.lenient):
            return
        try:
            attributes.own(name, *owner, self._path, fd)
        except NotSupported:
            if not self._options.lenient:
                raise

    def _finish_open(self, entry: tar.Entry, fd: int) -> None:
        """Owner, mode, attributes and time of a file or directory that is open."""
        owner = self._owner(entry.uid, entry.gid)
        mode, xattrs = entry.mode, attributes.kept(entry.xattrs, self._path) if entry.xattrs else {}
        if owner is not None:
            try:
                attributes.own(fd, *owner, self._path)
            except NotSupported:
                if not self._options.lenient:
                    raise
                owner = None
        if owner is None and entry.kind == tar.FILE:
            mode &= ~_PRIVILEGES
            xattrs.pop(attributes.CAPABILITY, None)
        os.fchmod(fd, mode)
        attributes.put(fd, xattrs)
        os.utime(fd, ns=(entry.mtime, entry.mtime))

    def _finish(self, path: bytes, entry: tar.Entry) -> None:
        self._path = path
        try:
            handle = openat2.open_in(self._directory(os.path.dirname(path)), os.path.basename(path), trees.HANDLE,
                                     openat2.BENEATH | openat2.NO_SYMLINKS)  # fmt: skip
        except (FileNotFoundError, NotADirectoryError):
            return  # taken away meanwhile
        try:
            fd = os.open(f"/proc/self/fd/{handle}", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        finally:
            os.close(handle)
        try:
            self._finish_open(entry, fd)
        finally:
            os.close(fd)
