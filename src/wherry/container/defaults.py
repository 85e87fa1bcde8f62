"""Docker's defaults for a Linux container: the mounts it starts with and the paths it must not see or write.

The masked paths are those of Docker 28 (moby, ``daemon/pkg/oci/defaults.go``): ``/proc/interrupts`` and the thermal
throttle counters give away other tenants' keystrokes and load (GHSA-6fw5-f8r9-fgfm), powercap their power consumption
(GHSA-jq35-85cj-fj4p).
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

MASKED_PATHS = (
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
)

READONLY_PATHS = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")

_QUIET = ["nosuid", "noexec", "nodev"]


def mount(destination: str, kind: str, source: str, options: list[str]) -> dict[str, Any]:
    """One entry of ``mounts`` of the OCI runtime spec."""
    return {"destination": destination, "type": kind, "source": source, "options": options}


def proc(*, foreign: bool) -> dict[str, Any]:
    """``foreign``: the pid namespace belongs to a user namespace above, whose procfs may only be bound."""
    if foreign:
        return mount("/proc", "bind", "/proc", ["rbind", *_QUIET])
    return mount("/proc", "proc", "proc", _QUIET[:])


def dev() -> dict[str, Any]:
    return mount("/dev", "tmpfs", "tmpfs", ["nosuid", "strictatime", "mode=755", "size=65536k"])


def devpts(*, tty_group: bool) -> dict[str, Any]:
    """``tty_group``: group 5 exists in the container's user namespace, so that terminals can be given to it."""
    options = ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"]
    return mount("/dev/pts", "devpts", "devpts", [*options, "gid=5"] if tty_group else options)


def sys(*, foreign: bool, writable: bool) -> dict[str, Any]:
    """``foreign``: the network namespace belongs to a user namespace above, whose sysfs may only be bound."""
    if foreign:
        return mount("/sys", "bind", "/sys", ["rbind", *_QUIET, "rro"])
    return mount("/sys", "sysfs", "sysfs", _QUIET[:] if writable else [*_QUIET, "ro"])


def cgroup(*, writable: bool) -> dict[str, Any]:
    return mount("/sys/fs/cgroup", "cgroup", "cgroup", _QUIET[:] if writable else ["ro", *_QUIET])


def mqueue(*, foreign: bool) -> dict[str, Any]:
    """``foreign``: the IPC namespace belongs to a user namespace above, whose queues may only be bound."""
    if foreign:
        return mount("/dev/mqueue", "bind", "/dev/mqueue", ["bind", *_QUIET])
    return mount("/dev/mqueue", "mqueue", "mqueue", _QUIET[:])


def shm(size: int) -> dict[str, Any]:
    return mount("/dev/shm", "tmpfs", "shm", [*_QUIET, "mode=1777", f"size={size}"])


def shared_shm(source: str) -> dict[str, Any]:
    """The /dev/shm of the host or of another container."""
    return mount("/dev/shm", "bind", source, ["bind", "rprivate"])
