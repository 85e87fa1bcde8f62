"""The same profiles through libseccomp, which runc and crun use: both filters decide alike.

The library exports its BPF; both programs run on the test's BPF machine.
"""

from __future__ import annotations

import ctypes
import random
import tempfile
from typing import Any

import pytest

from support.bpf import AUDIT, decode, run, value_of
from wherry.linux import seccomp
from wherry.linux.seccomp import compiler
from wherry.linux.seccomp import profile as profiles

pytestmark = [pytest.mark.needs("debian")]

TABLES = compiler.tables()
_TOKENS = {"x86_64": 0xC000003E, "x86": 0x40000003, "x32": 0x4000003E, "aarch64": 0xC00000B7, "arm": 0x40000028}
_ABIS = {"x86_64": ("x86_64", "x86", "x32"), "aarch64": ("aarch64", "arm")}
_OPERATORS = ("NE", "LT", "LE", "EQ", "GE", "GT", "MASKED_EQ")


class Comparison(ctypes.Structure):
    _fields_ = [("arg", ctypes.c_uint), ("op", ctypes.c_int), ("a", ctypes.c_uint64), ("b", ctypes.c_uint64)]


@pytest.fixture(scope="module")
def library() -> ctypes.CDLL:
    """Debian's apt depends on it."""
    found = ctypes.CDLL("libseccomp.so.2", use_errno=True)
    found.seccomp_init.restype = ctypes.c_void_p
    return found


def exported(library: ctypes.CDLL, profile: dict[str, Any], machine: str) -> bytes:
    """As runc drives it: rules like the default are left out, arguments tested twice are rules of their own."""
    default = value_of(profile["defaultAction"], profile.get("defaultErrnoRet"))
    context = ctypes.c_void_p(library.seccomp_init(ctypes.c_uint32(default)))
    assert context
    for abi in _ABIS[machine]:
        library.seccomp_arch_add(context, ctypes.c_uint32(_TOKENS[abi]))
    native = ctypes.c_uint32(0)
    if machine != "x86_64":
        library.seccomp_arch_remove(context, native)
    for rule in profile["syscalls"]:
        action = value_of(rule["action"], rule.get("errnoRet"))
        if action == default:
            continue
        arguments = [
            Comparison(
                test["index"], _OPERATORS.index(test["op"][9:]) + 1, test.get("value", 0), test.get("valueTwo", 0)
            )
            for test in rule.get("args") or ()
        ]
        twice = len({item.arg for item in arguments}) < len(arguments)
        for name in rule["names"]:
            number = library.seccomp_syscall_resolve_name(name.encode())
            if number == -1:
                continue
            for group in [[item] for item in arguments] if twice else [arguments]:
                array = (Comparison * max(len(group), 1))(*group)
                result = library.seccomp_rule_add_array(
                    context, ctypes.c_uint32(action), number, ctypes.c_uint(len(group)), array
                )
                assert result in (0, -17), (name, result)  # EEXIST: it has such a rule already
    with tempfile.TemporaryFile() as file:
        assert library.seccomp_export_bpf(context, file.fileno()) == 0
        file.seek(0)
        program = file.read()
    library.seccomp_release(context)
    return program


def known(library: ctypes.CDLL, abi: str, name: str) -> bool:
    """Whether this version of the library has the call under this number."""
    number = library.seccomp_syscall_resolve_name_arch(ctypes.c_uint32(_TOKENS[abi]), name.encode())
    return number == TABLES[abi][name]


def compare(library: ctypes.CDLL, profile: dict[str, Any], machine: str) -> int:
    ours = decode(seccomp.compile(profile, machine))
    theirs = [tuple(step) for step in decode(exported(library, profile, machine))]
    named = {name for rule in profile["syscalls"] for name in rule["names"]}
    values = {0, 1, 1 << 32, (1 << 64) - 1}
    for rule in profile["syscalls"]:
        for test in rule.get("args") or ():
            for value in (test.get("value", 0), test.get("valueTwo", 0)):
                values |= {value, value + 1, max(value - 1, 0), value | 1 << 32}
    dice, compared = random.Random(5), 0
    for abi in _ABIS[machine]:
        largest = (
            TABLES[abi]["mseal"] if abi == "arm" else max(TABLES[abi][name] for name in named if name in TABLES[abi])
        )
        limit = 0xFFFFFFFF if abi in ("x86", "arm") else (1 << 64) - 1
        for name, number in TABLES[abi].items():
            if number > largest or not known(library, abi, name):
                continue
            tested = any(name in rule["names"] and rule.get("args") for rule in profile["syscalls"])
            for _ in range(60 if tested or name in ("socketcall", "ipc") else 1):
                arguments = tuple(dice.choice(sorted(values)) & limit for _ in range(6))
                wanted = run(theirs, number, AUDIT[abi], arguments)
                assert run(ours, number, AUDIT[abi], arguments) == wanted, (abi, name, arguments)
                compared += 1
    return compared


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
@pytest.mark.parametrize("capabilities", [[], ["CAP_SYS_ADMIN", "CAP_SYS_CHROOT"]], ids=["none", "admin"])
def test_docker_default(library: ctypes.CDLL, machine: str, capabilities: list[str]) -> None:
    profile = profiles.docker_default(capabilities, machine, (6, 1))
    assert compare(library, profile, machine) > 600


@pytest.mark.parametrize("seed", range(8))
def test_random_profiles(library: ctypes.CDLL, seed: int) -> None:
    """One rule with arguments, or one without, for each call: where rules overlap libseccomp's answer depends on
    how it happens to merge them."""
    dice = random.Random(seed)
    names = sorted(set(TABLES["x86_64"]) & set(TABLES["x86"]) & set(TABLES["x32"]) - set(compiler._MULTIPLEXED))
    dice.shuffle(names)
    values = [0, 1, 7, 0x80000000, 0xFFFFFFFF]
    rules: list[dict[str, Any]] = []
    for place in range(0, 120, 4):
        action = dice.choice(
            ["SCMP_ACT_ALLOW", "SCMP_ACT_ERRNO", "SCMP_ACT_TRAP", "SCMP_ACT_LOG", "SCMP_ACT_KILL_PROCESS"]
        )
        rule: dict[str, Any] = {"names": names[place : place + 4], "action": action}
        if dice.random() < 0.7:
            rule["args"] = [
                {
                    "index": index,
                    "op": "SCMP_CMP_" + dice.choice(_OPERATORS),
                    "value": dice.choice(values),
                    "valueTwo": 0,
                }
                for index in dice.sample(range(6), dice.randrange(1, 4))
            ]
        rules.append(rule)
    rules.append({"names": ["mseal"], "action": "SCMP_ACT_ALLOW"})
    default = dice.choice(["SCMP_ACT_ERRNO", "SCMP_ACT_ALLOW", "SCMP_ACT_KILL"])
    profile = {
        "defaultAction": default,
        "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"],
        "syscalls": rules,
    }
    assert compare(library, profile, "x86_64") > 600
