"""Tar headers: ustar, GNU and PAX (POSIX.1-2017 pax; GNU tar manual, "Basic Tar Format"; star(5)).

What a header may say is bounded here, and every number is checked before it is used; where an entry may go is
decided by `wherry.layers.apply`.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator

from wherry.errors import Corrupt
from wherry.layers import pax, sparse
from wherry.layers.pax import Pax
from wherry.layers.source import Source

FILE, LINK, SYMLINK, CHARACTER, BLOCK, DIRECTORY, FIFO = b"0", b"1", b"2", b"3", b"4", b"5", b"6"

_KINDS = {b"\0": FILE, b"7": FILE, b"S": FILE, b"D": DIRECTORY} | {
    kind: kind for kind in (FILE, LINK, SYMLINK, CHARACTER, BLOCK, DIRECTORY, FIFO)
}
_ZEROS = bytes(512)
#: A long name, or a PAX header, in bytes (the bound that Go's reader has).
_MAX_EXTENSION = 1 << 20
#: Extension headers before one entry.
_MAX_EXTENSIONS = 16
_MAX_ID = (1 << 32) - 2


class Entry:
    """One entry.  ``size`` is how many bytes the tar stores for it, ``real`` how long the file will be."""

    __slots__ = (
        "gid",
        "kind",
        "linkname",
        "major",
        "map",
        "minor",
        "mode",
        "mtime",
        "name",
        "real",
        "size",
        "uid",
        "xattrs",
    )

    kind: bytes
    name: bytes
    linkname: bytes
    mode: int
    uid: int
    gid: int
    size: int
    real: int
    mtime: int
    major: int
    minor: int
    xattrs: dict[str, bytes]
    map: sparse.Map | None


_NO_XATTRS: dict[str, bytes] = {}


def number(field: bytes) -> int:
    """A header's number: octal text, or base 256 when its first bit is set.  Raises `Corrupt`."""
    text = field.rstrip(b"\0 ")
    if text.isdigit():
        try:
            return int(text, 8)
        except ValueError:
            pass
    elif not text:
        return 0
    first = field[0]
    if first & 0x80:
        value = int.from_bytes(field, "big")
        bits = 8 * len(field)
        value = value - (1 << bits) if first & 0x40 else value & ((1 << (bits - 1)) - 1)
        if -(1 << 63) <= value < 1 << 63:
            return value
        raise Corrupt("layer has a damaged tar header: a number is out of range")
    text = field.strip(b"\0 ").partition(b"\0")[0].rstrip(b" ")
    if text.isdigit():
        try:
            return int(text, 8)
        except ValueError:
            pass
    if not text:
        return 0
    raise Corrupt(f"layer has a damaged tar header: {field!r} is not a number")


def _check_sum(header: bytes) -> None:
    """Raise `Corrupt` unless the header's sum is right; as unsigned bytes, or signed as some old writers had it."""
    field = header[148:156]
    stated = number(field)
    others = 256 - sum(field)
    # adler32's low half is one more than the sum of the bytes, modulo 65521: one call in C instead of a loop.
    if zlib.adler32(header) & 0xFFFF == (1 + stated - others) % 65521:
        return
    signed = sum(header) + others - 256 * sum(byte > 127 for byte in header[:148] + header[156:])
    if stated != signed:
        raise Corrupt("layer is not a valid tar stream: a header's checksum is wrong")


def _text(field: bytes) -> bytes:
    end = field.find(b"\0")
    return field if end < 0 else field[:end]


def entries(source: Source, limit: int) -> Iterator[Entry]:
    """The entries of a tar stream, in order, headers that extend others folded into them.

    The consumer takes an entry's ``size`` bytes from ``source``, all or none, before it asks for the next.  Stops
    after the two blocks of zeros that end a tar, or at the end of the stream.  Raises `Corrupt` for what is not a
    valid tar, and when there are more than ``limit`` headers.
    """
    common: Pax | None = None
    count = 0
    while True:
        extended: Pax | None = None
        long_name = long_link = b""
        for _ in range(_MAX_EXTENSIONS):
            header = source.block()
            count += 1
            if count > limit:
                raise Corrupt(f"layer has more than {limit:,} entries")
            if not header or header == _ZEROS:
                if extended is not None or long_name or long_link:
                    raise Corrupt("layer is cut short: an extended header without its entry")
                if header and (second := source.block()) and second != _ZEROS:
                    raise Corrupt("layer is not a valid tar stream: a block of zeros between entries")
                return
            _check_sum(header)
            kind = header[156:157]
            if kind not in b"xgXLKV":
                break
            data = _extension(source, header)
            if kind == b"g":
                common = pax.parse(data).for_all().over(common)
            elif kind in b"xX":
                extended = pax.parse(data)
            elif kind == b"L":
                long_name = _text(data)
            elif kind == b"K":
                long_link = _text(data)
        else:
            raise Corrupt("layer is not a valid tar stream: too many extended headers in a row")
        records = extended.over(common) if extended is not None else common
        if extended is not None and "path" in extended.text:
            long_name = b""
        entry = _entry(source, header, kind, records, long_name)
        if extended is None or "linkpath" not in extended.text:
            entry.linkname = long_link or entry.linkname
        before = source.position
        yield entry
        unread = entry.size - (source.position - before)
        source.skip(unread + (-entry.size % 512))


def _extension(source: Source, header: bytes) -> bytes:
    """The data of a header that extends the next entry."""
    size = number(header[124:136])
    if not 0 <= size <= _MAX_EXTENSION:
        raise Corrupt(f"layer has an extended tar header of {size:,} bytes, more than {_MAX_EXTENSION:,}")
    return source.take(size + -size % 512)[:size]


def _entry(source: Source, header: bytes, flag: bytes, records: Pax | None, long_name: bytes) -> Entry:
    entry = Entry()
    kind = _KINDS.get(flag)
    if kind is None:
        raise Corrupt(f"layer has a tar entry of an unknown type {flag!r}")
    entry.kind = kind
    entry.name = name = _text(header[:100])
    entry.linkname = _text(header[157:257])
    entry.mode = number(header[100:108]) & 0o7777
    entry.uid = number(header[108:116])
    entry.gid = number(header[116:124])
    entry.size = number(header[124:136])
    entry.mtime = number(header[136:148]) * 1_000_000_000
    entry.xattrs = _NO_XATTRS
    entry.map = None
    if header[257:263] == b"ustar\0" and header[345]:
        width = 131 if header[508:512] == b"tar\0" else 155
        entry.name = _text(header[345 : 345 + width]) + b"/" + name
    if kind in (CHARACTER, BLOCK):
        entry.major, entry.minor = number(header[329:337]), number(header[337:345])
    if records is not None:
        _override(entry, records)
    entry.name = long_name or entry.name
    if kind == FILE and entry.name.endswith(b"/") and flag in b"\0" + FILE:
        entry.kind = kind = DIRECTORY  # before POSIX, a directory was a file whose (whole) name ends in a slash
    if kind == FILE:
        _measure(source, entry, header, flag, records)
    elif flag != b"D":
        entry.size = 0  # links, devices and directories have no data, whatever their size field says
    if entry.size < 0:
        raise Corrupt("layer has a damaged tar header: a negative size")
    if not (0 <= entry.uid <= _MAX_ID and 0 <= entry.gid <= _MAX_ID):
        raise Corrupt(f"layer has an entry owned by {entry.uid}:{entry.gid}, which is not a valid owner")
    return entry


def _override(entry: Entry, records: Pax) -> None:
    """What PAX records say instead of the header; an empty record takes an earlier one back."""
    text = records.text
    entry.xattrs = records.xattrs
    for key, value in text.items():
        if not value:
            continue
        if key == "path":
            entry.name = value
        elif key == "linkpath":
            entry.linkname = value
        elif key == "size":
            entry.size = pax.number(value)
        elif key == "uid":
            entry.uid = pax.number(value)
        elif key == "gid":
            entry.gid = pax.number(value)
        elif key == "mtime":
            entry.mtime = pax.nanoseconds(value)
        elif key == "SCHILY.devmajor" and entry.kind in (CHARACTER, BLOCK):
            entry.major = pax.number(value)
        elif key == "SCHILY.devminor" and entry.kind in (CHARACTER, BLOCK):
            entry.minor = pax.number(value)


def _measure(source: Source, entry: Entry, header: bytes, flag: bytes, records: Pax | None) -> None:
    """Set ``size``, ``real`` and ``map`` of a file, reading what comes before a sparse file's data."""
    entry.real = entry.size
    text = records.text if records is not None else {}
    if flag == b"S":
        numbers, entry.real = sparse.from_header(header, source.block, number)
        entry.map = sparse.checked(numbers, entry.size, entry.real)
        return
    if not any(key.startswith("GNU.sparse.") for key in text) and not (records and records.sparse):
        return
    assert records is not None
    entry.name = text.get("GNU.sparse.name", entry.name)
    real = text.get("GNU.sparse.realsize") or text.get("GNU.sparse.size")
    if real is not None:
        entry.real = pax.number(real)
    if text.get("GNU.sparse.major") == b"1" and text.get("GNU.sparse.minor") == b"0":
        numbers, taken = sparse.from_data(source.block, entry.size)
        entry.size -= taken
    elif "GNU.sparse.map" in text:
        numbers = sparse.from_text(text["GNU.sparse.map"])
    elif records.sparse:
        numbers = records.sparse
    elif text.get("GNU.sparse.major", b"0") != b"0":
        raise Corrupt("layer has a sparse file of an unknown format")
    else:
        return
    if len(numbers) > 2 * sparse.MAX_PIECES:
        raise Corrupt(f"layer has a sparse file of more than {sparse.MAX_PIECES:,} pieces")
    entry.map = sparse.checked(numbers, entry.size, entry.real)
