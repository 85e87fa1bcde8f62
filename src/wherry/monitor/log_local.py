"""Docker's ``local`` driver: the log entries of moby's ``api/types/plugins/logdriver/entry.proto``, each with its size
(four bytes, big-endian) before and after it (moby, ``daemon/logger/local``)."""

from __future__ import annotations

import os
from _struct import Struct

from wherry.monitor.log import FileLog
from wherry.monitor.log_file import LogFile

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from wherry.monitor.log import Part

_SIZE = Struct(">I")
# eight times the field's number, plus its wire type
_SOURCE, _TIME, _LINE, _PARTIAL, _METADATA, _ATTRIBUTE = 0x0A, 0x10, 0x1A, 0x20, 0x2A, 0x32
_LAST, _IDENTITY, _ORDINAL = 0x08, 0x12, 0x18  # of the metadata
_KEY, _VALUE = 0x0A, 0x12  # of an attribute


def varint(number: int) -> bytes:
    """A number of at least 0 as protocol buffers have it."""
    digits = bytearray()
    while number > 0x7F:
        digits.append(number & 0x7F | 0x80)
        number >>= 7
    digits.append(number)
    return bytes(digits)


class LocalLog(FileLog):
    """Lines are kept without their newline; every one carries ``attributes``."""

    def __init__(
        self,
        path: str,
        *,
        max_size: int,
        max_files: int,
        compress: bool,
        attributes: dict[str, str] | None = None,
        kept: tuple[Any, ...] | None = None,
    ) -> None:
        super().__init__()
        os.makedirs(os.path.dirname(path), 0o700, exist_ok=True)
        pairs = [(name.encode(), value.encode()) for name, value in sorted((attributes or {}).items())]
        self._attributes = b"".join(
            [_field(_ATTRIBUTE, _field(_KEY, name) + _field(_VALUE, value)) for name, value in pairs]
        )
        self.file = LogFile(path, LOCAL_RECORDS, max_size=max_size, max_files=max_files, compress=compress, kept=kept)

    def put_lines(self, stream: str, lines: bytes, now: int) -> None:
        """One entry a line."""
        head = _head(stream, now)
        pieces: list[bytes] = []
        for line in lines[:-1].split(b"\n"):
            size = varint(len(line))
            whole = _SIZE.pack(len(head) + len(size) + len(line) + len(self._attributes))
            pieces += (whole, head, size, line, self._attributes, whole)
        self.file.append(b"".join(pieces))

    def put_piece(self, stream: str, piece: bytes, part: Part) -> None:
        """An entry that says which piece of its line it is."""
        line = piece.removesuffix(b"\n") if part.last else piece
        metadata = (bytes((_LAST, 1)) if part.last else b"") + _field(_IDENTITY, part.identity.encode())
        metadata += bytes((_ORDINAL,)) + varint(part.ordinal)
        entry = _head(stream, part.time) + varint(len(line)) + line + bytes((_PARTIAL, 1))
        self.file.append(_framed(entry + _field(_METADATA, metadata) + self._attributes))


def _field(tag: int, value: bytes) -> bytes:
    return bytes((tag,)) + varint(len(value)) + value


def _head(stream: str, now: int) -> bytes:
    """An entry up to the size of its line."""
    source = stream.encode()
    return bytes((_SOURCE, len(source))) + source + bytes((_TIME,)) + varint(now) + bytes((_LINE,))


def _framed(entry: bytes) -> bytes:
    size = _SIZE.pack(len(entry))
    return size + entry + size


class _LocalRecords:
    """How records follow each other in a file (`wherry.monitor.log_file.Records`)."""

    @staticmethod
    def ends(records: bytes) -> list[int]:
        """Where each whole record ends."""
        ends, at = [], 0
        while at + 8 <= len(records):
            at += _SIZE.unpack_from(records, at)[0] + 8
            if at > len(records):
                break
            ends.append(at)
        return ends

    def end_at(self, records: bytes, least: int) -> int:
        """The first end of a record that is at or after ``least``."""
        return next((end for end in self.ends(records) if end >= least), len(records))

    def end_before(self, records: bytes, most: int) -> int:
        """The last end of a record that is at or before ``most``; 0 for none."""
        return (self.ends(records[:most]) or [0])[-1]

    def count(self, records: bytes) -> int:
        """How many there are."""
        return len(self.ends(records))

    @staticmethod
    def record(text: str, now: int) -> bytes:
        """A line of our own."""
        line = text.encode()
        return _framed(_head("stderr", now) + varint(len(line)) + line)

    def whole(self, file: int, size: int) -> int:
        """How many of the ``size`` bytes of a file, from its beginning, are whole records."""
        last = self._size_at(file, size - 4)
        if 0 < last <= size - 8 and self._size_at(file, size - 8 - last) == last:
            return size
        at = 0
        while (entry := self._size_at(file, at)) and self._size_at(file, at + 4 + entry) == entry:
            at += entry + 8
        return at

    @staticmethod
    def _size_at(file: int, at: int) -> int:
        """0 where there is none."""
        found = os.pread(file, 4, at) if at >= 0 else b""
        return int(_SIZE.unpack(found)[0]) if len(found) == 4 else 0


LOCAL_RECORDS = _LocalRecords()
