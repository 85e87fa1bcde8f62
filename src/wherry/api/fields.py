"""What a client sent, read with the types it must have: JSON documents, and the parameters of a query.

Names are matched as Go's encoding/json does, whatever their case.  Everything raises `InvalidArgument`, naming the
field: a request never reaches the engine with a value of the wrong type.
"""

from __future__ import annotations

import json

from wherry.errors import InvalidArgument

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

_INT64 = 1 << 63
_TRUE = ("1", "t", "T", "TRUE", "true", "True")
_FALSE = ("", "0", "f", "F", "FALSE", "false", "False", "no", "none")


class Fields:
    """One JSON object.  A field that is missing, or null, has the default of its kind."""

    def __init__(self, document: object, path: str = "") -> None:
        if document is None:
            document = {}
        if not isinstance(document, dict):
            raise InvalidArgument(f"invalid JSON: {path or 'the body'} must be an object")
        self._values = {name.lower(): value for name, value in document.items()}
        self._path = path

    def has(self, name: str) -> bool:
        """Whether the field is there and not null."""
        return self._values.get(name.lower()) is not None

    def text(self, name: str) -> str:
        """A string, or ""."""
        value = self._values.get(name.lower())
        return "" if value is None else self._text(value, name)

    def boolean(self, name: str) -> bool:
        """A boolean, or False."""
        value = self._values.get(name.lower())
        if value is None:
            return False
        if not isinstance(value, bool):
            raise self._wrong(name, "true or false")
        return value

    def integer(self, name: str, default: int = 0) -> int:
        """A 64-bit number."""
        value = self._values.get(name.lower())
        return default if value is None else self._integer(value, name)

    def optional_integer(self, name: str) -> int | None:
        """A 64-bit number, or None."""
        value = self._values.get(name.lower())
        return None if value is None else self._integer(value, name)

    def texts(self, name: str) -> tuple[str, ...]:
        """A list of strings; a single string is a list of one, as Docker takes commands."""
        value = self._values.get(name.lower())
        if value is None:
            return ()
        if isinstance(value, str):
            return (value,)
        if not isinstance(value, list):
            raise self._wrong(name, "a list of strings")
        return tuple([self._text(one, name) for one in value])

    def optional_texts(self, name: str) -> tuple[str, ...] | None:
        """A list of strings, or None."""
        return self.texts(name) if self.has(name) else None

    def keys(self, name: str) -> tuple[str, ...]:
        """The names in an object whose values do not matter."""
        return tuple(self._object(name))

    def pairs(self, name: str) -> tuple[tuple[str, str], ...]:
        """An object of strings, in its order."""
        return tuple([(key, "" if one is None else self._text(one, name)) for key, one in self._object(name).items()])

    def part(self, name: str) -> Fields:
        """An object in this one; without any field where it is missing."""
        return Fields(self._values.get(name.lower()), self._named(name))

    def objects(self, name: str) -> list[Fields]:
        """A list of objects."""
        value = self._values.get(name.lower())
        if value is None:
            return []
        if not isinstance(value, list):
            raise self._wrong(name, "a list of objects")
        return [Fields(one, self._named(name)) for one in value]

    def named(self, name: str) -> list[tuple[str, Fields]]:
        """An object of objects."""
        return [(key, Fields(one, f"{self._named(name)}.{key}")) for key, one in self._object(name).items()]

    def lists(self, name: str) -> list[tuple[str, list[Fields]]]:
        """An object of lists of objects, such as PortBindings."""
        found = []
        for key, value in self._object(name).items():
            if value is not None and not isinstance(value, list):
                raise self._wrong(name, "an object of lists")
            found.append((key, [Fields(one, f"{self._named(name)}.{key}") for one in value or ()]))
        return found

    def value(self, name: str) -> Any:
        """Whatever is there."""
        return self._values.get(name.lower())

    def _object(self, name: str) -> dict[str, Any]:
        value = self._values.get(name.lower())
        if value is None:
            return {}
        if not isinstance(value, dict):
            raise self._wrong(name, "an object")
        return value

    def _text(self, value: object, name: str) -> str:
        if not isinstance(value, str):
            raise self._wrong(name, "a string")
        try:
            value.encode()
        except UnicodeEncodeError:
            raise self._wrong(name, "text, not half of a surrogate pair") from None
        return value

    def _integer(self, value: object, name: str) -> int:
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if not isinstance(value, int) or isinstance(value, bool) or not -_INT64 <= value < _INT64:
            raise self._wrong(name, "a 64-bit number")
        return value

    def _wrong(self, name: str, wanted: str) -> InvalidArgument:
        return InvalidArgument(f"invalid JSON: {self._named(name)} must be {wanted}")

    def _named(self, name: str) -> str:
        return f"{self._path}.{name}" if self._path else name


def parse(body: bytes) -> Fields:
    """The JSON object in a request's body; an empty body is an object without fields."""
    return Fields(value_of(body) if body.strip() else None)


def value_of(body: bytes | str) -> Any:
    """The JSON value in some text."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        raise InvalidArgument(f"invalid JSON: {error}") from None


class Query:
    """The parameters in a request's address; of one that is given twice, the first."""

    def __init__(self, values: Mapping[str, str], several: Mapping[str, list[str]]) -> None:
        self._values = values
        self._several = several

    def has(self, name: str) -> bool:
        """Whether it was given at all."""
        return name in self._values

    def text(self, name: str, default: str = "") -> str:
        """A parameter as it stands."""
        return self._values.get(name, default)

    def texts(self, name: str) -> list[str]:
        """Each time the parameter was given."""
        return self._several.get(name, [])

    def flag(self, name: str, default: bool = False) -> bool:
        """Docker's reading: anything but an empty value, 0, no, none and false is true (httputils.BoolValue)."""
        value = self._values.get(name)
        return default if value is None else value.strip() not in _FALSE

    def integer(self, name: str, default: int = 0) -> int:
        """A 64-bit number."""
        value = self._values.get(name, "")
        if not value:
            return default
        try:
            number = int(value)
        except ValueError:
            number = _INT64
        if not -_INT64 <= number < _INT64:
            raise InvalidArgument(f'invalid value for {name}: strconv.ParseInt: parsing "{value}": invalid syntax')
        return number

    def required(self, name: str) -> int:
        """A number that must be there, from 0 to 65535: rows or columns of a terminal."""
        text = self._values.get(name, "")
        if not (text.isascii() and text.isdigit() and int(text) < 1 << 16):
            raise InvalidArgument(f'invalid value for {name}: "{text}" is not a number from 0 to 65535')
        return int(text)

    def filters(self) -> dict[str, list[str]]:
        """``filters``: ``{"name": ["value", …]}``, or the older ``{"name": {"value": true, …}}``."""
        text = self._values.get("filters", "")
        found: dict[str, list[str]] = {}
        for name, values in Fields(value_of(text) if text else None, "filters")._values.items():
            if isinstance(values, dict):
                values = [value for value, wanted in values.items() if wanted]
            if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
                raise InvalidArgument(f"invalid filter {name}: its values must be strings")
            found[name] = values
        return found
