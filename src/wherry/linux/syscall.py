"""Raw system calls.

``import ctypes`` costs 3.5 ms, most of it for types that are not needed here, so the few that are come straight from
its C half (docs/decisions/0004-c-modules.md); an interpreter where that half looks different gets the whole module.
Numbers are those of x86_64 and aarch64 (Linux ``asm/unistd_64.h`` and ``asm-generic/unistd.h``).
"""

from __future__ import annotations

import _struct as struct
import errno as _errno
import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

#: The machine as ``uname -m`` names it.
MACHINE = os.uname().machine

_COMMON = {
    "pidfd_send_signal": 424,
    "open_tree": 428,
    "move_mount": 429,
    "fsopen": 430,
    "fsconfig": 431,
    "fsmount": 432,
    "fspick": 433,
    "clone3": 435,
    "close_range": 436,
    "openat2": 437,
    "pidfd_getfd": 438,
    "faccessat2": 439,
    "mount_setattr": 442,
}
_X86_64 = {
    "read": 0,
    "rt_sigaction": 13,
    "clone": 56,
    "fstatfs": 138,
    "personality": 135,
    "prctl": 157,
    "pivot_root": 155,
    "mount": 165,
    "umount2": 166,
    "sethostname": 170,
    "setdomainname": 171,
    "capget": 125,
    "capset": 126,
    "keyctl": 250,
    "ioprio_set": 251,
    "unshare": 272,
    "prlimit64": 302,
    "setns": 308,
    "sched_setattr": 314,
    "seccomp": 317,
    "bpf": 321,
    "execveat": 322,
    "mknodat": 259,
}
_AARCH64 = {
    "read": 63,
    "rt_sigaction": 134,
    "clone": 220,
    "fstatfs": 44,
    "personality": 92,
    "prctl": 167,
    "pivot_root": 41,
    "mount": 40,
    "umount2": 39,
    "sethostname": 161,
    "setdomainname": 162,
    "capget": 90,
    "capset": 91,
    "keyctl": 219,
    "ioprio_set": 30,
    "unshare": 97,
    "prlimit64": 261,
    "setns": 268,
    "sched_setattr": 274,
    "seccomp": 277,
    "bpf": 280,
    "execveat": 281,
    "mknodat": 33,
}

#: System call name → number on this machine; empty where the machine is not one of the two.
NUMBERS: dict[str, int] = {"x86_64": _X86_64, "aarch64": _AARCH64}.get(MACHINE, {})
if NUMBERS:
    NUMBERS.update(_COMMON)

_SCRATCH_SIZE = 4096


class CallError(OSError):
    """A system call failed: ``errno`` as always, ``call`` its name."""

    call: str = ""


class _Missing(CallError, FileNotFoundError):
    pass


class _NotADirectory(CallError, NotADirectoryError):
    pass


_KINDS: dict[int, type[CallError]] = {2: _Missing, 20: _NotADirectory}  # ENOENT, ENOTDIR


def failed(call: str, errno: int) -> CallError:
    """The error of a call that failed with ``errno``; one for ENOENT or ENOTDIR is Python's own for that as well."""
    error = _KINDS.get(errno, CallError)(errno, f"{call}: {os.strerror(errno)}")
    error.call = call
    return error


def _bind_fast() -> tuple[Any, ...]:
    import _ctypes

    core: Any = _ctypes

    long = type("_Long", (core._SimpleCData,), {"_type_": "l"})
    pointer = type("_Pointer", (core._SimpleCData,), {"_type_": "P"})
    char = type("_Char", (core._SimpleCData,), {"_type_": "c"})
    six = (long,) + (pointer,) * 6
    flags = core.FUNCFLAG_CDECL | core.FUNCFLAG_USE_ERRNO
    function = type("_Function", (core.CFuncPtr,), {"_flags_": flags, "_restype_": long, "_argtypes_": six})
    held = type(
        "_Held",
        (core.CFuncPtr,),
        {"_flags_": flags | core.FUNCFLAG_PYTHONAPI, "_restype_": long, "_argtypes_": six},
    )
    plain = type(
        "_Plain",
        (core.CFuncPtr,),
        {"_flags_": core.FUNCFLAG_CDECL | core.FUNCFLAG_PYTHONAPI, "_restype_": None, "_argtypes_": ()},
    )
    scratch = type("_Scratch", (core.Array,), {"_type_": char, "_length_": _SCRATCH_SIZE})()
    library = core.dlopen(None, 0)

    def symbol(name: str) -> int:
        return int(core.dlsym(library, name))

    entry = symbol("syscall")
    hooks = tuple(plain(symbol(f"PyOS_{name}")) for name in ("BeforeFork", "AfterFork_Child", "AfterFork_Parent"))
    return function(entry), held(entry), hooks, scratch, core.addressof(scratch), core.get_errno


def _bind_slow() -> tuple[Any, ...]:
    import ctypes

    library = ctypes.CDLL(None, use_errno=True)
    free = library.syscall
    held = ctypes.PyDLL(None, use_errno=True).syscall
    for function in (free, held):
        function.restype = ctypes.c_long
        function.argtypes = (ctypes.c_long,) + (ctypes.c_void_p,) * 6
    hooks = tuple(
        getattr(ctypes.pythonapi, f"PyOS_{name}") for name in ("BeforeFork", "AfterFork_Child", "AfterFork_Parent")
    )
    for hook in hooks:
        hook.restype = None
        hook.argtypes = ()
    scratch = ctypes.create_string_buffer(_SCRATCH_SIZE)
    return free, held, hooks, scratch, ctypes.addressof(scratch), ctypes.get_errno


try:
    _bound = _bind_fast()
except (ImportError, AttributeError, TypeError, OSError, ValueError):  # pragma: no cover - another interpreter
    _bound = _bind_slow()

_syscall: Callable[..., int] = _bound[0]
_syscall_held: Callable[..., int] = _bound[1]
before_fork: Callable[[], None]
after_fork_child: Callable[[], None]
after_fork_parent: Callable[[], None]
before_fork, after_fork_child, after_fork_parent = _bound[2]
_scratch: Any = _bound[3]
#: Address of a buffer of 4096 bytes for what the kernel writes; read it with `scratch` right after the call.
SCRATCH: int = _bound[4]
_get_errno: Callable[[], int] = _bound[5]

_PADDING = tuple((0,) * count for count in range(7))[::-1]


def call(name: str, *arguments: int | bytes | None) -> int:
    """Make the system call ``name``; bytes are passed as a pointer to them and end with a zero byte.

    Raises `CallError`, with ENOSYS where this machine's number of the call is not known.  EINTR is the caller's
    affair (none of the calls here is one that a signal handler of Python's should interrupt).
    """
    number = NUMBERS.get(name)
    if number is None:
        raise failed(name, _errno.ENOSYS)
    result = _syscall(number, *arguments, *_PADDING[len(arguments)])
    if result < 0:
        raise failed(name, _get_errno())
    return result


def prctl(option: int, argument: int) -> int:
    """prctl(2), for those who make dozens of them."""
    result = _syscall(NUMBERS["prctl"], option, argument, 0, 0, 0, 0)
    if result < 0:
        raise failed("prctl", _get_errno())
    return result


def call_holding_lock(name: str, *arguments: int | bytes | None) -> int:
    """Like `call` without letting go of the interpreter lock: for calls that return twice."""
    number = NUMBERS.get(name)
    if number is None:
        raise failed(name, _errno.ENOSYS)
    result = _syscall_held(number, *arguments, *_PADDING[len(arguments)])
    if result < 0:
        raise failed(name, _get_errno())
    return result


def scratch(size: int) -> bytes:
    """The first ``size`` bytes of the buffer at `SCRATCH`."""
    return memoryview(_scratch)[:size].tobytes()


def fill_scratch(content: bytes) -> int:
    """Put ``content`` at the start of the buffer (at most 4096 bytes) and return its address."""
    memoryview(_scratch).cast("B")[: len(content)] = content
    return SCRATCH


def path_bytes(path: str | bytes) -> bytes:
    """A path as the kernel takes it.  Raises ValueError for an embedded zero byte."""
    encoded = os.fsencode(path)
    if b"\0" in encoded:
        raise ValueError("a path cannot hold a zero byte")
    return encoded


#: struct.pack under a name that says what it is for.
pack = struct.pack
