"""Device access on cgroup v2: a small eBPF program of type BPF_PROG_TYPE_CGROUP_DEVICE (bpf(2)).

The kernel runs it at every open and mknod of a device node with the kind, the numbers and the access asked for; it
returns 1 to allow.  Programs on ancestors are asked too, and all must allow.
"""

from __future__ import annotations

import os
from struct import pack, unpack

from wherry.errors import SystemFailure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wherry.linux.cgroup.devices import Rule

_NUMBERS = {
    "x86_64": 321,
    "i386": 357,
    "i686": 357,
    "aarch64": 280,
    "riscv64": 280,
    "loongarch64": 280,
    "arm": 386,
    "armv7l": 386,
    "ppc64le": 361,
    "s390x": 351,
}
_PROG_LOAD, _PROG_ATTACH, _PROG_DETACH, _GET_FD_BY_ID, _PROG_QUERY = 5, 8, 9, 13, 16
_TYPE_CGROUP_DEVICE, _ATTACH_DEVICE, _ALLOW_MULTI = 15, 6, 2
_KINDS = {"b": 1, "c": 2}  # BPF_DEVCG_DEV_*
_ALL = 7

# Operation codes: class | size or source | operation (linux/bpf_common.h, linux/bpf.h).
_LOAD_WORD, _AND, _SHIFT_RIGHT, _MOVE, _MOVE_REGISTER = 0x61, 0x57, 0x77, 0xB7, 0xBF
_UNEQUAL, _EQUAL, _EXIT = 0x55, 0x15, 0x95
_RESULT, _CONTEXT, _KIND, _LEFT, _MAJOR, _MINOR = range(6)


def _op(code: int, target: int = 0, source: int = 0, offset: int = 0, value: int = 0) -> bytes:
    return pack("<BBhi", code, target | source << 4, offset, value)


def _answer(allow: bool) -> list[bytes]:
    return [_op(_MOVE, _RESULT, value=int(allow)), _op(_EXIT)]


def program(default: bool, rules: tuple[Rule, ...]) -> bytes:
    """The instructions for rules in order, the last one that matches deciding each kind of access.

    Rules are tried from the last to the first; ``_LEFT`` holds the kinds of access that none has granted yet.
    """
    code = [
        _op(_LOAD_WORD, _KIND, _CONTEXT, 0),  # access << 16 | kind
        _op(_MOVE_REGISTER, _LEFT, _KIND),
        _op(_AND, _KIND, value=0xFFFF),
        _op(_SHIFT_RIGHT, _LEFT, value=16),
        _op(_LOAD_WORD, _MAJOR, _CONTEXT, 4),
        _op(_LOAD_WORD, _MINOR, _CONTEXT, 8),
    ]
    for rule in reversed(rules):
        if rule.access == _ALL:
            body = _answer(rule.allow)
        elif rule.allow:
            body = [_op(_AND, _LEFT, value=~rule.access & _ALL), _op(_UNEQUAL, _LEFT, offset=2), *_answer(True)]
        else:
            body = [
                _op(_MOVE_REGISTER, _CONTEXT, _LEFT),  # the context is not needed any more
                _op(_AND, _CONTEXT, value=rule.access),
                _op(_EQUAL, _CONTEXT, offset=2),
                *_answer(False),
            ]
        tests = [(_KIND, _KINDS[rule.kind])]
        if rule.major >= 0:
            tests.append((_MAJOR, rule.major))
        if rule.minor >= 0:
            tests.append((_MINOR, rule.minor))
        for index, (register, value) in enumerate(tests):
            skip = len(tests) - index - 1 + len(body)
            code.append(_op(_UNEQUAL, register, offset=skip, value=value))
        code += body
    return b"".join(code + _answer(default))


def _bpf(command: int, attributes: bytes, what: str) -> tuple[int, bytes]:
    """bpf(2).  Returns its result and the attributes as the kernel left them."""
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    libc.syscall.restype = ctypes.c_long
    buffer = ctypes.create_string_buffer(attributes, len(attributes))
    number = _NUMBERS.get(os.uname().machine, 280)
    result = libc.syscall(ctypes.c_long(number), ctypes.c_long(command), buffer, ctypes.c_ulong(len(attributes)))
    if result < 0:
        raise SystemFailure(what, "bpf", ctypes.get_errno())
    return result, buffer.raw


def load(instructions: bytes) -> int:
    """A descriptor of the program, verified by the kernel.  Raises `SystemFailure`."""
    import ctypes

    code = ctypes.create_string_buffer(instructions, len(instructions))
    licence = ctypes.create_string_buffer(b"Apache-2.0")
    attributes = pack(
        "=IIQQIIQII16s",
        _TYPE_CGROUP_DEVICE,
        len(instructions) // 8,
        ctypes.addressof(code),
        ctypes.addressof(licence),
        0,
        0,
        0,
        0,
        0,
        b"wherry_devices",
    )
    return _bpf(_PROG_LOAD, attributes, "loading the device filter")[0]


def attached(group: int) -> list[int]:
    """Descriptors of the device programs attached to the group itself."""
    import ctypes

    ids = (ctypes.c_uint32 * 64)()
    attributes = pack("=IIIIQI4x", group, _ATTACH_DEVICE, 0, 0, ctypes.addressof(ids), 64)
    left = _bpf(_PROG_QUERY, attributes, "listing device filters")[1]
    count = int(unpack("=I", left[24:28])[0])
    return [_bpf(_GET_FD_BY_ID, pack("=III", ids[index], 0, 0), "opening a device filter")[0] for index in range(count)]


def attach(directory: str, default: bool, rules: tuple[Rule, ...], *, fresh: bool = True) -> None:
    """Put the filter on a group; on one that has a filter already, replace it without a gap.

    Raises `SystemFailure` (EPERM without CAP_BPF and CAP_NET_ADMIN or CAP_SYS_ADMIN in the first user namespace).
    """
    group = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    opened = [group]
    try:
        old = [] if fresh else attached(group)
        opened += old
        if not (default and not rules):
            opened.append(load(program(default, rules)))
            _bpf(_PROG_ATTACH, _target(group, opened[-1], _ALLOW_MULTI), "attaching the device filter")
        for fd in old:
            _bpf(_PROG_DETACH, _target(group, fd, 0), "detaching the old device filter")
    finally:
        for fd in opened:
            os.close(fd)


def _target(group: int, program_fd: int, flags: int) -> bytes:
    return pack("=IIIII", group, program_fd, _ATTACH_DEVICE, flags, 0)
