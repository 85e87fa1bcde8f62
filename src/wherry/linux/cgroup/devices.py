"""Which devices a group may use: rules in order, as v1's lists or as an eBPF program for v2.

Rules are ``linux.resources.devices`` of the OCI runtime spec; later ones win.  As every OCI runtime does, the devices
that each container must have (null, zero, full, random, urandom, tty, ptmx, its ptys, and mknod of anything, which
gives a node that cannot be opened) are added at the end.
"""

from __future__ import annotations

from wherry.errors import InvalidArgument, NotSupported
from wherry.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any

READ, WRITE, MKNOD = 2, 4, 1  # BPF_DEVCG_ACC_*
_ALL = READ | WRITE | MKNOD
_BITS = {"r": READ, "w": WRITE, "m": MKNOD}


class Rule(Record):
    """``kind`` is ``"a"``, ``"b"`` or ``"c"``; ``major`` and ``minor`` are -1 for any; ``access`` is a set of bits."""

    allow: bool
    kind: str = "a"
    major: int = -1
    minor: int = -1
    access: int = _ALL


DEFAULT_RULES = (
    Rule(True, "c", -1, -1, MKNOD),
    Rule(True, "b", -1, -1, MKNOD),
    Rule(True, "c", 1, 3),  # null
    Rule(True, "c", 1, 5),  # zero
    Rule(True, "c", 1, 7),  # full
    Rule(True, "c", 1, 8),  # random
    Rule(True, "c", 1, 9),  # urandom
    Rule(True, "c", 5, 0),  # tty
    Rule(True, "c", 5, 2),  # ptmx
    Rule(True, "c", 136, -1),  # ptys
)


def parse(wanted: Iterable[Mapping[str, Any]]) -> tuple[Rule, ...]:
    """OCI's rules as values.  Raises `InvalidArgument`."""
    rules = []
    for item in wanted:
        kind = item.get("type") or "a"
        access = 0
        for letter in item.get("access") or "rwm":
            if letter not in _BITS:
                raise InvalidArgument(f"invalid device access: {item.get('access')}")
            access |= _BITS[letter]
        if kind not in ("a", "b", "c"):
            raise InvalidArgument(f"invalid device type: {kind}")
        major, minor = item.get("major"), item.get("minor")
        major, minor = -1 if major is None else major, -1 if minor is None else minor
        if not (-1 <= major < 1 << 31 and -1 <= minor < 1 << 31):
            raise InvalidArgument(f"invalid device number: {major}:{minor}")
        rules.append(Rule(bool(item.get("allow")), kind, major, minor, access))
    return tuple(rules)


def effective(wanted: Iterable[Mapping[str, Any]] | None) -> tuple[bool, tuple[Rule, ...]]:
    """What holds when no rule matches, and the rules after the last one that speaks of all devices.

    Nothing given means that all is denied but `DEFAULT_RULES`.
    """
    default, kept = False, list[Rule]()
    for rule in parse(wanted or ()):
        if rule.kind == "a":
            default = rule.allow
            kept.clear()
        else:
            kept.append(rule)
    if not default:
        kept += DEFAULT_RULES
    return default, tuple(kept)


def access_text(access: int) -> str:
    return "".join(letter for letter, bit in _BITS.items() if access & bit)


def v1_commands(default: bool, rules: tuple[Rule, ...]) -> list[tuple[str, str]]:
    """Writes to ``devices.allow`` and ``devices.deny`` of a group whose parent allows everything.

    v1 holds a default and a set of exceptions to it.  A rule that takes part of a wider exception away has no v1
    form: `NotSupported`.
    """
    exceptions: dict[tuple[str, int, int], int] = {}
    for rule in rules:
        key = (rule.kind, rule.major, rule.minor)
        if rule.allow != default:
            exceptions[key] = exceptions.get(key, 0) | rule.access
            continue
        left = exceptions.pop(key, 0) & ~rule.access
        if left:
            exceptions[key] = left
        for (kind, major, minor), access in exceptions.items():
            covers = kind == rule.kind and major in (-1, rule.major) and minor in (-1, rule.minor)
            if covers and access & rule.access and (kind, major, minor) != key:
                raise NotSupported(
                    f"device rule {rule.kind} {_number(rule.major)}:{_number(rule.minor)} "
                    "takes away part of an earlier rule, which cgroup v1 cannot express"
                )
    file = "devices.deny" if default else "devices.allow"
    commands = [] if default else [("devices.deny", "a")]
    for (kind, major, minor), access in exceptions.items():
        commands.append((file, f"{kind} {_number(major)}:{_number(minor)} {access_text(access)}"))
    return commands


def _number(value: int) -> str:
    return "*" if value < 0 else str(value)


def v1_listed(text: str) -> set[str]:
    """The single permissions in a ``devices.list``, for comparing two states."""
    found: set[str] = set()
    for line in text.splitlines():
        name, _, access = line.rpartition(" ")
        found.update(f"{name} {letter}" for letter in access)
    return found
