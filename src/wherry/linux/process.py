"""Who a process is: its pid and the moment it began, which no other process of this boot has both of (proc(5))."""

from __future__ import annotations

import os

_START_TIME = 19  # of the fields behind the name


def boot_id() -> str:
    """What this run of the kernel is called by nothing else (random(4)); "" where /proc does not say."""
    try:
        fd = os.open("/proc/sys/kernel/random/boot_id", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return ""
    try:
        return os.read(fd, 64).decode().strip()
    finally:
        os.close(fd)


def start_time(pid: int) -> str:
    """When the process began, in the kernel's own count; "" when there is no such process."""
    try:
        fd = os.open(f"/proc/{pid}/stat", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return ""
    try:
        fields = os.read(fd, 4096).rpartition(b")")[2].split()
    except ProcessLookupError:
        return ""
    finally:
        os.close(fd)
    return fields[_START_TIME].decode() if fields and fields[0] not in (b"Z", b"X") else ""
