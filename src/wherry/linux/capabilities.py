"""Capability sets (capabilities(7), capset(2)) as bit masks."""

from __future__ import annotations

import errno
from _struct import pack, unpack

from wherry.linux import syscall
from wherry.linux.syscall import call

_NAMES = (
    "CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE NET_BIND_SERVICE "
    "NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT SYS_PTRACE SYS_PACCT "
    "SYS_ADMIN SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP "
    "MAC_OVERRIDE MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON BPF CHECKPOINT_RESTORE"
).split()

#: ``CAP_CHOWN`` → 0 ... as in linux/capability.h
NUMBERS: dict[str, int] = {f"CAP_{name}": number for number, name in enumerate(_NAMES)}
#: Every capability known here.
ALL = (1 << len(_NAMES)) - 1

_VERSION_3 = 0x20080522
_CAPBSET_DROP = 24
_CAPBSET_READ = 23
_CAP_AMBIENT = 47
_AMBIENT_RAISE = 2
_AMBIENT_CLEAR_ALL = 4


def mask(names: list[str] | tuple[str, ...]) -> int:
    """The bit mask of capability names.  Raises KeyError for a name that is not one."""
    bits = 0
    for name in names:
        bits |= 1 << NUMBERS[name]
    return bits


def names(bits: int) -> list[str]:
    """The names in a bit mask, in the kernel's order."""
    return [f"CAP_{name}" for number, name in enumerate(_NAMES) if bits >> number & 1]


def own_permitted() -> int:
    """This process's permitted capabilities."""
    header = pack("=Ii", _VERSION_3, 0)
    call("capget", header, syscall.SCRATCH)
    low, high = unpack("=4xI4x4xI4x", syscall.scratch(24))
    return int(low) | int(high) << 32


def bounding() -> int:
    """This process's bounding set."""
    bits = 0
    for number in range(64):
        try:
            bits |= syscall.prctl(_CAPBSET_READ, number) << number
        except OSError:
            break
    return bits


def limit_bounding(keep: int) -> None:
    """Drop everything but ``keep`` from the bounding set."""
    for number in range(64):
        if not keep >> number & 1:
            try:
                syscall.prctl(_CAPBSET_DROP, number)
            except OSError as error:
                if error.errno == errno.EINVAL:  # past the kernel's last capability
                    return
                raise


def set_own(effective: int, permitted: int, inheritable: int) -> None:
    """capset(2) for this process."""
    low = 0xFFFFFFFF
    data = pack(
        "=6I",
        effective & low,
        permitted & low,
        inheritable & low,
        effective >> 32,
        permitted >> 32,
        inheritable >> 32,
    )
    call("capset", pack("=Ii", _VERSION_3, 0), data)


def set_ambient(bits: int) -> None:
    """Replace the ambient set; each capability must be permitted and inheritable."""
    call("prctl", _CAP_AMBIENT, _AMBIENT_CLEAR_ALL, 0, 0, 0)
    number = 0
    while bits >> number:
        if bits >> number & 1:
            call("prctl", _CAP_AMBIENT, _AMBIENT_RAISE, number, 0, 0)
        number += 1
