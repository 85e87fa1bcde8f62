"""Relations between packages: ``Depends`` and its relatives (Debian Policy, 7.1)."""

from __future__ import annotations

import re

from wherry.errors import Corrupt
from wherry.record import Record

_ONE = re.compile(
    r"\s*([a-z0-9][a-z0-9+.-]*)(?::([a-z0-9-]+))?\s*(?:\(\s*(<<|<=|=|>=|>>|<|>)\s*([^\s)]+)\s*\))?\s*(?:\[[^\]]*\]\s*)?"
)


class Relation(Record):
    """``operator`` and ``version`` are empty where any will do."""

    name: str
    operator: str = ""
    version: str = ""

    def __str__(self) -> str:
        return f"{self.name} ({self.operator} {self.version})" if self.operator else self.name


def parse(text: str) -> tuple[tuple[Relation, ...], ...]:
    """All of a field: each element is met by any of its relations.  Raises `Corrupt`."""
    groups = []
    for group in text.split(","):
        if group.strip():
            groups.append(tuple([_relation(one) for one in group.split("|")]))
    return tuple(groups)


def flat(text: str) -> tuple[Relation, ...]:
    """A field without alternatives, as ``Provides`` and ``Conflicts``."""
    return tuple([relation for group in parse(text) for relation in group])


def _relation(text: str) -> Relation:
    match = _ONE.fullmatch(text)
    if match is None:
        raise Corrupt(f"malformed relation of packages: {text.strip()[:80]!r}")
    name, _architecture, operator, version = match.groups()
    return Relation(name, operator or "", version or "")
