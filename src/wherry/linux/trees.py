"""Directory trees through descriptors: nothing here follows a symbolic link or crosses one (openat(2))."""

from __future__ import annotations

import errno
import os
import stat

#: Opens a directory itself, never what a link of that name points to.
DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
#: The same as a handle only: no permission on the directory is needed, and it cannot be read.
HANDLE = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def remove(name: str | bytes, *, dir_fd: int) -> None:
    """Remove the file or the whole tree ``name`` of a directory; nothing there is fine, and so is company.

    Directories without permissions (overlay's work/work has mode 000) are opened up first where the caller owns
    them.  Depth costs descriptors only up to a few: deep trees are lifted up as they are removed.  Raises OSError.
    """
    try:
        os.unlink(name, dir_fd=dir_fd)
        return
    except FileNotFoundError:
        return
    except (IsADirectoryError, PermissionError) as error:
        if isinstance(error, PermissionError) and not _is_directory(name, dir_fd):
            raise
    try:
        top = _open(name, dir_fd)
        try:
            _empty(top)
        finally:
            os.close(top)
        os.rmdir(name, dir_fd=dir_fd)
    except FileNotFoundError:
        return  # somebody else removes it as well


def _is_directory(name: str | bytes, dir_fd: int) -> bool:
    return stat.S_ISDIR(os.stat(name, dir_fd=dir_fd, follow_symlinks=False).st_mode)


def _open(name: str | bytes, dir_fd: int) -> int:
    """A directory to be emptied, readable and writable for its owner."""
    try:
        fd = os.open(name, DIRECTORY, dir_fd=dir_fd)
    except PermissionError:
        handle = os.open(name, HANDLE, dir_fd=dir_fd)
        try:
            os.chmod(f"/proc/self/fd/{handle}", 0o700)
        finally:
            os.close(handle)
        fd = os.open(name, DIRECTORY, dir_fd=dir_fd)
    return fd


def _empty(top: int) -> None:
    """Remove everything in a directory, with at most `_DEPTH` directories open."""
    stack = [(top, b"", _remove_files(top))]
    try:
        while True:
            fd, own_name, left = stack[-1]
            if left:
                child = left.pop()
                if len(stack) < _DEPTH:
                    try:
                        inner = _open(child, fd)
                    except FileNotFoundError:
                        continue
                    stack.append((inner, child, []))
                    stack[-1][2].extend(_remove_files(inner))
                else:
                    stack[0][2].append(_lift(fd, child, top))
            elif len(stack) == 1:
                return
            else:
                stack.pop()
                os.close(fd)
                try:
                    os.rmdir(own_name, dir_fd=stack[-1][0])
                except FileNotFoundError:
                    continue
    finally:
        for fd, _name, _left in stack[1:]:
            os.close(fd)


_DEPTH = 64


def _lift(fd: int, child: bytes, top: int) -> bytes:
    """Move a directory that lies deep down to the top, where its turn comes later; its name there."""
    number = 0
    while True:
        name = b".lifted-%d" % number
        try:
            os.rename(child, name, src_dir_fd=fd, dst_dir_fd=top)
            return name
        except OSError as error:
            if error.errno not in (errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR):
                raise
            number += 1


def _remove_files(fd: int) -> list[bytes]:
    """Remove what is not a directory, and empty directories; the names of the directories that are left."""
    left = []
    with os.scandir(fd) as listing:
        found = [(os.fsencode(entry.name), entry.is_dir(follow_symlinks=False)) for entry in listing]
    for name, is_directory in found:
        if not is_directory:
            _unlink(name, fd)
            continue
        try:
            os.rmdir(name, dir_fd=fd)
        except FileNotFoundError:
            pass
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.EACCES):
                raise
            left.append(name)
    return left


def _unlink(name: bytes, fd: int) -> None:
    try:
        os.unlink(name, dir_fd=fd)
    except FileNotFoundError:
        pass
    except PermissionError:
        os.fchmod(fd, 0o700)
        os.unlink(name, dir_fd=fd)


def usage(path: str | bytes) -> tuple[int, int]:
    """Bytes in files and number of inodes below a directory, itself included; hard links count once.

    As Docker counts: directories have no size, and a file's is its length.
    """
    total, inodes = 0, 0
    seen: set[tuple[int, int]] = set()
    root = os.open(path, DIRECTORY)
    try:
        for _top, _directories, files, fd in os.fwalk(".", dir_fd=root, follow_symlinks=False):
            inodes += 1
            for name in files:
                try:
                    status = os.stat(name, dir_fd=fd, follow_symlinks=False)
                except FileNotFoundError:
                    continue
                if status.st_nlink > 1:
                    if (status.st_dev, status.st_ino) in seen:
                        continue
                    seen.add((status.st_dev, status.st_ino))
                total += status.st_size
                inodes += 1
    finally:
        os.close(root)
    return total, inodes


def is_directory(fd: int) -> bool:
    """Whether a descriptor is of a directory."""
    return stat.S_ISDIR(os.fstat(fd).st_mode)
