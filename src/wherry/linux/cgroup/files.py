"""Reading and writing the small files of a control group with the fewest system calls."""

from __future__ import annotations

import os

_READ = os.O_RDONLY | os.O_CLOEXEC
_WRITE = os.O_WRONLY | os.O_CLOEXEC


def read_text(path: str) -> str:
    """The whole of a kernel file, or ``""`` when it cannot be read."""
    try:
        return read_file(path)
    except OSError:
        return ""


def read_file(path: str) -> str:
    """The whole of a kernel file.  Raises OSError."""
    fd = os.open(path, _READ)
    try:
        chunk = os.read(fd, 16384)
        if not chunk:
            return ""
        chunks = [chunk]
        while True:
            chunk = os.read(fd, 65536)
            if not chunk:
                return b"".join(chunks).decode("utf-8", "surrogateescape")
            chunks.append(chunk)
    finally:
        os.close(fd)


def write_file(path: str, value: str) -> None:
    """One write(2) of the whole value: the kernel takes each write as one command.  Raises OSError."""
    fd = os.open(path, _WRITE)
    try:
        os.write(fd, value.encode())
    finally:
        os.close(fd)


def read_int(path: str, default: int = 0) -> int:
    """A file that holds one number; ``max`` is -1, an unreadable file is ``default``."""
    text = read_text(path).strip()
    if text == "max":
        return -1
    try:
        return int(text)
    except ValueError:
        return default


def read_table(path: str) -> dict[str, int]:
    """A file of ``key number`` lines; unreadable is empty."""
    table: dict[str, int] = {}
    for line in read_text(path).splitlines():
        key, _, value = line.partition(" ")
        try:
            table[key] = int(value)
        except ValueError:
            pass
    return table


def children(directory: str) -> list[str]:
    """The groups right below a group."""
    try:
        with os.scandir(directory) as entries:
            return [entry.path for entry in entries if entry.is_dir(follow_symlinks=False)]
    except FileNotFoundError:
        return []
    except OSError:
        return []


def descend(directory: str) -> list[str]:
    """A group and every group below it, parents first."""
    found = [directory]
    for group in found:
        found += children(group)
    return found
