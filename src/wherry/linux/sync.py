"""Making one file system's data durable (syncfs(2))."""

from __future__ import annotations

import os

from wherry.linux import syscall

_NUMBER = {"x86_64": 306, "aarch64": 267}.get(syscall.MACHINE)
if _NUMBER is not None:
    syscall.NUMBERS.setdefault("syncfs", _NUMBER)


def file_system(fd: int) -> None:
    """Write everything of the file system that ``fd`` is on to its disk.

    Raises OSError, EIO among them when something written earlier did not reach the disk (Linux 5.8).
    """
    if _NUMBER is None:
        os.sync()
    else:
        syscall.call("syncfs", fd)
