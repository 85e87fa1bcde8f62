"""Values as Go's fmt package prints them."""

from __future__ import annotations

from wherry.cli.quote import quote

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


class Struct(dict[str, "Any"]):
    """A JSON object that is a structure in Docker's API: a field it does not have is an error."""


class Named(Struct):
    """A structure whose fields have other names in its JSON, which is ``document``."""

    def __init__(self, fields: dict[str, Any], document: dict[str, Any]) -> None:
        super().__init__(fields)
        self.document = Struct(document)


class Nil:
    """A JSON null that Docker's API declares as a "slice", "map" or "pointer": it prints as one that is empty."""

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def __bool__(self) -> bool:
        return False

    def __len__(self) -> int:
        return 0


class Row:
    """One line of a list: fields that are worked out when a template asks, some of them with an argument."""

    def __init__(self, kind: str, fields: dict[str, Callable[..., Any]]) -> None:
        self.kind = kind  # the Go type in messages: "*formatter.ContainerContext"
        self.fields = fields


class Missing:
    """What a map gives for a key that it does not have: neither nil nor empty (Go's invalid reflect.Value)."""


MISSING = Missing()


def type_name(value: object) -> str:
    """The Go type that Docker's client would have here."""
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int):
        return "int"
    if isinstance(value, float):
        return "float64"
    if isinstance(value, str):
        return "string"
    if isinstance(value, list | tuple):
        return "[]string" if value and all(isinstance(item, str) for item in value) else "[]interface {}"
    if isinstance(value, Row):
        return value.kind
    if isinstance(value, dict):
        return "map[string]interface {}"
    return "<nil>"


def show(value: Any, *, top: bool = True) -> str:
    """``%v``."""
    if isinstance(value, str):
        return value
    if value is None or value is MISSING:
        return "<no value>" if top else "<nil>"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return show_float(value)
    if isinstance(value, Nil):
        return {"slice": "[]", "map": "map[]"}.get(value.kind, "<nil>")
    if isinstance(value, Struct):
        return "{" + " ".join([show(item, top=False) for item in value.values()]) + "}"
    if isinstance(value, dict):
        pairs = sorted(value.items())
        return "map[" + " ".join([f"{key}:{show(item, top=False)}" for key, item in pairs]) + "]"
    if isinstance(value, list | tuple):
        return "[" + " ".join([show(item, top=False) for item in value]) + "]"
    if isinstance(value, Row):
        return "{" + value.kind + "}"
    return str(value)


def show_float(value: float) -> str:
    """``%v``: the shortest digits that give the value back, with an exponent below 1e-4 and from 1e6."""
    if value != value or value in (float("inf"), float("-inf")):
        return {"nan": "NaN", "inf": "+Inf", "-inf": "-Inf"}[str(value)]
    if value == 0:
        return "-0" if str(value).startswith("-") else "0"
    exponent = int(f"{value:.16e}".partition("e")[2])
    if -4 <= exponent < 6:
        return repr(value).removesuffix(".0")
    digits = repr(abs(value)).partition("e")[0].removesuffix(".0").replace(".", "").strip("0") or "0"
    fraction = f".{digits[1:]}" if len(digits) > 1 else ""
    return f"{'-' if value < 0 else ''}{digits[0]}{fraction}e{exponent:+03d}"


def to_json(value: Any) -> str:
    """As Go's encoder writes it: maps sorted by key, structures in their own order; a row escaped for HTML."""
    import json

    text = json.dumps(_ordered(value), ensure_ascii=False, separators=(",", ":"))
    if _has_row(value):
        text = text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
    return text.replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def _has_row(value: Any) -> bool:
    if isinstance(value, Struct):
        return any(map(_has_row, value.values()))
    return isinstance(value, Row) or (isinstance(value, list) and any(map(_has_row, value)))


def _ordered(value: Any) -> Any:
    if isinstance(value, Nil | Missing):
        return None
    if isinstance(value, Row):
        return {name: _ordered(field()) for name, field in sorted(value.fields.items()) if name != "Label"}
    if isinstance(value, Named):
        value = value.document
    if isinstance(value, dict):
        pairs = value.items() if isinstance(value, Struct) else sorted(value.items())
        return {key: _ordered(part) for key, part in pairs}
    if isinstance(value, list | tuple):
        return [_ordered(part) for part in value]
    return int(value) if isinstance(value, float) and value.is_integer() and abs(value) < 1e21 else value


def sprint(values: list[Any]) -> str:
    """fmt.Sprint: a blank between two operands when neither is a string."""
    out = ""
    for position, value in enumerate(values):
        if position and not isinstance(value, str) and not isinstance(values[position - 1], str):
            out += " "
        out += show(value, top=False)
    return out


def sprintln(values: list[Any]) -> str:
    """fmt.Sprintln."""
    return " ".join([show(value, top=False) for value in values]) + "\n"


def go_syntax(value: Any) -> str:
    """``%#v``, for simple values."""
    return quote(value) if isinstance(value, str) else show(value, top=False)
