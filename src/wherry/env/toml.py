"""The half of TOML that the standard library lacks: writing, for values that `tomllib` reads back the same.

The text depends on the values alone, so equal values give equal files (TOML 1.0.0, https://toml.io/en/v1.0.0).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

Value = str | int | bool | Sequence["Value"] | Mapping[str, "Value"]

_BARE = re.compile(r"[A-Za-z0-9_-]+")
_ESCAPES = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\t": "\\t", "\r": "\\r"}


def key(name: str) -> str:
    """A key, quoted where it must be."""
    return name if _BARE.fullmatch(name) else _string(name)


def value(item: Value) -> str:
    """A value on one line."""
    if isinstance(item, bool):
        return "true" if item else "false"
    if isinstance(item, int):
        return str(item)
    if isinstance(item, str):
        return _string(item)
    if isinstance(item, Mapping):
        pairs = ", ".join(f"{key(name)} = {value(each)}" for name, each in item.items())
        return f"{{ {pairs} }}" if pairs else "{}"
    return f"[{', '.join(value(each) for each in item)}]"


def entry(name: str, item: Value) -> str:
    """``name = value`` and a line break; a list of tables has a line for each of them."""
    if isinstance(item, Sequence) and len(item) > 1 and isinstance(item[0], Mapping):
        lines = "".join(f"    {value(each)},\n" for each in item)
        return f"{key(name)} = [\n{lines}]\n"
    return f"{key(name)} = {value(item)}\n"


def _string(text: str) -> str:
    return '"' + "".join(_ESCAPES.get(each) or _escaped(each) for each in text) + '"'


def _escaped(character: str) -> str:
    number = ord(character)
    return f"\\u{number:04x}" if number < 32 or number == 127 else character
