"""Tables of files that people write: typed values, and errors that name the file, the key and what was expected."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import Any, NoReturn

from wherry.errors import InvalidArgument


class Table:
    """``content`` at ``place`` ("tool.wherry.env") of ``file``, which is as messages call it."""

    def __init__(self, content: Mapping[str, Any], file: str, place: str = "") -> None:
        self.content = content
        self.file = file
        self.place = place

    def wrong(self, key: str, expected: str) -> NoReturn:
        """Raises `InvalidArgument`."""
        where = f"{self.place}.{key}".lstrip(".")
        found = repr(self.content[key])[:80] if key in self.content else "missing"
        raise InvalidArgument(f"{self.file}: {where} is {found}, not {expected}")

    def known(self, keys: Iterable[str]) -> None:
        """Refuses keys that are not among ``keys``."""
        names = sorted(keys)
        for key in self.content:
            if key not in names:
                close = difflib.get_close_matches(key, names, 1)
                hint = f"did you mean {close[0]}?" if close else f"known are {', '.join(names)}"
                raise InvalidArgument(f"{self.file}: {self.place}.{key} is not known".replace(": .", ": "), hint=hint)

    def text(self, key: str, default: str = "") -> str:
        found = self.content.get(key, default)
        if not isinstance(found, str):
            self.wrong(key, "a string")
        return found

    def texts(self, key: str) -> tuple[str, ...]:
        found = self.content.get(key, [])
        if not isinstance(found, list) or not all(isinstance(each, str) for each in found):
            self.wrong(key, "a list of strings")
        return tuple(found)

    def table(self, key: str) -> Table:
        found = self.content.get(key, {})
        if not isinstance(found, dict):
            self.wrong(key, "a table")
        return Table(found, self.file, f"{self.place}.{key}".lstrip("."))
