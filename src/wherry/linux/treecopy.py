"""Copying a directory tree through descriptors: modes, owners, times, links, devices and attributes included."""

from __future__ import annotations

import errno
import os
import stat

from wherry.linux import openat2
from wherry.linux.trees import DIRECTORY, HANDLE

_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_CHUNK = 1 << 20


def copy_contents(source: int, target: int) -> None:
    """Copy what is in the directory ``source``, and that directory's own owner, mode, times and attributes, to the
    empty directory ``target``, which others may be writing to: nothing they do leads out of it.

    Symbolic links are copied, never followed; files that were one stay one; sockets are left out.  A caller that may
    not give files away, or make devices, keeps what it makes and leaves devices out.  Raises OSError.
    """
    _Copy(target).directory(source, target, ())


def _data(read: int, write: int, size: int) -> None:
    """Copy what a file holds and leave its holes holes: a few bytes of an image can be a file of any size."""
    end = 0
    while end < size:
        try:
            start = os.lseek(read, end, os.SEEK_DATA)
        except OSError as error:
            if error.errno != errno.ENXIO:  # nothing but a hole up to the end
                raise
            break
        end = os.lseek(read, start, os.SEEK_HOLE)
        os.lseek(read, start, os.SEEK_SET)
        os.lseek(write, start, os.SEEK_SET)
        while start < end:
            copied = os.sendfile(write, read, None, min(_CHUNK, end - start))
            if not copied:
                break
            start += copied
    os.ftruncate(write, size)


class _Copy:
    def __init__(self, top: int) -> None:
        self._top = top
        self._copied: dict[tuple[int, int], tuple[str, str]] = {}  # directory below the top, name

    def directory(self, source: int, target: int, path: tuple[str, ...]) -> None:
        """One directory and everything below."""
        with os.scandir(source) as listing:
            names = sorted(entry.name for entry in listing)
        for name in names:
            status = os.stat(name, dir_fd=source, follow_symlinks=False)
            kind = stat.S_IFMT(status.st_mode)
            if kind == stat.S_IFDIR:
                os.mkdir(name, 0o700, dir_fd=target)
                inner, made = os.open(name, DIRECTORY, dir_fd=source), os.open(name, DIRECTORY, dir_fd=target)
                try:
                    self.directory(inner, made, (*path, name))
                finally:
                    os.close(inner)
                    os.close(made)
            elif not (status.st_nlink > 1 and self._link(status, target, name)):
                self._leaf(kind, status, source, target, name)
                if status.st_nlink > 1 and kind == stat.S_IFREG:
                    self._copied[status.st_dev, status.st_ino] = ("/".join(path) or ".", name)
        status = os.fstat(source)
        _own(target, status)
        _attributes(source, target)
        os.fchmod(target, stat.S_IMODE(status.st_mode))
        os.utime(target, ns=(status.st_atime_ns, status.st_mtime_ns))

    def _link(self, status: os.stat_result, target: int, name: str) -> bool:
        """Link to the copy that was made of another name of the same file."""
        first = self._copied.get((status.st_dev, status.st_ino))
        if first is None:
            return False
        try:
            directory = openat2.open_in(self._top, first[0], HANDLE, openat2.BENEATH | openat2.NO_SYMLINKS)
        except OSError:
            return False  # too deep for a path, or gone: a copy of its own
        try:
            os.link(first[1], name, src_dir_fd=directory, dst_dir_fd=target, follow_symlinks=False)
        except FileNotFoundError:
            return False
        finally:
            os.close(directory)
        return True

    def _leaf(self, kind: int, status: os.stat_result, source: int, target: int, name: str) -> None:
        if kind == stat.S_IFREG:
            self._file(status, source, target, name)
            return
        if kind == stat.S_IFLNK:
            os.symlink(os.readlink(name, dir_fd=source), name, dir_fd=target)
        elif kind in (stat.S_IFCHR, stat.S_IFBLK, stat.S_IFIFO):
            try:
                os.mknod(name, status.st_mode, status.st_rdev, dir_fd=target)
            except PermissionError:
                return
            made = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=target)
            try:
                if stat.S_IFMT(os.fstat(made).st_mode) != kind:
                    return  # exchanged for something else
                os.chmod(f"/proc/self/fd/{made}", stat.S_IMODE(status.st_mode))
            finally:
                os.close(made)
        else:
            return
        _own_name(target, name, status)
        os.utime(name, ns=(status.st_atime_ns, status.st_mtime_ns), dir_fd=target, follow_symlinks=False)

    def _file(self, status: os.stat_result, source: int, target: int, name: str) -> None:
        read = os.open(name, _FILE, dir_fd=source)
        try:
            write = os.open(name, _NEW, 0o600, dir_fd=target)
            try:
                _data(read, write, status.st_size)
                _own(write, status)
                _attributes(read, write)
                os.fchmod(write, stat.S_IMODE(status.st_mode))
                os.utime(write, ns=(status.st_atime_ns, status.st_mtime_ns))
            finally:
                os.close(write)
        finally:
            os.close(read)


def _own(fd: int, status: os.stat_result) -> None:
    try:
        os.fchown(fd, status.st_uid, status.st_gid)
    except PermissionError:
        pass


def _own_name(directory: int, name: str, status: os.stat_result) -> None:
    try:
        os.chown(name, status.st_uid, status.st_gid, dir_fd=directory, follow_symlinks=False)
    except PermissionError:
        pass


def _attributes(source: int, target: int) -> None:
    for name in os.listxattr(source):
        if ".overlay." in name:
            continue  # says how the lower directories are stacked, not what the directory is
        try:
            os.setxattr(target, name, os.getxattr(source, name))
        except OSError as error:
            if error.errno not in (errno.EPERM, errno.EACCES, errno.EOPNOTSUPP, errno.ENODATA):
                raise
