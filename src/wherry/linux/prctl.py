"""prctl(2), and the few process attributes that have no call in ``os``."""

from __future__ import annotations

import errno
import os
from _struct import pack

from wherry.linux.syscall import SCRATCH, call, scratch

_SET_PDEATHSIG = 1
_SET_DUMPABLE = 4
_SET_KEEPCAPS = 8
_SET_NAME = 15
_SET_CHILD_SUBREAPER = 36
_SET_NO_NEW_PRIVS = 38

_PIECE = 4096
_DEFAULT_ACTION = bytes(32)  # struct kernel_sigaction: SIG_DFL, no flags, an empty mask
_KEYCTL_JOIN_SESSION_KEYRING = 1
_PERSONALITIES = {"LINUX": 0x0000, "LINUX32": 0x0008}

#: ``process.ioPriority.class`` → ioprio_set(2) class
IO_CLASSES = {"IOPRIO_CLASS_RT": 1, "IOPRIO_CLASS_BE": 2, "IOPRIO_CLASS_IDLE": 3}
#: ``process.scheduler.policy`` → sched_setattr(2) policy
POLICIES = {
    "SCHED_OTHER": 0,
    "SCHED_FIFO": 1,
    "SCHED_RR": 2,
    "SCHED_BATCH": 3,
    "SCHED_ISO": 4,
    "SCHED_IDLE": 5,
    "SCHED_DEADLINE": 6,
}
#: ``process.scheduler.flags`` → SCHED_FLAG_* bits
SCHEDULER_FLAGS = {
    "SCHED_FLAG_RESET_ON_FORK": 0x01,
    "SCHED_FLAG_RECLAIM": 0x02,
    "SCHED_FLAG_DL_OVERRUN": 0x04,
    "SCHED_FLAG_KEEP_POLICY": 0x08,
    "SCHED_FLAG_KEEP_PARAMS": 0x10,
    "SCHED_FLAG_UTIL_CLAMP_MIN": 0x20,
    "SCHED_FLAG_UTIL_CLAMP_MAX": 0x40,
}


def set_parent_death_signal(signal: int) -> None:
    """Be sent ``signal`` when the parent ends (0: nothing)."""
    call("prctl", _SET_PDEATHSIG, signal, 0, 0, 0)


def default_reserved_signals() -> None:
    """What the C library keeps for its threads (signal(7): 32, 33, and 34 of musl) and lets nobody set, to SIG_DFL."""
    for number in (32, 33, 34):
        call("rt_sigaction", number, _DEFAULT_ACTION, None, 8)


def set_dumpable(dumpable: bool) -> None:
    """Whether processes of the same user may look into this one (ptrace(2), ``/proc/PID/exe``)."""
    call("prctl", _SET_DUMPABLE, int(dumpable), 0, 0, 0)


def keep_capabilities(keep: bool) -> None:
    """Keep permitted capabilities when the user id changes from 0 to another."""
    call("prctl", _SET_KEEPCAPS, int(keep), 0, 0, 0)


def set_name(name: str) -> None:
    """The name shown by ps(1), cut to 15 bytes."""
    call("prctl", _SET_NAME, name.encode()[:15] + b"\0", 0, 0, 0)


def set_arguments(text: bytes) -> None:
    """Have ``/proc/PID/cmdline`` say ``text``, cut to the room there is; anybody may read that file, whoever the
    process belongs to.  Nothing happens where the process cannot look at itself (proc_pid_stat(5), fields 48, 49)."""
    try:
        descriptor = os.open("/proc/self/stat", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return
    try:
        fields = os.read(descriptor, 4096).rpartition(b")")[2].split()
    finally:
        os.close(descriptor)
    start, end = int(fields[45]), int(fields[46])
    if not 0 < start < end:
        return
    content = text[: end - start - 1].ljust(end - start, b"\0")
    source, sink = os.pipe()  # read(2) puts bytes at an address
    try:
        for offset in range(0, len(content), _PIECE):
            os.write(sink, content[offset : offset + _PIECE])
            call("read", source, start + offset, _PIECE)
    finally:
        os.close(source)
        os.close(sink)


def set_subreaper(subreaper: bool) -> None:
    """Become the parent of orphaned descendants."""
    call("prctl", _SET_CHILD_SUBREAPER, int(subreaper), 0, 0, 0)


def set_no_new_privileges() -> None:
    """Give up what set-user-ID programs and file capabilities would grant, for good."""
    call("prctl", _SET_NO_NEW_PRIVS, 1, 0, 0, 0)


def new_session_keyring(name: str) -> None:
    """Join a session keyring of one's own (keyctl(2)); no error where the kernel has no keyrings or no quota left."""
    try:
        call("keyctl", _KEYCTL_JOIN_SESSION_KEYRING, name.encode() + b"\0", 0, 0, 0)
    except OSError as error:
        if error.errno not in (errno.ENOSYS, errno.EDQUOT, errno.EPERM):
            raise


def set_personality(domain: str) -> None:
    """personality(2) by its name in the runtime specification.  Raises KeyError for one that it does not have."""
    call("personality", _PERSONALITIES[domain])


def set_io_priority(kind: str, priority: int) -> None:
    """ioprio_set(2) for this process."""
    call("ioprio_set", 1, 0, (IO_CLASSES[kind] << 13) | priority)


def set_scheduler(
    policy: str, flags: tuple[str, ...], nice: int, priority: int, runtime: int, deadline: int, period: int
) -> None:
    """sched_setattr(2) for this process; ``runtime``, ``deadline`` and ``period`` are nanoseconds."""
    bits = 0
    for flag in flags:
        bits |= SCHEDULER_FLAGS[flag]
    attributes = pack("=IIQiIQQQ", 48, POLICIES[policy], bits, nice, priority, runtime, deadline, period)
    call("sched_setattr", 0, attributes, 0)


def set_limit(resource: int, soft: int, hard: int, pid: int = 0) -> None:
    """prlimit64(2)."""
    call("prlimit64", pid, resource, pack("=QQ", soft & (2**64 - 1), hard & (2**64 - 1)), 0)


def close_on_exec_from(first: int) -> None:
    """Mark every descriptor from ``first`` up to close on exec (close_range(2), Linux 5.11)."""
    call("close_range", first, 0xFFFFFFFF, 4)


def close_from(first: int) -> None:
    """Close every descriptor from ``first`` up."""
    call("close_range", first, 0xFFFFFFFF, 0)


#: Resource names of the runtime specification → numbers of prlimit(2), the same on x86-64 and aarch64.
RESOURCES = {
    "RLIMIT_CPU": 0,
    "RLIMIT_FSIZE": 1,
    "RLIMIT_DATA": 2,
    "RLIMIT_STACK": 3,
    "RLIMIT_CORE": 4,
    "RLIMIT_RSS": 5,
    "RLIMIT_NPROC": 6,
    "RLIMIT_NOFILE": 7,
    "RLIMIT_MEMLOCK": 8,
    "RLIMIT_AS": 9,
    "RLIMIT_LOCKS": 10,
    "RLIMIT_SIGPENDING": 11,
    "RLIMIT_MSGQUEUE": 12,
    "RLIMIT_NICE": 13,
    "RLIMIT_RTPRIO": 14,
    "RLIMIT_RTTIME": 15,
}


#: RLIM_INFINITY
UNLIMITED = 2**64 - 1


def hard_limit(resource: int, pid: int = 0) -> int:
    """The hard limit of a process (prlimit64(2)); 2**64 - 1 is no limit."""
    call("prlimit64", pid, resource, 0, SCRATCH)
    return int.from_bytes(scratch(16)[8:], "little")


def limit_text(limit: int) -> str:
    """A resource limit for people."""
    return "unlimited" if limit == UNLIMITED else str(limit)
