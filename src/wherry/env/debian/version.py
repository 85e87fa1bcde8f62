"""Versions as Debian orders them (deb-version(7), "Sorting algorithm")."""

from __future__ import annotations

import re
from functools import lru_cache

from wherry.errors import Corrupt

TYPE_CHECKING = False
if TYPE_CHECKING:
    Key = tuple[int, tuple[object, ...], tuple[object, ...]]

_PART = re.compile(r"(\D*)(\d*)")
_VERSION = re.compile(r"(?:(\d{1,9}):)?([A-Za-z0-9.+~-]+?)(?:-([A-Za-z0-9.+~]*))?")
_MAX = 512
_OPERATORS = {"<<": (-1,), "<=": (-1, 0), "=": (0,), ">=": (0, 1), ">>": (1,), "<": (-1, 0), ">": (0, 1)}


@lru_cache(maxsize=4096)
def key(version: str) -> Key:
    """What sorts as the version does.  Raises `Corrupt` for what is none."""
    match = _VERSION.fullmatch(version) if len(version) <= _MAX else None
    if match is None:
        raise Corrupt(f"malformed Debian version {version[:80]!r}")
    epoch, upstream, revision = match.groups()
    return int(epoch or 0), _order(upstream), _order(revision or "0")


def _order(text: str) -> tuple[object, ...]:
    """Pairs of what is no digit and a number, by turns.

    A tilde sorts before the end, the end before letters, letters before all others.
    """
    parts: list[object] = []
    for letters, digits in _PART.findall(text):
        parts.append((*[_weight(letter) for letter in letters], 0))
        parts.append(int(digits or 0))
    return tuple(parts)


def _weight(letter: str) -> int:
    if letter == "~":
        return -1
    return ord(letter) if letter.isalpha() else ord(letter) + 256


def satisfies(version: str, operator: str, wanted: str) -> bool:
    """Whether a version is what a relation asks for; an empty operator asks for nothing (deb-control(5))."""
    if not operator:
        return True
    have, want = key(version), key(wanted)
    return (have > want) - (have < want) in _OPERATORS[operator]
