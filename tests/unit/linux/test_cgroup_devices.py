"""Device rules: v1's lists, and the eBPF program run on a small machine against the rules themselves."""

from __future__ import annotations

import itertools
import random
from struct import iter_unpack
from typing import Any

import pytest

from wherry.errors import InvalidArgument, NotSupported
from wherry.linux.cgroup import devices, ebpf
from wherry.linux.cgroup.devices import MKNOD, READ, WRITE, Rule

DENY_ALL = {"allow": False, "access": "rwm"}


def run(program: bytes, kind: str, major: int, minor: int, access: int) -> int:
    """The eBPF instructions that the filter uses."""
    code = list(iter_unpack("<BBhi", program))
    registers = [0] * 11
    context = {0: access << 16 | {"b": 1, "c": 2}[kind], 4: major, 8: minor}
    place = 0
    while True:
        operation, pair, offset, value = code[place]
        target, source = pair & 15, pair >> 4
        place += 1
        if operation == 0x61:
            registers[target] = context[offset]
        elif operation == 0xBF:
            registers[target] = registers[source]
        elif operation == 0xB7:
            registers[target] = value
        elif operation == 0x57:
            registers[target] &= value
        elif operation == 0x77:
            registers[target] >>= value
        elif operation == 0x55:
            place += offset if registers[target] != value else 0
        elif operation == 0x15:
            place += offset if registers[target] == value else 0
        elif operation == 0x95:
            return registers[0]
        else:
            raise AssertionError(hex(operation))


def meaning(default: bool, rules: tuple[Rule, ...], kind: str, major: int, minor: int, access: int) -> bool:
    """Each kind of access on its own: the last rule that covers it decides."""
    for bit in (READ, WRITE, MKNOD):
        allowed = default
        for rule in rules:
            if rule.kind == kind and rule.major in (-1, major) and rule.minor in (-1, minor) and rule.access & bit:
                allowed = rule.allow
        if access & bit and not allowed:
            return False
    return True


def test_program_means_its_rules() -> None:
    dice = random.Random(7)
    for _ in range(200):
        rules = tuple(
            Rule(
                dice.random() < 0.6,
                dice.choice("bc"),
                dice.choice([-1, 1, 8]),
                dice.choice([-1, 3, 5]),
                dice.randrange(1, 8),
            )
            for _ in range(dice.randrange(0, 9))
        )
        default = dice.random() < 0.5
        program = ebpf.program(default, rules)
        for kind, major, minor, access in itertools.product("bc", (1, 8, 9), (3, 5, 6), range(1, 8)):
            wanted = meaning(default, rules, kind, major, minor, access)
            assert run(program, kind, major, minor, access) == wanted, (default, rules, kind, major, minor, access)


def test_nothing_given_is_deny_all_but_the_defaults() -> None:
    for given in (None, [], [DENY_ALL]):
        default, rules = devices.effective(given)
        assert default is False
        program = ebpf.program(default, rules)
        assert run(program, "c", 1, 3, READ | WRITE)
        assert run(program, "c", 136, 77, READ | WRITE)
        assert run(program, "b", 8, 0, MKNOD)
        assert not run(program, "b", 8, 0, READ)
        assert not run(program, "c", 1, 1, READ)
        assert not run(program, "c", 10, 200, READ)


def test_the_last_word_on_everything_counts() -> None:
    one = {"allow": True, "type": "c", "major": 10, "minor": 200, "access": "rw"}
    assert devices.effective([one, {"allow": True, "type": "a"}]) == (True, ())
    default, rules = devices.effective([{"allow": True}, DENY_ALL, one])
    assert (default, rules[0]) == (False, Rule(True, "c", 10, 200, READ | WRITE))


def test_v1_lists() -> None:
    rules = [
        DENY_ALL,
        {"allow": True, "type": "c", "major": 10, "minor": 200, "access": "r"},
        {"allow": True, "type": "c", "major": 10, "minor": 200, "access": "w"},
        {"allow": True, "type": "b", "major": 8, "access": "rwm"},
        {"allow": False, "type": "c", "major": 10, "minor": 200, "access": "r"},
    ]
    commands = devices.v1_commands(*devices.effective(rules))
    assert commands[0] == ("devices.deny", "a")
    assert {("devices.allow", rule) for rule in ("c 10:200 w", "b 8:* rwm", "c 1:3 rwm")} <= set(commands)
    assert len(commands) == 2 + 1 + len(devices.DEFAULT_RULES)
    open_but = [{"allow": True}, {"allow": False, "type": "c", "major": 1, "minor": 3}]
    assert devices.v1_commands(*devices.effective(open_but)) == [("devices.deny", "c 1:3 rwm")]
    assert devices.v1_commands(True, ()) == []


def test_v1_cannot_cut_holes() -> None:
    wide = {"allow": True, "type": "c", "major": 10, "access": "rwm"}
    hole = {"allow": False, "type": "c", "major": 10, "minor": 200, "access": "w"}
    with pytest.raises(NotSupported, match="c 10:200"):
        devices.v1_commands(*devices.effective([DENY_ALL, wide, hole]))


@pytest.mark.parametrize(
    "rule",
    [
        {"allow": True, "type": "x"},
        {"allow": True, "type": "c", "access": "rx"},
        {"allow": True, "type": "c", "major": -5},
        {"allow": True, "type": "c", "minor": 1 << 40},
    ],
)
def test_bad_rules(rule: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgument):
        devices.effective([rule])
