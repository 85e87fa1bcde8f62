"""Compiled filters mean what their profiles say: run on a BPF machine, for every call and the edges of arguments."""

from __future__ import annotations

import random
from typing import Any

import pytest

from support.bpf import ALLOW, AUDIT, ERRNO, KILL, LOG, decode, meaning, run, value_of, verify
from wherry.errors import InvalidArgument, NotSupported
from wherry.linux import seccomp
from wherry.linux.seccomp import compiler
from wherry.linux.seccomp import profile as profiles

TABLES = compiler.tables()
ZERO = (0, 0, 0, 0, 0, 0)
CAPABILITIES = {
    "none": [],
    "docker": ["CAP_CHOWN", "CAP_NET_RAW", "CAP_SYS_CHROOT", "CAP_AUDIT_WRITE"],
    "admin": ["CAP_SYS_ADMIN", "CAP_SYS_PTRACE", "CAP_BPF"],
}


def edges(seccomp: dict[str, Any], name: str, narrow: bool) -> list[tuple[int, ...]]:
    """Arguments around each value that a rule for the call tests."""
    found = {ZERO}
    for rule in seccomp["syscalls"]:
        for test in rule.get("args") or () if name in rule["names"] else ():
            for value in (
                test.get("value", 0),
                test.get("valueTwo", 0),
                test.get("value", 0) | test.get("valueTwo", 0),
            ):
                for near in (
                    value - 1,
                    value,
                    value + 1,
                    value ^ 1 << 31,
                    value | 1 << 32,
                    value << 32,
                    ~value,
                    1 << 63,
                ):
                    arguments = list(random.choice(sorted(found)))
                    arguments[test["index"]] = near & (0xFFFFFFFF if narrow else 0xFFFFFFFFFFFFFFFF)
                    found.add(tuple(arguments))
    return sorted(found)


def check(profile: dict[str, Any], machine: str, abis: tuple[str, ...]) -> None:
    program = seccomp.compile(profile, machine)
    verify(program)
    code = decode(program)
    default = value_of(profile["defaultAction"], profile.get("defaultErrnoRet"))
    lenient = default in (ALLOW, LOG) or default & 0xFFFF0000 == 0x7FF00000
    named = {name for rule in profile["syscalls"] for name in rule["names"]}
    for abi in abis:
        table = TABLES[abi]
        numbers = {table[name]: name for name in named if name in table}
        if abi == "x86":
            numbers = {number: name for number, name in numbers.items() if name not in ("socketcall", "ipc")}
        base = 0x40000000 if abi == "x32" else 0
        known = [number for number in numbers if number < 0xF0000 or abi == "x32"]
        for number in [*range(base, max(known, default=base) + 40), *numbers]:
            name = numbers.get(number)
            if abi == "x86" and number in (102, 117):
                continue
            if name is not None:
                for arguments in edges(profile, name, abi in ("x86", "arm", "x32")):
                    wanted = meaning(profile, abi, name, arguments)
                    assert run(code, number, AUDIT[abi], arguments) == wanted, (abi, name, arguments)
            else:
                unknown = number > max(known, default=base - 1)
                wanted = ERRNO | 38 if unknown and not lenient else default
                assert run(code, number, AUDIT[abi], ZERO) == wanted, (abi, number)


@pytest.mark.parametrize("capabilities", CAPABILITIES.values(), ids=CAPABILITIES)
def test_docker_default_on_x86(capabilities: list[str]) -> None:
    check(profiles.docker_default(capabilities, "x86_64", (6, 1)), "x86_64", ("x86_64", "x86", "x32"))


@pytest.mark.parametrize("capabilities", CAPABILITIES.values(), ids=CAPABILITIES)
def test_docker_default_on_arm(capabilities: list[str]) -> None:
    check(profiles.docker_default(capabilities, "aarch64", (6, 1)), "aarch64", ("aarch64", "arm"))


def test_random_profiles() -> None:
    """Every action, operator and default, several rules to a call."""
    dice = random.Random(20240607)
    names = sorted(set(TABLES["x86_64"]) & set(TABLES["x86"]) - set(compiler._MULTIPLEXED))
    operators = sorted(compiler.OPERATORS)
    values = [0, 1, 2, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 1 << 32, (1 << 32) + 5, 1 << 63, (1 << 64) - 1]
    for _ in range(25):
        rules = []
        for _ in range(dice.randrange(1, 20)):
            action = dice.choice(sorted(compiler.ACTIONS))
            rule: dict[str, Any] = {"names": dice.sample(names, dice.randrange(1, 12)), "action": action}
            if action in ("SCMP_ACT_ERRNO", "SCMP_ACT_TRACE") and dice.random() < 0.5:
                rule["errnoRet"] = dice.randrange(0, 4096)
            if dice.random() < 0.6:
                rule["args"] = [
                    {
                        "index": dice.randrange(6),
                        "op": dice.choice(operators),
                        "value": dice.choice(values),
                        "valueTwo": dice.choice(values),
                    }
                    for _ in range(dice.randrange(1, 4))
                ]
            rules.append(rule)
        default = dice.choice(["SCMP_ACT_ALLOW", "SCMP_ACT_ERRNO", "SCMP_ACT_KILL_PROCESS", "SCMP_ACT_LOG"])
        profile = {
            "defaultAction": default,
            "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"],
            "syscalls": rules,
        }
        check(profile, "x86_64", ("x86_64", "x86", "x32"))


def test_other_abis_kill() -> None:
    """A call of an ABI that the profile does not list kills: its numbers would mean other calls."""
    code = decode(seccomp.compile({"defaultAction": "SCMP_ACT_ALLOW"}, "x86_64"))
    assert run(code, 1, AUDIT["x86_64"], ZERO) == ALLOW
    assert run(code, 1, AUDIT["x86"], ZERO) == KILL
    assert run(code, 1, AUDIT["aarch64"], ZERO) == KILL
    assert run(code, 0x40000001, AUDIT["x32"], ZERO) == KILL
    assert run(code, -1, AUDIT["x86_64"], ZERO) == ALLOW


def test_unknown_numbers_fail_with_enosys() -> None:
    rules = [{"names": ["read", "exit_group"], "action": "SCMP_ACT_ALLOW"}]
    for default, wanted in (("SCMP_ACT_ERRNO", ERRNO | 38), ("SCMP_ACT_KILL", ERRNO | 38), ("SCMP_ACT_LOG", LOG)):
        code = decode(seccomp.compile({"defaultAction": default, "syscalls": rules}, "x86_64"))
        assert run(code, TABLES["x86_64"]["exit_group"] + 1, AUDIT["x86_64"], ZERO) == wanted
        assert run(code, -1, AUDIT["x86_64"], ZERO) == wanted


def test_arm_private_calls() -> None:
    """0xf0001 and up are ARM's own; between the table and them nothing is known."""
    rules = [{"names": ["read", "cacheflush"], "action": "SCMP_ACT_ALLOW"}]
    profile = {"defaultAction": "SCMP_ACT_ERRNO", "architectures": ["SCMP_ARCH_ARM"], "syscalls": rules}
    code = decode(seccomp.compile(profile, "aarch64"))
    results = {number: run(code, number, AUDIT["arm"], ZERO) for number in (3, 4, 500, 0xF0001, 0xF0002, 0xF0003)}
    denied, unknown = ERRNO | 1, ERRNO | 38
    assert results == {3: ALLOW, 4: unknown, 500: unknown, 0xF0001: denied, 0xF0002: ALLOW, 0xF0003: denied}


def test_multiplexed_calls_of_32_bit_x86() -> None:
    """Denying socket() is no use when socketcall(SYS_SOCKET) goes through."""
    profile = {
        "defaultAction": "SCMP_ACT_ALLOW",
        "architectures": ["SCMP_ARCH_X86"],
        "syscalls": [{"names": ["socket", "shmat"], "action": "SCMP_ACT_ERRNO"}],
    }
    code = decode(seccomp.compile(profile, "x86_64"))
    socketcall, ipc = TABLES["x86"]["socketcall"], TABLES["x86"]["ipc"]
    assert run(code, TABLES["x86"]["socket"], AUDIT["x86"], ZERO) == ERRNO | 1
    assert run(code, socketcall, AUDIT["x86"], (1, 0, 0, 0, 0, 0)) == ERRNO | 1
    assert run(code, socketcall, AUDIT["x86"], (2, 0, 0, 0, 0, 0)) == ALLOW
    assert run(code, ipc, AUDIT["x86"], (21, 0, 0, 0, 0, 0)) == ERRNO | 1
    assert run(code, ipc, AUDIT["x86"], (22, 0, 0, 0, 0, 0)) == ALLOW


def test_the_plain_rule_wins() -> None:
    """As libseccomp: a rule for the whole call makes rules for some of its arguments moot."""
    test = {"index": 0, "op": "SCMP_CMP_EQ", "value": 5}
    rules = [
        {"names": ["read"], "action": "SCMP_ACT_KILL", "args": [test]},
        {"names": ["read"], "action": "SCMP_ACT_ALLOW"},
    ]
    code = decode(seccomp.compile({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": rules}, "x86_64"))
    assert run(code, 0, AUDIT["x86_64"], (5, 0, 0, 0, 0, 0)) == ALLOW


@pytest.mark.parametrize(
    ("profile", "text"),
    [
        ({}, "invalid seccomp action: (none)"),
        ({"defaultAction": "SCMP_ACT_MAYBE"}, "invalid seccomp action: SCMP_ACT_MAYBE"),
        ({"defaultAction": "SCMP_ACT_ALLOW", "defaultErrnoRet": 3}, "errnoRet cannot be used"),
        ({"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 5000}, "invalid seccomp errno: 5000"),
        (
            {
                "defaultAction": "SCMP_ACT_ERRNO",
                "syscalls": [{"names": ["read"], "action": "SCMP_ACT_ALLOW", "args": [{"index": 0, "op": "EQ"}]}],
            },
            "invalid seccomp operator: EQ",
        ),
        (
            {
                "defaultAction": "SCMP_ACT_ERRNO",
                "syscalls": [
                    {"names": ["read"], "action": "SCMP_ACT_ALLOW", "args": [{"index": 6, "op": "SCMP_CMP_EQ"}]}
                ],
            },
            "index 6",
        ),
    ],
)
def test_refused_profiles(profile: dict[str, Any], text: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        seccomp.compile(profile, "x86_64")
    assert text in str(caught.value)


def test_too_many_rules_for_the_kernel() -> None:
    tests = [{"index": 0, "op": "SCMP_CMP_EQ", "value": value} for value in range(2000)]
    rules = [{"names": ["read"], "action": "SCMP_ACT_ALLOW", "args": [test]} for test in tests]
    with pytest.raises(InvalidArgument, match="4096 are allowed"):
        seccomp.compile({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": rules}, "x86_64")


def test_a_large_filter_uses_long_jumps() -> None:
    """Subtrees of more than 255 instructions are out of reach of a conditional jump."""
    names = sorted(TABLES["x86_64"], key=TABLES["x86_64"].__getitem__)
    rules = [
        {
            "names": [name],
            "action": "SCMP_ACT_ERRNO",
            "errnoRet": place + 1,
            "args": [{"index": 1, "op": op, "value": 9}],
        }
        for place, name in enumerate(names)
        for op in ("SCMP_CMP_GT",)
    ]
    check({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": rules}, "x86_64", ("x86_64",))


def test_a_machine_without_table() -> None:
    with pytest.raises(NotSupported, match="sparc"):
        seccomp.compile({"defaultAction": "SCMP_ACT_ALLOW"}, "sparc")
