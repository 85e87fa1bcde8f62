"""The functions of templates: Go's own (text/template, "Functions") and those that Docker's client adds."""

from __future__ import annotations

from wherry.cli.template.printf import sprintf
from wherry.cli.template.values import MISSING, Missing, Nil, Row, Struct, show, sprint, sprintln, to_json, type_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


class FunctionError(Exception):
    """``argument`` is the number of the one that has the wrong type, -1 when the function itself failed."""

    def __init__(self, message: str, argument: int = -1, wanted: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.argument = argument
        self.wanted = wanted

    def constant(self, source: str) -> str:
        return f"expected {self.wanted}; found {source}" if self.wanted else self.message


def _text(value: Any, argument: int) -> str:
    if isinstance(value, str):
        return value
    got = f"wrong type for value; expected string; got {type_name(value)}"
    raise FunctionError("invalid value; expected string" if value is None else got, argument, "string")


def _whole(value: Any, argument: int) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    raise FunctionError(f"wrong type for value; expected int; got {type_name(value)}", argument, "integer")


def truth(value: Any) -> bool:
    """Whether a value counts as true: not zero, empty, nil or false."""
    if isinstance(value, Struct | Row):
        return True
    return not isinstance(value, Missing) and bool(value)


def _length(value: Any) -> int:
    if isinstance(value, str):
        return len(value.encode("utf-8", "surrogateescape"))
    if isinstance(value, Nil) and value.kind in ("slice", "map"):
        return 0
    if isinstance(value, Row | Struct) or not isinstance(value, list | tuple | dict):
        if value is None or isinstance(value, Missing | Nil):
            raise FunctionError("len of nil pointer")
        raise FunctionError(f"len of type {type_name(value)}")
    return len(value)


def _index(value: Any, *keys: Any) -> Any:
    for key in keys:
        if isinstance(value, Nil) and value.kind == "map":
            value = MISSING
        elif isinstance(value, dict):
            if not isinstance(key, str):
                raise FunctionError(f"value has type {type_name(key)}; should be string")
            value = value.get(key, _zero(value))
        elif isinstance(value, list | tuple | str):
            if isinstance(key, bool) or not isinstance(key, int):
                raise FunctionError(
                    f"cannot index slice/array with {'nil' if key is None else 'type ' + type_name(key)}"
                )
            items = value.encode("utf-8", "surrogateescape") if isinstance(value, str) else value
            if not 0 <= key < len(items):
                raise FunctionError(f"index out of range: {key}")
            value = items[key]
        elif value is None or isinstance(value, Missing | Nil):
            raise FunctionError("index of untyped nil" if value is None else "index of nil pointer")
        else:
            raise FunctionError(f"can't index item of type {type_name(value)}")
    return value


def _zero(table: dict[str, Any]) -> Any:
    """What a Go map gives for a key it does not have: the zero value of its elements' type, as far as JSON tells."""
    for item in table.values():
        return "" if isinstance(item, str) else MISSING
    return ""


def _slice(value: Any, *bounds: Any) -> Any:
    if len(bounds) > 3:
        raise FunctionError(f"too many slice indexes: {len(bounds)}")
    if isinstance(value, Row) or not isinstance(value, str | list | tuple):
        if value is None:
            raise FunctionError("slice of untyped nil")
        raise FunctionError(f"can't slice item of type {type_name(value)}")
    if isinstance(value, str) and len(bounds) == 3:
        raise FunctionError("cannot 3-index slice a string")
    items = value.encode("utf-8", "surrogateescape") if isinstance(value, str) else value
    limits = [_whole(bound, position + 1) for position, bound in enumerate(bounds)]
    for limit in limits:
        if not 0 <= limit <= len(items):
            raise FunctionError(f"index out of range: {limit}")
    if limits != sorted(limits):
        raise FunctionError(f"invalid slice index: {limits[0]} > {limits[1]}")
    part = items[slice(*limits[:2])] if len(limits) > 1 else items[limits[0] :] if limits else items
    return part.decode("utf-8", "replace") if isinstance(part, bytes) else list(part)


def _kind(value: Any) -> str:
    for kind, types in (("bool", bool), ("int", int), ("float", float), ("string", str)):
        if isinstance(value, types):
            return kind
    if value is None or isinstance(value, Missing | Nil):
        return "nil"
    raise FunctionError(f"non-comparable type {show(value)}: {type_name(value)}")


def _eq(first: Any, *others: Any) -> bool:
    if not others:
        raise FunctionError("missing argument for comparison")
    kind = _kind(first)
    for other in others:
        other_kind = _kind(other)
        if kind != other_kind:
            if "nil" in (kind, other_kind):
                continue
            raise FunctionError("incompatible types for comparison")
        if kind == "nil" or first == other:
            return True
    return False


def _lt(first: Any, second: Any) -> bool:
    kind, other = _kind(first), _kind(second)
    if kind != other:
        raise FunctionError("incompatible types for comparison")
    if kind in ("bool", "nil"):
        raise FunctionError("invalid type for comparison")
    return bool(first < second)


def _html(*values: Any) -> str:
    text = values[0] if len(values) == 1 and isinstance(values[0], str) else sprint(list(values))
    for plain, escaped in (
        ("&", "&amp;"),
        ("'", "&#39;"),
        ("<", "&lt;"),
        (">", "&gt;"),
        ('"', "&#34;"),
        ("\0", "\ufffd"),
    ):
        text = text.replace(plain, escaped)
    return text


_JS = {"\\": "\\\\", "'": "\\'", '"': '\\"', "<": "\\u003C", ">": "\\u003E", "&": "\\u0026", "=": "\\u003D"}


def _js(*values: Any) -> str:
    text = values[0] if len(values) == 1 and isinstance(values[0], str) else sprint(list(values))
    return "".join([_JS.get(c) or (c if c.isprintable() else f"\\u{ord(c):04X}") for c in text])


def _urlquery(*values: Any) -> str:
    from urllib.parse import quote_plus

    text = values[0] if len(values) == 1 and isinstance(values[0], str) else sprint(list(values))
    return quote_plus(text, safe="")


def _call(function: Any, *_values: Any) -> Any:
    raise FunctionError(f"non-function {show(function)} of type {type_name(function)}")


def _join(values: Any, separator: Any) -> str:
    if isinstance(values, Nil):
        values = []
    if isinstance(values, Row) or not isinstance(values, list | tuple):
        raise FunctionError(f"wrong type for value; expected []string; got {type_name(values)}", 0)
    return _text(separator, 1).join([item if isinstance(item, str) else show(item) for item in values])


def _split(value: Any, separator: Any) -> list[str]:
    text, mark = _text(value, 0), _text(separator, 1)
    return text.split(mark) if mark else list(text)


def _title(value: Any) -> str:
    out, inside = [], False
    for character in _text(value, 0):
        out.append(character if inside else character.title())
        inside = character.isalnum() or character in "_'" or (ord(character) > 127 and not character.isspace())
    return "".join(out)


def _pad(value: Any, before: Any, after: Any) -> str:
    text = _text(value, 0)
    return " " * _whole(before, 1) + text + " " * _whole(after, 2) if text else text


def _truncate(value: Any, length: Any) -> str:
    text = _text(value, 0).encode("utf-8", "surrogateescape")
    return text[: max(0, _whole(length, 1))].decode("utf-8", "replace")


def _never(*_values: Any) -> Any:
    raise AssertionError("and, or are evaluated by the template itself")


BUILTIN: dict[str, Callable[..., Any]] = {
    "and": _never,  # these two stop at the first operand that decides, so they are not called as functions
    "or": _never,
    "call": _call,
    "eq": _eq,
    "ge": lambda first, second: not _lt(first, second),
    "gt": lambda first, second: not _lt(first, second) and not _eq(first, second),
    "html": _html,
    "index": _index,
    "js": _js,
    "le": lambda first, second: _lt(first, second) or _eq(first, second),
    "len": _length,
    "lt": _lt,
    "ne": lambda first, second: not _eq(first, second),
    "not": lambda value: not truth(value),
    "print": lambda *values: sprint(list(values)),
    "printf": lambda form, *values: sprintf(_text(form, 0), list(values)),
    "println": lambda *values: sprintln(list(values)),
    "slice": _slice,
    "urlquery": _urlquery,
}
DOCKER: dict[str, Callable[..., Any]] = {
    "join": _join,
    "json": to_json,
    "lower": lambda value: _text(value, 0).lower(),
    "pad": _pad,
    "split": _split,
    "title": _title,
    "truncate": _truncate,
    "upper": lambda value: _text(value, 0).upper(),
}
