"""Device access on cgroup v2: a small eBPF program of type BPF_PROG_TYPE_CGROUP_DEVICE (bpf(2)).

The kernel runs it at every open and mknod of a device node with the kind, the numbers and the access asked for; it
returns 1 to allow.  Programs on ancestors are asked too, and all must allow.
"""

from __future__ import annotations

import os
from _struct import pack, unpack

from wherry.errors import SystemFailure
from wherry.linux import syscall

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wherry.linux.cgroup.devices import Rule

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


def _bpf(command: int, attributes: bytes, what: str) -> int:
    """bpf(2).  The attributes are passed in `syscall.SCRATCH`, where the kernel leaves its answer."""
    try:
        return syscall.call("bpf", command, syscall.fill_scratch(attributes), len(attributes))
    except OSError as error:
        raise SystemFailure(what, "bpf", error.errno or 0) from error


def load(instructions: bytes) -> int:
    """A descriptor of the program, verified by the kernel.  Raises `SystemFailure`."""
    held, code = _place(instructions)
    attributes = pack(
        "=IIQQIIQII16s",
        _TYPE_CGROUP_DEVICE,
        len(instructions) // 8,
        code,
        syscall.SCRATCH + _ATTRIBUTES,
        0,
        0,
        0,
        0,
        0,
        b"wherry_devices",
    )
    content = attributes.ljust(_ATTRIBUTES, b"\0") + b"Apache-2.0\0".ljust(_LICENCE, b"\0") + held
    try:
        return syscall.call("bpf", _PROG_LOAD, syscall.fill_scratch(content), len(attributes))
    except OSError as error:
        raise SystemFailure("loading the device filter", "bpf", error.errno or 0) from error


_ATTRIBUTES, _LICENCE = 128, 16


def _place(instructions: bytes) -> tuple[bytes, int]:
    """Where the kernel finds the instructions: behind the attributes, or in memory of their own when they are many.

    Returns what is to go behind the attributes, and the address.
    """
    if _ATTRIBUTES + _LICENCE + len(instructions) <= 4096:
        return instructions, syscall.SCRATCH + _ATTRIBUTES + _LICENCE
    import ctypes

    global _kept
    _kept = ctypes.create_string_buffer(instructions, len(instructions))
    return b"", ctypes.addressof(_kept)


_kept: object = None


def attached(group: int) -> list[int]:
    """Descriptors of the device programs attached to the group itself (at most 64, the kernel's own limit)."""
    room = 64
    query = pack("=IIIIQI4x", group, _ATTACH_DEVICE, 0, 0, syscall.SCRATCH + _ATTRIBUTES, room)
    _bpf(_PROG_QUERY, query.ljust(_ATTRIBUTES + 4 * room, b"\0")[:_ATTRIBUTES], "listing device filters")
    answer = syscall.scratch(_ATTRIBUTES + 4 * room)
    count = int(unpack("=I", answer[24:28])[0])
    ids = unpack(f"={count}I", answer[_ATTRIBUTES : _ATTRIBUTES + 4 * count])
    opened: list[int] = []
    try:
        for number in ids:
            opened.append(_bpf(_GET_FD_BY_ID, pack("=III", number, 0, 0), "opening a device filter"))
    except SystemFailure:
        for fd in opened:
            os.close(fd)
        raise
    return opened


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
