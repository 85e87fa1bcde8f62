"""A classic BPF machine as the kernel runs it for seccomp, and a filter's meaning by reading its rules directly."""

from __future__ import annotations

from struct import iter_unpack, pack, unpack_from
from typing import Any

AUDIT = {"x86_64": 0xC000003E, "x86": 0x40000003, "x32": 0xC000003E, "aarch64": 0xC00000B7, "arm": 0x40000028}
ALLOW, LOG, KILL, ERRNO = 0x7FFF0000, 0x7FFC0000, 0, 0x50000


def decode(program: bytes) -> list[tuple[int, int, int, int]]:
    return list(iter_unpack("<HBBI", program))


def verify(program: bytes) -> None:
    """What seccomp_check_filter of the kernel asks: known instructions, jumps inside, a return at the end."""
    code = decode(program)
    assert 0 < len(code) <= 4096
    for place, (operation, true, false, value) in enumerate(code):
        assert operation in (0x20, 0x54, 0x06, 0x05, 0x15, 0x25, 0x35)
        if operation == 0x20:
            assert value % 4 == 0
            assert value < 64
        if operation == 0x05:
            assert place + 1 + value < len(code)
        if operation in (0x15, 0x25, 0x35):
            assert place + 1 + max(true, false) < len(code)
    assert code[-1][0] == 0x06


def run(code: list[tuple[int, int, int, int]], number: int, audit: int, arguments: tuple[int, ...]) -> int:
    """The value that the filter returns."""
    data = pack("<IIQ6Q", number & 0xFFFFFFFF, audit, 0, *arguments)
    accumulator, place = 0, 0
    while True:
        operation, true, false, value = code[place]
        place += 1
        if operation == 0x20:
            accumulator = unpack_from("<I", data, value)[0]
        elif operation == 0x54:
            accumulator &= value
        elif operation == 0x06:
            return value
        elif operation == 0x05:
            place += value
        elif operation == 0x15:
            place += true if accumulator == value else false
        elif operation == 0x25:
            place += true if accumulator > value else false
        elif operation == 0x35:
            place += true if accumulator >= value else false
        else:
            raise AssertionError(f"instruction {operation:#x}")


_VALUES = {
    "SCMP_ACT_KILL": 0,
    "SCMP_ACT_KILL_THREAD": 0,
    "SCMP_ACT_KILL_PROCESS": 0x80000000,
    "SCMP_ACT_TRAP": 0x30000,
    "SCMP_ACT_ERRNO": 0x50000,
    "SCMP_ACT_TRACE": 0x7FF00000,
    "SCMP_ACT_LOG": LOG,
    "SCMP_ACT_ALLOW": ALLOW,
    "SCMP_ACT_NOTIFY": 0x7FC00000,
}


def value_of(action: str, errno: int | None) -> int:
    value = _VALUES[action]
    return value | (1 if errno is None else errno) if action in ("SCMP_ACT_ERRNO", "SCMP_ACT_TRACE") else value


def holds(test: dict[str, Any], arguments: tuple[int, ...], narrow: bool) -> bool:
    mask = 0xFFFFFFFF if narrow else 0xFFFFFFFFFFFFFFFF
    actual = arguments[test["index"]] & mask
    first, second = test.get("value", 0) & mask, test.get("valueTwo", 0) & mask
    return {
        "SCMP_CMP_NE": actual != first,
        "SCMP_CMP_LT": actual < first,
        "SCMP_CMP_LE": actual <= first,
        "SCMP_CMP_EQ": actual == first,
        "SCMP_CMP_GE": actual >= first,
        "SCMP_CMP_GT": actual > first,
        "SCMP_CMP_MASKED_EQ": actual & first == second & first,
    }[test["op"]]


def meaning(seccomp: dict[str, Any], abi: str, name: str, arguments: tuple[int, ...]) -> int:
    """What the profile says of a call that some rule names; no multiplexed calls."""
    narrow = abi in ("x86", "arm", "x32")
    default = value_of(seccomp["defaultAction"], seccomp.get("defaultErrnoRet"))
    rules = [rule for rule in seccomp["syscalls"] if name in rule["names"]]
    for rule in rules:
        if not rule.get("args"):
            return value_of(rule["action"], rule.get("errnoRet"))
    for rule in rules:
        value = value_of(rule["action"], rule.get("errnoRet"))
        if value == default:
            continue
        results = [holds(test, arguments, narrow) for test in rule["args"]]
        twice = len({test["index"] for test in rule["args"]}) < len(results)
        if any(results) if twice else all(results):
            return value
    return default
