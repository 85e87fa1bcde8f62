"""JSON at the speed of its C core.

``import json`` costs 8 ms because its Python half imports ``re`` and ``enum``; the C half that does the work
costs nothing.  `loads` and `dumps` call that half directly and fall back to the whole module where an interpreter
does not have it (docs/decisions/0004-c-modules.md).  Documents are RFC 8259 without the ``NaN`` extension.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Never

make_scanner: Any
try:
    from _json import encode_basestring_ascii, make_encoder, make_scanner
except ImportError:  # not CPython
    make_scanner = None

_BLANK = " \t\n\r"


class JSONError(ValueError):
    """The text is not one JSON document."""


def _refuse_constant(name: str) -> Never:
    raise JSONError(f"{name} is not JSON")


def _refuse_object(value: object) -> Never:
    raise TypeError(f"{type(value).__name__} cannot be written as JSON")


class _Context:
    """What the C scanner asks of a ``json.JSONDecoder``."""

    strict = True
    object_hook = None
    object_pairs_hook = None
    parse_float = float
    parse_int = int
    parse_constant = staticmethod(_refuse_constant)
    memo: dict[str, str] = {}


def loads(text: str | bytes) -> Any:
    """The value of one JSON document (bytes are UTF-8).  Raises `JSONError`."""
    try:
        if not isinstance(text, str):
            text = str(text, "utf-8")
        if make_scanner is None:
            return _loads_whole(text)
        start, end = 0, len(text)
        while start < end and text[start] in _BLANK:
            start += 1
        value, stop = make_scanner(_Context)(text, start)
        while stop < end and text[stop] in _BLANK:
            stop += 1
        if stop != end:
            raise JSONError(f"more than one JSON value (character {stop})")
        return value
    except (StopIteration, SystemError):  # the C scanner cannot word its errors without the Python half
        return _loads_whole(str(text))
    except (ValueError, RecursionError) as error:
        raise JSONError(str(error) or "not JSON") from None


def _loads_whole(text: str) -> Any:
    import json

    try:
        return json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise JSONError(str(error)) from None


def dumps(value: Any, *, sort_keys: bool = False) -> str:
    """One line of JSON without blanks between tokens.  Raises TypeError for what JSON does not have."""
    if make_scanner is None:
        import json

        return json.dumps(value, separators=(",", ":"), sort_keys=sort_keys, allow_nan=False)
    encode = make_encoder({}, _refuse_object, encode_basestring_ascii, None, ":", ",", sort_keys, False, False)
    return "".join(encode(value, 0))
