"""Installing a filter: seccomp(2), SECCOMP_SET_MODE_FILTER."""

from __future__ import annotations

from _struct import pack

from wherry.errors import InvalidArgument
from wherry.linux import syscall

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from wherry.linux.seccomp.profile import Profile

_SET_MODE_FILTER = 1
FLAG_TSYNC, FLAG_LOG, FLAG_SPEC_ALLOW, FLAG_NEW_LISTENER, FLAG_TSYNC_ESRCH, FLAG_WAIT_KILLABLE_RECV = (
    1 << bit for bit in range(6)
)
_FLAGS = {
    "SECCOMP_FILTER_FLAG_TSYNC": FLAG_TSYNC,
    "SECCOMP_FILTER_FLAG_LOG": FLAG_LOG,
    "SECCOMP_FILTER_FLAG_SPEC_ALLOW": FLAG_SPEC_ALLOW,
    "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV": FLAG_WAIT_KILLABLE_RECV,
}


class Prepared:
    """A filter at a fixed place in memory, so that installing it is one system call.  It outlives fork."""

    __slots__ = ("_memory", "program")

    def __init__(self, filter_memory: Any, program: bytes) -> None:
        self._memory = filter_memory
        #: struct sock_fprog, ready to be passed.
        self.program = program


def prepare(bpf: bytes) -> Prepared:
    """Make a compiled filter ready to install.  Raises ValueError when it is not a whole number of instructions."""
    if not bpf or len(bpf) % 8 or len(bpf) > 8 * 4096:
        raise ValueError(f"{len(bpf)} bytes are not a seccomp filter")
    memory, address = _pin(bpf)
    return Prepared(memory, pack("@HP", len(bpf) // 8, address))


def _pin(content: bytes) -> tuple[Any, int]:
    """A copy that stays where it is, and its address."""
    try:
        import _ctypes as core

        char = type("_Char", (core._SimpleCData,), {"_type_": "c"})
        memory = type("_Filter", (core.Array,), {"_type_": char, "_length_": len(content)}).from_buffer_copy(content)  # type: ignore[attr-defined]
        return memory, core.addressof(memory)
    except (ImportError, AttributeError, TypeError):  # pragma: no cover - another interpreter
        import ctypes

        whole = ctypes.create_string_buffer(content, len(content))
        return whole, ctypes.addressof(whole)


def flags_of(seccomp: Profile) -> int:
    """``linux.seccomp.flags`` as bits.  None given means SPEC_ALLOW: the mitigation of speculative store bypass slows
    down every program, and the kernel itself stopped forcing it on filtered processes in Linux 5.16.

    Raises `InvalidArgument` for a flag that the kernel does not have.
    """
    names = seccomp.get("flags")
    if names is None:
        return FLAG_SPEC_ALLOW
    flags = 0
    for name in names:
        if name not in _FLAGS:
            raise InvalidArgument(f"unknown seccomp flag: {name}")
        flags |= _FLAGS[name]
    return flags


def install(program: Prepared | bytes, flags: int = 0) -> int:
    """Filter this thread, for good, and everything it will execute.

    Needs no_new_privs or CAP_SYS_ADMIN.  Returns 0, or the listener's descriptor with `FLAG_NEW_LISTENER`.  Raises
    OSError: EACCES without the privilege, EINVAL for a filter or flag that the kernel does not take.
    """
    ready = prepare(program) if isinstance(program, bytes) else program
    return syscall.call("seccomp", _SET_MODE_FILTER, flags, ready.program)
