"""Requests that a client should not make, out of Docker's description of its API: mostly right, wrong somewhere.

A request is what the description says, with values that are odd or of another type put in: huge numbers, NUL bytes,
names with slashes, half of a surrogate pair, lists where objects belong, bodies that are cut short.
"""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

NOWHERE = "127.0.0.1:1"  # nobody listens: no request leaves this machine
ODD_TEXTS = (
    "", " ", "\0", "a\0b", "/", "..", "../../etc/passwd", "a/b", "-", "-x", "x" * 300, "x" * 5000, "é", "名", "\ud800",
    "%00", "%2f..", "$(id)", "{}", "[]", "null", "NaN", "0", "-1", "1e99", "9" * 40, "9" * 5000, "sha256:",
    "sha256:" + "0" * 64, ":", "a:b:c", "@", "container:", "container:x", "host", "bridge", "none", "true", "\n", "a=b",
    "=", "/v:/v:ro:z", "0.0.0.0/0", "::/0", "80/tcp", "1-99999/udp", "\x1b[31m", "😀",
)  # fmt: skip
ODD_NUMBERS = (0, -1, 1, 2**31, 2**32, 2**63 - 1, 2**63, -(2**63) - 1, 10**40, 0.5, -0.0, 1e308)
ODD_VALUES = (None, True, False, [], {}, [[]], {"": {}}, [None], "", "text", [1], {"a": 1}, *ODD_NUMBERS)
# where a value decides whom the engine talks to, or what of the host is used
_ENDS = ("follow", "stream", "until")  # these decide whether an answer has an end: it must have one
_HOSTS = ("fromImage", "serveraddress", "remote")


@dataclass(frozen=True)
class Request:
    """What is sent."""

    method: str
    path: str
    body: bytes
    headers: dict[str, str]

    def __str__(self) -> str:
        return f"{self.method} {self.path[:300]} {self.headers} {self.body[:600]!r}"


class Fuzzer:
    """``request()`` gives the next one; the same ``seed`` gives the same ones.  ``names`` are things that exist, by the
    resource in the path."""

    def __init__(self, document: dict[str, Any], names: dict[str, list[str]], seed: int) -> None:
        self._random = random.Random(seed)
        self._names = names
        self._definitions = document["definitions"]
        self._operations = [
            (method.upper(), path, described)
            for path, found in document["paths"].items()
            for method, described in found.items()
        ]

    def request(self) -> Request:
        """One of an operation drawn by chance."""
        method, path, described = self._random.choice(self._operations)
        url, query, body, headers = path, [], b"", {"Content-Type": "application/json"}
        for one in described.get("parameters", ()):
            if one["in"] == "path":
                url = url.replace("{" + one["name"] + "}", _quoted(self._name(path)))
            elif one["in"] == "query" and (one["name"] in _ENDS or self._random.random() < 0.5):
                query.append(f"{one['name']}={_quoted(self._parameter(one))}")
            elif one["in"] == "header" and one["name"].startswith("X-"):
                headers[one["name"]] = self._random.choice(("", "e30=", "e30", "x", "bnVsbA==", "W10=", "////"))
            elif one["in"] == "body":
                body = self._body(one["schema"])
        if self._random.random() < 0.1:
            query.append(f"{_quoted(self._text())}={_quoted(self._text())}")
        version = self._random.choice(("", "/v1.24", "/v1.41", "/v1.50"))
        return Request(method, f"{version}{url}?{'&'.join(query)}", body, headers)

    def _name(self, path: str) -> str:
        if "push" in path or "distribution" in path:
            return f"{NOWHERE}/{self._text()}"
        known = self._names.get(path.split("/")[1], [])
        return self._random.choice(known) if known and self._random.random() < 0.7 else self._text() or "x"

    def _parameter(self, one: dict[str, Any]) -> str:
        if one["name"] in _HOSTS or one["name"] == "term":
            return f"{NOWHERE}/{self._text()}"
        if one["name"] == "fromSrc":
            return self._random.choice(("-", f"http://{NOWHERE}/x", "", "file:///etc/passwd", "\0"))
        if one["name"] == "filters":
            return self._filters()
        if one["name"] in ("follow", "stream"):
            return self._random.choice(("0", "false", ""))
        if one["name"] == "t":
            return self._random.choice(("0", "", "x", "1e99", "9" * 5000))  # it may be long: the container's own time
        if one["name"] in ("until", "since"):
            return self._random.choice(("1", "x", "-5", "1e9", "2020-01-01", "10m", "1.5", "\0"))
        return self._text() if self._random.random() < 0.7 else str(self._random.choice(ODD_NUMBERS))

    def _filters(self) -> str:
        kind = self._random.choice(
            ("label", "name", "id", "status", "until", "dangling", "reference", "type", self._text())
        )
        value = self._random.choice(([self._text()], {self._text(): True}, [1], "x", None, {"a": "b"}, [[]]))
        return self._random.choice((json.dumps({kind: value}), json.dumps([kind]), "{", "", "null", "1", '{"a":'))

    def _body(self, schema: dict[str, Any]) -> bytes:
        if schema.get("format") == "binary" or schema.get("type") == "string":
            return self._random.choice((b"", b"\0" * 2048, b"no archive" * 200, b"\x1f\x8b", b"PK\3\4", b"x" * 100_000))
        whole = json.dumps(self._value(schema, 0)).encode()
        chance = self._random.random()
        if chance < 0.05:
            return whole[: self._random.randrange(len(whole))]
        if chance < 0.1:
            return self._random.choice((b"", b"null", b"[]", b"1", b'"x"', b"\xff\xfe", b"[" * 100_000, b"{}{}", b"\0"))
        return whole

    def _value(self, schema: dict[str, Any], depth: int, name: str = "") -> Any:
        if self._random.random() < 0.02:
            return self._random.choice(ODD_VALUES)
        while "$ref" in schema:
            schema = self._definitions[schema["$ref"].rpartition("/")[2]]
        if "allOf" in schema:
            parts = [self._value(part, depth, name) for part in schema["allOf"]]
            merged: dict[str, Any] = {}
            for part in parts:
                if not isinstance(part, dict):
                    return part
                merged |= part
            return merged
        if name in _HOSTS:
            return NOWHERE
        if name == "Image":
            return self._random.choice(("busybox", "busybox", "busybox", self._text()))
        return self._of_kind(schema, depth)

    def _of_kind(self, schema: dict[str, Any], depth: int) -> Any:
        kind = schema.get("type", "object")
        if "enum" in schema:
            return self._random.choice([*schema["enum"], self._text()])
        if kind == "object":
            found = {
                key: self._value(one, depth + 1, key)
                for key, one in schema.get("properties", {}).items()
                if self._random.random() < (0.25 if depth else 0.6)
            }
            more = schema.get("additionalProperties")
            if isinstance(more, dict) and self._random.random() < 0.6:
                found |= {self._text(): self._value(more, depth + 1) for _ in range(self._random.randrange(3))}
            return found
        if kind == "array":
            return [self._value(schema.get("items", {}), depth + 1) for _ in range(self._random.randrange(3))]
        if kind in ("integer", "number"):
            return self._random.choice(ODD_NUMBERS) if self._random.random() < 0.3 else self._random.randrange(1000)
        if kind == "boolean":
            return self._random.random() < 0.5
        return self._text()

    def _text(self) -> str:
        return self._random.choice(ODD_TEXTS)


def _quoted(text: str) -> str:
    return quote(text.encode("utf-8", "surrogatepass"), safe="" if text in ("..", "/") else "/:")
