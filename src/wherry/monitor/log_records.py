"""What is in a log file: entries, read forwards in blocks or counted from the end, in each of the formats."""

from __future__ import annotations

from _struct import Struct

from wherry.fastjson import JSONError, loads
from wherry.monitor.log import rfc3339

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, BinaryIO, Protocol

    class Format(Protocol):
        """How entries follow each other in a file."""

        def parse(self, data: bytes, /) -> tuple[list[Entry], bytes]:
            """The whole entries in ``data``, and the bytes after them; what is no entry is left out."""

        def drop(self, data: bytes, most: int, /) -> tuple[int, bytes]:
            """Leave out up to ``most`` entries; how many they were, and the bytes after them."""

        def from_end(self, file: BinaryIO, size: int, most: int, /) -> tuple[int, int]:
            """Where the last ``most`` entries of the first ``size`` bytes begin, and how many there are."""


_BLOCK = 1 << 16
_LINE_MOST = 1 << 20  # longer than any that we write: what has no end by then is no log


class Entry:
    """One line, or one piece of a long one.  ``time`` is UTC text with nine digits after the point."""

    __slots__ = ("attributes", "stream", "text", "time")

    def __init__(self, text: bytes, stream: str, time: str, attributes: dict[str, str]) -> None:
        self.text = text
        self.stream = "stderr" if stream == "stderr" else "stdout"
        self.time = time
        self.attributes = attributes

    @property
    def details(self) -> str:
        """What ``--details`` shows: ``name=value`` pairs, as in a URL."""
        if not self.attributes:
            return ""
        from urllib.parse import quote_plus

        return ",".join([f"{quote_plus(key)}={quote_plus(self.attributes[key])}" for key in sorted(self.attributes)])


def normal(time: str) -> str:
    """A UTC time with nine digits after the point: such texts are in the order of the times."""
    if len(time) == 30:
        return time
    whole, _point, fraction = time.removesuffix("Z").partition(".")
    return f"{whole}.{fraction[:9]:0<9}Z"


class _JSONLines:
    """``json-file``.  A line that is not JSON was cut by a full disk."""

    def parse(self, data: bytes) -> tuple[list[Entry], bytes]:
        *lines, rest = data.split(b"\n")
        found = [entry for entry in map(parse_json, lines) if entry is not None]
        return found, rest if len(rest) <= _LINE_MOST else b""

    def drop(self, data: bytes, most: int) -> tuple[int, bytes]:
        lines = data.split(b"\n", most)
        return len(lines) - 1, lines[-1]

    def from_end(self, file: BinaryIO, size: int, most: int) -> tuple[int, int]:
        found, at, seen_end = 0, size, False
        while at > 0:
            start = max(at - _BLOCK, 0)
            file.seek(start)
            block = file.read(at - start)
            end = len(block)
            while (end := block.rfind(b"\n", 0, end)) >= 0:
                if seen_end:  # this newline ends the line before
                    found += 1
                    if found == most:
                        return start + end + 1, found
                seen_end = True
            at = start
        return 0, found + seen_end


def parse_json(line: bytes) -> Entry | None:
    """The entry in a line; None for what is none."""
    try:
        document: dict[str, Any] = loads(line)
        text = document["log"].encode("utf-8", "surrogatepass")
        return Entry(text, document["stream"], normal(document["time"]), document.get("attrs") or {})
    except (JSONError, ValueError, TypeError, KeyError, AttributeError):
        return None


_SIZE = Struct(">I")


class _Local:
    """``local``: see `wherry.monitor.log_local`."""

    def parse(self, data: bytes) -> tuple[list[Entry], bytes]:
        found: list[Entry] = []
        at = 0
        while at + 4 <= len(data):
            (size,) = _SIZE.unpack_from(data, at)
            if size > _LINE_MOST:
                return found, b""  # not a log
            if at + size + 8 > len(data):
                break
            entry = parse_local(data[at + 4 : at + 4 + size])
            if entry is not None:
                found.append(entry)
            at += size + 8
        return found, data[at:]

    def drop(self, data: bytes, most: int) -> tuple[int, bytes]:
        dropped, at = 0, 0
        while dropped < most and at + 4 <= len(data):
            (size,) = _SIZE.unpack_from(data, at)
            if at + size + 8 > len(data):
                break
            dropped, at = dropped + 1, at + size + 8
        return dropped, data[at:]

    def from_end(self, file: BinaryIO, size: int, most: int) -> tuple[int, int]:
        found, at = 0, size
        while at >= 8 and found < most:
            file.seek(at - 4)
            start = at - _SIZE.unpack(file.read(4))[0] - 8
            if start < 0:
                break
            found, at = found + 1, start
        return (at, found) if found == most or at == 0 else (0, found)


def parse_local(data: bytes) -> Entry | None:
    """The entry in a protocol buffer; None for what is none."""
    try:
        fields = list(_fields(data))
        values = dict(fields)
        line: bytes = values.get(3, b"")
        partial = dict(_fields(values.get(5, b"")))
        if not values.get(4) or partial.get(1):
            line += b"\n"
        pairs = [dict(_fields(value)) for number, value in fields if number == 6]
        attributes = {pair[1].decode(): pair.get(2, b"").decode() for pair in pairs}
        return Entry(line, values[1].decode(), normal(rfc3339(values[2])), attributes)
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, OverflowError):
        return None


def _fields(data: bytes) -> Any:
    """Numbers and values of a protocol buffer's fields, which are numbers or byte strings."""
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        value: int | bytes
        value, at = _varint(data, at)
        if key & 7 == 2:
            size = value
            if at + size > len(data):
                raise ValueError("a field is cut off")
            value, at = data[at : at + size], at + size
        elif key & 7:
            raise ValueError(f"wire type {key & 7}")
        yield key >> 3, value


def _varint(data: bytes, at: int) -> tuple[int, int]:
    number = shift = 0
    while True:
        byte = data[at]
        at += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number, at
        shift += 7
        if shift > 63:
            raise ValueError("a number is too long")


FORMATS: dict[str, Format] = {"json-file": _JSONLines(), "local": _Local()}
