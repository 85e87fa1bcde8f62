"""Docker's description of its API (tests/golden/api), as a judge of answers.

`Described.call` asks `wherry serve` and holds its answer against the description: the status must be a documented one,
the media type one of those, and the body must be what the schema of that status says.  ``seen`` are the operations that
were called.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import jsonschema

from support.serving import Served

DESCRIPTION = Path(__file__).parent.parent / "golden/api/engine-api.json"
# what any operation may answer, though the description mostly leaves it out: moby's errdefs
REFUSALS = (400, 403, 404, 405, 409, 500, 501, 503)
_RANGES = {"int64": 64, "int32": 32, "int16": 16, "int8": 8}
_UNSIGNED = {"uint64": 64, "uint32": 32, "uint16": 16, "uint8": 8}
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")

# pointers in Docker's own types, null in its answers too, though the description does not say so
_POINTERS = {"MemorySwappiness": "Memory", "OomKillDisable": "Memory", "ExitCode": "CanRemove"}  # field: one beside it


class Described:
    """The description, and what of it has been used on ``served``."""

    def __init__(self, served: Served) -> None:
        self.served = served
        self.document = json.loads(DESCRIPTION.read_text())
        self.seen: set[tuple[str, str]] = set()
        self._definitions = {name: _schema(one) for name, one in self.document["definitions"].items()}

    @property
    def operations(self) -> set[tuple[str, str]]:
        """Every method and path."""
        return {(method.upper(), path) for path, found in self.document["paths"].items() for method in found}

    def call(
        self, operation: str, query: dict[str, Any] | None = None, body: Any = None, *, status: int,
        headers: dict[str, str] | None = None, **parts: str,
    ) -> Any:  # fmt: skip
        """``call("GET /containers/{id}/json", id="web", status=200)``: the body, as what it is."""
        method, path = operation.split()
        assert (method, path) in self.operations, f"{operation} is not in the description"
        url = "/v1.50" + re.sub(r"\{(\w+)\}", lambda found: quote(parts[found[1]], safe="/:@"), path)
        url += "?" + urlencode(query, doseq=True) if query else ""
        sent, kind = (body, "application/x-tar") if isinstance(body, bytes) else (json.dumps(body).encode(), "")
        given = {"Content-Type": kind or "application/json"} | (headers or {})
        found, answered, data = self.served.answer(method, url, sent if body is not None else b"", given)
        assert found == status, f"{operation}: {found} {data[:500]!r}"
        value = self.check(method, path, found, answered, data)
        self.seen.add((method, path))
        return value

    def check(self, method: str, path: str, status: int, media_type: str, data: bytes) -> Any:
        """Hold one answer against the description; its body."""
        described = self.document["paths"][path][method.lower()]
        responses = described["responses"]
        where = f"{method} {path}: {status}"
        if method == "HEAD" or status in (204, 304):
            assert not data, where
            assert str(status) in responses or status >= 400, where
            return None
        if status >= 400:
            assert str(status) in responses or status in REFUSALS, where
            return self._valid(_json(data, where), {"$ref": "#/definitions/ErrorResponse"}, where)
        assert str(status) in responses, f"{where} is not documented"
        schema = responses[str(status)].get("schema")
        if media_type not in ("application/json", ""):
            produces = described.get("produces")
            assert not produces or media_type in produces, f"{where}: {media_type}"
            return data
        if schema is None or not data:
            assert schema is None, f"{where}: no body"
            return data
        if schema.get("type") == "string":
            return data.decode()
        if b"\n" in data.rstrip():  # a stream of documents
            return [self._valid(_json(line, where), schema, where) for line in data.splitlines() if line]
        return self._valid(_json(data, where), schema, where)

    def _valid(self, value: Any, schema: dict[str, Any], where: str) -> Any:
        whole = {**_schema(schema), "definitions": self._definitions}
        errors = sorted(_VALIDATOR(whole, format_checker=_FORMATS).iter_errors(value), key=str)
        told = [f"{where}: {'.'.join(map(str, one.absolute_path))}: {one.message}" for one in errors]
        assert not told, "\n".join(told)
        return value


def _json(data: bytes, where: str) -> Any:
    try:
        return json.loads(data)
    except ValueError:
        raise AssertionError(f"{where}: not JSON: {data[:300]!r}") from None


def _schema(one: Any) -> Any:
    """A schema of Swagger 2.0 as one of JSON Schema.

    Go's encoding/json has null for lists, maps and objects that are not there, whatever the description says of it; a
    number, a string or a truth value is null only where it is said to be.
    """
    if isinstance(one, list):
        return [_schema(part) for part in one]
    if not isinstance(one, dict):
        return one
    nullable = one.get("x-nullable")
    found = {key: _schema(value) for key, value in one.items() if not key.startswith("x-")}
    for names in ("properties", "definitions"):
        if names in one:
            found[names] = {key: _schema(_pointer(key, value, one[names])) for key, value in one[names].items()}
    kind = found.get("type")
    if nullable is not False and isinstance(kind, str) and (nullable or kind in ("array", "object")):
        found["type"] = [kind, "null"]
        if "enum" in found:
            found["enum"] = [*found["enum"], None]
    return found


def _pointer(name: str, one: Any, beside: dict[str, Any]) -> Any:
    return {**one, "x-nullable": True} if _POINTERS.get(name) in beside else one


_FORMATS = jsonschema.FormatChecker(formats=())


def _within(low: int, high: int) -> Any:
    return lambda value: not isinstance(value, int) or low <= value < high


for _name, _bits in _RANGES.items():
    _FORMATS.checks(_name)(_within(-(1 << _bits - 1), 1 << _bits - 1))
for _name, _bits in _UNSIGNED.items():
    _FORMATS.checks(_name)(_within(0, 1 << _bits))
for _name in ("dateTime", "date-time"):
    _FORMATS.checks(_name)(lambda value: not isinstance(value, str) or not value or bool(_TIME.fullmatch(value)))
_VALIDATOR = jsonschema.Draft4Validator
