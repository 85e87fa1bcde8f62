"""Being told when files in a directory change (inotify(7))."""

from __future__ import annotations

import os

from wherry.linux import syscall

_NUMBERS = {
    "x86_64": {"inotify_init1": 294, "inotify_add_watch": 254},
    "aarch64": {"inotify_init1": 26, "inotify_add_watch": 27},
}.get(syscall.MACHINE, {})
for _name, _number in _NUMBERS.items():
    syscall.NUMBERS.setdefault(_name, _number)

_MODIFY, _MOVED_TO, _CREATE = 0x2, 0x80, 0x100


def watch(directory: str) -> int:
    """A descriptor that is readable when a file in ``directory`` was written to, made or renamed.

    The caller reads it empty (it does not block) and closes it.  Raises OSError, EMFILE when the user has too many.
    """
    fd = syscall.call("inotify_init1", os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        syscall.call("inotify_add_watch", fd, syscall.path_bytes(directory) + b"\0", _MODIFY | _MOVED_TO | _CREATE)
    except OSError:
        os.close(fd)
        raise
    return fd
