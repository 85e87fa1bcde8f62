"""Reading a file of an image that is not mounted: its layers' directories looked through from the top.

This is how the engine sees /etc/passwd before the container's root exists.  Nothing of the image is followed by the
kernel: every step opens one name with O_NOFOLLOW below a directory descriptor, symbolic links are resolved here against
the image's own root, whiteouts and opaque directories count as in overlayfs(5) (kernel: filesystems/overlayfs.rst).
"""

from __future__ import annotations

import errno
import os

from wherry.errors import Corrupt, SystemFailure

_S_IFMT, _S_IFDIR, _S_IFREG, _S_IFLNK, _S_IFCHR = 0o170000, 0o040000, 0o100000, 0o120000, 0o020000
_MAX_LINKS = 40  # as the kernel (path_resolution(7))
_MISSING = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENXIO)


def read(layers: tuple[str, ...], path: str, limit: int) -> bytes | None:
    """The content of the regular file ``path`` in the stack of directories ``layers``, top-most first.

    None when there is no such file, or it is a device, a FIFO or a directory: opening one could block or worse.  Raises
    `Corrupt` when the file is larger than ``limit`` bytes and `SystemFailure` when a directory cannot be read.
    """
    stack: list[list[int]] = []
    try:
        stack.append(_open_roots(layers))
        return _walk(stack, path, limit)
    except OSError as error:
        raise SystemFailure(f"reading {path} of the image", "openat", error.errno or 0) from error
    finally:
        for descriptors in stack:
            for descriptor in descriptors:
                os.close(descriptor)


def _open_roots(layers: tuple[str, ...]) -> list[int]:
    roots: list[int] = []
    try:
        for layer in layers:
            roots.append(os.open(layer, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))
    except OSError:
        for descriptor in roots:
            os.close(descriptor)
        raise
    return roots


def _walk(stack: list[list[int]], path: str, limit: int) -> bytes | None:
    """Goes down ``path``; ``stack`` holds the descriptors of every directory passed, for ``..`` and for closing."""
    names = [name for name in path.split("/") if name not in ("", ".")]
    links = 0
    while names:
        name = names.pop(0)
        if name == "..":
            if len(stack) > 1:
                for descriptor in stack.pop():
                    os.close(descriptor)
            continue
        directories, target, content = _step(stack[-1], name, last=not names, limit=limit)
        if target is not None:
            links += 1
            if links > _MAX_LINKS:
                return None
            if target.startswith("/"):
                while len(stack) > 1:
                    for descriptor in stack.pop():
                        os.close(descriptor)
            names[:0] = [part for part in target.split("/") if part not in ("", ".")]
        elif directories:
            stack.append(directories)
        else:
            return content
    return None


def _step(parents: list[int], name: str, *, last: bool, limit: int) -> tuple[list[int], str | None, bytes | None]:
    """What ``name`` is in the merged directory ``parents``: (directories, link target, content), at most one set."""
    found: list[int] = []
    for parent in parents:
        try:
            status = os.stat(name, dir_fd=parent, follow_symlinks=False)
        except OSError as error:
            if error.errno in _MISSING:
                continue
            raise
        kind = status.st_mode & _S_IFMT
        if kind == _S_IFDIR:
            try:
                flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
                descriptor = os.open(name, flags, dir_fd=parent)
            except OSError:
                for opened in found:
                    os.close(opened)
                raise
            found.append(descriptor)
            if len(parents) > 1 and _opaque(descriptor):
                break
            continue
        if found:
            break  # a lower file that an upper directory hides
        if kind == _S_IFLNK:
            return [], os.readlink(name, dir_fd=parent), None
        if kind == _S_IFREG and last:
            return [], None, _content(parent, name, limit)
        return [], None, None  # a whiteout, or nothing that is read
    return found, None, None


def _opaque(directory: int) -> bool:
    for name in ("trusted.overlay.opaque", "user.overlay.opaque"):
        try:
            if os.getxattr(directory, name) == b"y":
                return True
        except OSError:
            continue
    return False


def _content(parent: int, name: str, limit: int) -> bytes | None:
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
    try:
        descriptor = os.open(name, flags, dir_fd=parent)
    except OSError as error:
        if error.errno in _MISSING:
            return None
        raise
    try:
        if os.fstat(descriptor).st_mode & _S_IFMT != _S_IFREG:
            return None  # exchanged since it was looked at
        chunks, size = [], 0
        while chunk := os.read(descriptor, min(1 << 20, limit + 1 - size)):
            chunks.append(chunk)
            size += len(chunk)
            if size > limit:
                raise Corrupt(f"/{name} of the image is larger than {limit} bytes")
        return b"".join(chunks)
    finally:
        os.close(descriptor)
