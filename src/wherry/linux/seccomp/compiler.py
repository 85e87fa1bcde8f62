"""``linux.seccomp`` to classic BPF.

A filter first tells the ABIs of the machine apart, then finds the system call's number in a binary tree over ranges
of numbers that share an outcome: Docker's 370 names are about a hundred ranges, seven comparisons deep.  An outcome is
an action, or tests of arguments followed by one.

What a profile means (libseccomp's reading, which OCI's is modelled on):

- A rule without argument tests decides for its call, whatever other rules say of it; of several the first counts.
- Other rules are tried in order; the tests of one rule must all hold, but where a rule tests the same argument twice,
  each of its tests is a rule of its own.
- Where arguments have 32 bits (x86, x32, ARM), the upper half of the register does not count.
- Calls of an ABI that the profile does not list kill the thread.
- Numbers above the largest that the profile names are unknown to it: unless the default is to allow, they fail with
  ENOSYS, so that programs fall back to older calls.
- On 32-bit x86, a rule for a socket or System V IPC call also holds for the same call made through ``socketcall`` or
  ``ipc``.
"""

from __future__ import annotations

import os
from _struct import pack

from wherry import fastjson
from wherry.errors import InvalidArgument, NotSupported
from wherry.linux.seccomp.profile import DATA

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from wherry.linux.seccomp.profile import Profile

    #: (index, operator, value, second value, whether arguments have 32 bits)
    Test = tuple[int, str, int, int, bool]
    #: Tests that must all hold, and what is returned then.
    Case = tuple[tuple[Test, ...], int]
    #: Cases in order, then what is returned when none holds.
    Outcome = tuple[tuple[Case, ...], int]
    #: code, jump if true, jump if false (numbers, or a label), constant
    Step = tuple[int, int | str, int | str, int]

#: Changes whenever the same profile compiles to something else; part of the cache's key.
COMPILER_VERSION = 1

KILL_PROCESS, KILL_THREAD, TRAP, ERRNO, USER_NOTIF = 0x80000000, 0, 0x30000, 0x50000, 0x7FC00000
TRACE, LOG, ALLOW = 0x7FF00000, 0x7FFC0000, 0x7FFF0000
ACTIONS = {
    "SCMP_ACT_KILL": KILL_THREAD,
    "SCMP_ACT_KILL_THREAD": KILL_THREAD,
    "SCMP_ACT_KILL_PROCESS": KILL_PROCESS,
    "SCMP_ACT_TRAP": TRAP,
    "SCMP_ACT_ERRNO": ERRNO,
    "SCMP_ACT_TRACE": TRACE,
    "SCMP_ACT_ALLOW": ALLOW,
    "SCMP_ACT_LOG": LOG,
    "SCMP_ACT_NOTIFY": USER_NOTIF,
}
_EPERM, _ENOSYS = 1, 38
OPERATORS = frozenset(f"SCMP_CMP_{name}" for name in ("NE", "LT", "LE", "EQ", "GE", "GT", "MASKED_EQ"))

#: ABI → AUDIT_ARCH_* (linux/audit.h), OCI's name.  x32 shares x86_64's and sets bit 30 of the number.
AUDIT = {"x86_64": 0xC000003E, "x86": 0x40000003, "aarch64": 0xC00000B7, "arm": 0x40000028}
_OCI = {
    "SCMP_ARCH_X86_64": "x86_64",
    "SCMP_ARCH_X86": "x86",
    "SCMP_ARCH_X32": "x32",
    "SCMP_ARCH_AARCH64": "aarch64",
    "SCMP_ARCH_ARM": "arm",
}
_MACHINES = {"x86_64": ("x86_64", "x86", "x32"), "aarch64": ("aarch64", "arm")}
_ALIASES = {"amd64": "x86_64", "arm64": "aarch64", "SCMP_ARCH_X86_64": "x86_64", "SCMP_ARCH_AARCH64": "aarch64"}
X32_BIT = 0x40000000
_ARM_PRIVATE = 0xF0000
_TOP = 1 << 32

_SOCKETCALL = "socket bind connect listen accept getsockname getpeername socketpair send recv sendto recvfrom shutdown "
_SOCKETCALL += "setsockopt getsockopt sendmsg recvmsg accept4 recvmmsg sendmmsg"
_MULTIPLEXED = {name: ("socketcall", number) for number, name in enumerate(_SOCKETCALL.split(), 1)} | {
    name: ("ipc", number)
    for name, number in (
        ("semop", 1),
        ("semget", 2),
        ("semctl", 3),
        ("semtimedop", 4),
        ("msgsnd", 11),
        ("msgrcv", 12),
        ("msgget", 13),
        ("msgctl", 14),
        ("shmat", 21),
        ("shmdt", 22),
        ("shmget", 23),
        ("shmctl", 24),
    )
}

# struct seccomp_data: nr, arch, instruction_pointer, args[6] of 64 bits (linux/seccomp.h); both machines are
# little-endian.  Operation codes: linux/bpf_common.h.
_LOAD, _AND, _RETURN, _JUMP = 0x20, 0x54, 0x06, 0x05
_EQUAL, _GREATER, _AT_LEAST = 0x15, 0x25, 0x35
_NUMBER, _ARCH, _ARGUMENTS = 0, 4, 16
_LIMIT = 4096  # BPF_MAXINSNS


def tables() -> dict[str, dict[str, int]]:
    """ABI → system call → number, from the kernel's headers (tools/generate_seccomp_data.py)."""
    with open(os.path.join(DATA, "syscalls.json"), "rb") as file:
        found: dict[str, dict[str, int]] = fastjson.loads(file.read())
    return found


def return_value(action: str, errno: int | None) -> int:
    """SECCOMP_RET_* with its data.  Raises `InvalidArgument`."""
    value = ACTIONS.get(action)
    if value is None:
        raise InvalidArgument(f"invalid seccomp action: {action or '(none)'}")
    if value in (ERRNO, TRACE):
        number = _EPERM if errno is None else errno
        if not 0 <= number <= (4095 if value == ERRNO else 0xFFFF):
            raise InvalidArgument(f"invalid seccomp errno: {number}")
        value |= number
    elif errno:
        raise InvalidArgument(f"errnoRet cannot be used with {action}")
    return value


def compile_filter(seccomp: Profile, arch: str = "") -> bytes:
    """See `wherry.linux.seccomp.compile`."""
    machine = arch or os.uname().machine
    machine = _ALIASES.get(machine, machine)
    if machine not in _MACHINES:
        raise NotSupported(f"seccomp filters cannot be made for {machine}")
    numbers = tables()
    default = return_value(seccomp.get("defaultAction") or "", seccomp.get("defaultErrnoRet"))
    wanted = {machine}
    for name in seccomp.get("architectures") or ():
        wanted.add(_OCI.get(name, ""))
    abis = [abi for abi in _MACHINES[machine] if abi in wanted]
    code: list[Step] = [(_LOAD, 0, 0, _ARCH)]
    for abi in abis:
        if abi == "x32":
            continue
        if abi == "x86_64":
            ranges = _ranges_x86_64(seccomp, default, numbers, "x32" in abis)
        else:
            ranges = _ranges(abi_outcomes(seccomp, abi, numbers[abi], default), abi, default)
        body: list[Step] = [(_LOAD, 0, 0, _NUMBER), *_tree(ranges)]
        code += _skip_unless(AUDIT[abi], body)
    code.append((_RETURN, 0, 0, KILL_THREAD))
    if len(code) > _LIMIT:
        raise InvalidArgument(f"the seccomp profile makes a filter of {len(code)} instructions; {_LIMIT} are allowed")
    return b"".join([pack("<HBBI", *step) for step in code])


def _skip_unless(audit: int, body: list[Step]) -> list[Step]:
    if len(body) < 256:
        return [(_EQUAL, 0, len(body), audit), *body]
    return [(_EQUAL, 1, 0, audit), (_JUMP, 0, 0, len(body)), *body]


def abi_outcomes(seccomp: Profile, abi: str, numbers: dict[str, int], default: int) -> dict[int, Outcome]:
    """System call number → what the profile says of it, for the calls that it names."""
    narrow = abi in ("x86", "arm", "x32")
    plain: dict[int, int] = {}
    cases: dict[int, list[Case]] = {}
    for rule in seccomp.get("syscalls") or ():
        action = return_value(rule.get("action") or "", rule.get("errnoRet"))
        alternatives = _alternatives(rule.get("args") or (), narrow)
        for name in rule.get("names") or ():
            number = numbers.get(name)
            if number is not None:
                if not alternatives:
                    plain.setdefault(number, action)
                elif action != default:
                    cases.setdefault(number, []).extend((tests, action) for tests in alternatives)
            if abi == "x86" and not alternatives and name in _MULTIPLEXED and action != default:
                gate, selector = _MULTIPLEXED[name]
                cases.setdefault(numbers[gate], []).append((((0, "SCMP_CMP_EQ", selector, 0, True),), action))
    found: dict[int, Outcome] = {number: (tuple(listed), default) for number, listed in cases.items()}
    for number, action in plain.items():
        found[number] = ((), action)
    return found


def _alternatives(arguments: Iterable[dict[str, Any]], narrow: bool) -> list[tuple[Test, ...]]:
    """The tests of a rule: one conjunction, or one for each test when an argument is tested twice."""
    tests = []
    for argument in arguments:
        index, operator = argument.get("index") or 0, argument.get("op") or ""
        first, second = argument.get("value") or 0, argument.get("valueTwo") or 0
        if operator not in OPERATORS:
            raise InvalidArgument(f"invalid seccomp operator: {operator or '(none)'}")
        if not 0 <= index <= 5 or not (0 <= first < 1 << 64 and 0 <= second < 1 << 64):
            raise InvalidArgument(f"invalid seccomp argument test: index {index}, value {first}, {second}")
        mask = 0xFFFFFFFF if narrow else 0xFFFFFFFFFFFFFFFF
        tests.append((index, operator, first & mask, second & mask, narrow))
    if len({test[0] for test in tests}) < len(tests):
        return [(test,) for test in tests]
    return [tuple(tests)] if tests else []


def _unknown(default: int) -> int:
    """What numbers get that the profile cannot know."""
    return default if default in (ALLOW, LOG) or default & 0xFFFF0000 == TRACE else ERRNO | _ENOSYS


def _ranges(outcomes: dict[int, Outcome], abi: str, default: int, base: int = 0) -> list[tuple[int, Outcome]]:
    """(first number, outcome) in ascending order; each reaches up to the next one's first number."""
    plain: Outcome = ((), default)
    unknown: Outcome = ((), _unknown(default))
    found: list[tuple[int, Outcome]] = []

    def put(first: int, outcome: Outcome) -> None:
        if found and found[-1][0] == first:
            found.pop()
        if not found or found[-1][1] != outcome:
            found.append((first, outcome))

    put(base, plain if outcomes else unknown)
    known = [number for number in sorted(outcomes) if abi != "arm" or number < _ARM_PRIVATE]
    for number in known:
        put(number, outcomes[number])
        put(number + 1, plain)
    put((known[-1] if known else base - 1) + 1, unknown)
    if abi == "arm":
        put(_ARM_PRIVATE, plain)
        for number in sorted(outcomes):
            if number >= _ARM_PRIVATE:
                put(number, outcomes[number])
                put(number + 1, plain)
    return found


def _ranges_x86_64(
    seccomp: Profile, default: int, numbers: dict[str, dict[str, int]], x32: bool
) -> list[tuple[int, Outcome]]:
    """Both ABIs in one tree; without x32 its numbers are those of an ABI that the profile does not list."""
    found = _ranges(abi_outcomes(seccomp, "x86_64", numbers["x86_64"], default), "x86_64", default)
    if x32:
        return found + _ranges(abi_outcomes(seccomp, "x32", numbers["x32"], default), "x32", default, X32_BIT)
    return [*found, (X32_BIT, ((), KILL_THREAD)), (_TOP - 1, ((), _unknown(default)))]  # -1: skipped by a tracer


def _tree(ranges: list[tuple[int, Outcome]]) -> list[Step]:
    """A binary search for the range of the number in the accumulator."""
    if len(ranges) == 1:
        return _leaf(ranges[0][1])
    middle = len(ranges) // 2
    left, right = _tree(ranges[:middle]), _tree(ranges[middle:])
    first = ranges[middle][0]
    if len(left) < 256:
        return [(_AT_LEAST, len(left), 0, first), *left, *right]
    return [(_AT_LEAST, 0, 1, first), (_JUMP, 0, 0, len(left)), *left, *right]


def _leaf(outcome: Outcome) -> list[Step]:
    cases, otherwise = outcome
    code: list[Step] = []
    for tests, action in cases:
        code += _case(tests, action)
    return [*code, (_RETURN, 0, 0, otherwise)]


def _case(tests: tuple[Test, ...], action: int) -> list[Step]:
    """Falls through to what follows when a test does not hold.  At most 6 tests of 6 steps: jumps are short."""
    code: list[Step] = []
    for test in tests:
        steps = _test(*test)
        for place, (operation, true, false, value) in enumerate(steps):
            after = len(steps) - place - 1
            jumps = [after if target == "pass" else target for target in (true, false)]
            code.append((operation, jumps[0], jumps[1], value))
    code.append((_RETURN, 0, 0, action))
    return [
        (operation, *(len(code) - place - 1 if target == "fail" else target for target in (true, false)), value)  # type: ignore[misc]
        for place, (operation, true, false, value) in enumerate(code)
    ]


def _test(index: int, operator: str, first: int, second: int, narrow: bool) -> list[Step]:
    """An unsigned comparison; "pass" is the end of these steps.  64-bit arguments are compared in two halves."""
    low, high = _ARGUMENTS + 8 * index, _ARGUMENTS + 8 * index + 4
    top, bottom = first >> 32, first & 0xFFFFFFFF
    steps: list[Step] = []
    if operator == "SCMP_CMP_MASKED_EQ":
        for offset, mask, wanted in ((high, top, second >> 32), (low, bottom, second & 0xFFFFFFFF)):
            if mask:
                steps += [(_LOAD, 0, 0, offset), (_AND, 0, 0, mask), (_EQUAL, 0, "fail", wanted & mask)]
        return steps
    above = operator in ("SCMP_CMP_GT", "SCMP_CMP_GE")
    if not narrow:
        steps.append((_LOAD, 0, 0, high))
        if operator == "SCMP_CMP_EQ":
            steps.append((_EQUAL, 0, "fail", top))
        elif operator == "SCMP_CMP_NE":
            steps.append((_EQUAL, 0, "pass", top))
        else:
            steps.append((_GREATER, "pass" if above else "fail", 0, top))
            steps.append((_EQUAL, 0, "fail" if above else "pass", top))
    steps.append((_LOAD, 0, 0, low))
    if operator == "SCMP_CMP_EQ":
        steps.append((_EQUAL, 0, "fail", bottom))
    elif operator == "SCMP_CMP_NE":
        steps.append((_EQUAL, "fail", 0, bottom))
    else:
        strict = operator in ("SCMP_CMP_GT", "SCMP_CMP_LE")  # the comparison of this half is > and not >=
        jumps: tuple[int | str, int | str] = (0, "fail") if above else ("fail", 0)
        steps.append((_GREATER if strict else _AT_LEAST, *jumps, bottom))
    return steps
