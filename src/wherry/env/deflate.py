"""Compressed layers whose bytes no library of this machine decides (docs/decisions/0170-compressed-by-others.md).

The digest of an image covers its layers as they are compressed, and zlib, zlib-ng and ISA-L compress the same bytes
differently.  So nothing is compressed here: a file of a wheel keeps the DEFLATE stream that it has in the wheel, what
the image's own Python made was compressed by that Python's zlib, and in between are tar headers, in a simple form of
DEFLATE that is written below.  A layer is a gzip file of one member for each file (RFC 1952, 2.2), as in eStargz.
"""

from __future__ import annotations

from wherry.record import Record

#: A member's header: DEFLATE, no flags, no time, no extra flags, unknown system (RFC 1952, 2.3).
HEAD = b"\x1f\x8b\x08\0\0\0\0\0\0\xff"
_LONGEST = 65535  # bytes of a stored block
_LENGTHS = (3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 15, 17, 19, 23, 27, 31, 35, 43, 51, 59, 67, 83, 99, 115, 131, 163, 195,
            227, 258)  # fmt: skip
_EXTRA = (0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0)


class Packed(Record):
    """The content of a file: ``data`` is a whole raw DEFLATE stream (RFC 1951) of ``size`` bytes; ``check`` is the
    CRC-32 that they should have, where one is known."""

    data: bytes | memoryview
    size: int
    check: int | None = None


def stored(data: bytes) -> Packed:
    """``data`` as it is, in stored blocks."""
    pieces = []
    for start in range(0, max(1, len(data)), _LONGEST):
        piece = data[start : start + _LONGEST]
        last = start + _LONGEST >= len(data)
        size = len(piece)
        pieces.append(bytes((last,)) + size.to_bytes(2, "little") + (size ^ 0xFFFF).to_bytes(2, "little") + piece)
    return Packed(b"".join(pieces), len(data))


def _reversed(code: int, bits: int) -> int:
    return int(f"{code:0{bits}b}"[::-1], 2)


def _fixed(symbol: int) -> tuple[int, int]:
    """The code of a literal or a length, and its bits (RFC 1951, 3.2.6), as it stands in the stream."""
    if symbol < 144:
        return _reversed(0x30 + symbol, 8), 8
    if symbol < 256:
        return _reversed(0x190 + symbol - 144, 9), 9
    if symbol < 280:
        return _reversed(symbol - 256, 7), 7
    return _reversed(0xC0 + symbol - 280, 8), 8


def _run(length: int) -> tuple[int, int]:
    """The last byte again, ``length`` times (3 to 258): a match at distance 1."""
    index = next(number for number in range(len(_LENGTHS) - 1, -1, -1) if _LENGTHS[number] <= length)
    code, bits = _fixed(257 + index)
    return code | (length - _LENGTHS[index]) << bits, bits + _EXTRA[index] + 5  # five zero bits: distance 1


_LITERALS = tuple(_fixed(symbol) for symbol in range(256))
_RUNS = tuple(_run(length) if length >= 3 else (0, 0) for length in range(259))


def runs(data: bytes) -> bytes:
    """``data`` in one block of literals and runs, not the last of its stream, then an empty stored one that ends at a
    byte: whatever stream is put behind it goes on from there."""
    value, bits = 0b010, 3  # not the last block, fixed codes
    position, size = 0, len(data)
    parts = []
    while position < size:
        byte = data[position]
        code, width = _LITERALS[byte]
        value |= code << bits
        bits += width
        position += 1
        if position < size and data[position] == byte:
            end = position
            limit = min(size, position + 258)
            while end < limit and data[end] == byte:
                end += 1
            if end - position >= 3:
                code, width = _RUNS[end - position]
                value |= code << bits
                bits += width
                position = end
        if bits >= 512:
            parts.append((value & ((1 << 512) - 1)).to_bytes(64, "little"))
            value >>= 512
            bits -= 512
    bits += 7 + 3  # the end of the block is seven zero bits; then a stored block: three zero bits
    parts.append(value.to_bytes((bits + 7) // 8, "little") + b"\0\0\xff\xff")
    return b"".join(parts)


def member(head: bytes, content: Packed, check: int) -> tuple[bytes, bytes | memoryview, bytes]:
    """A gzip member of ``head`` and then ``content``, in three parts; ``check`` is the CRC-32 of both together."""
    size = (len(head) + content.size) & 0xFFFFFFFF
    return HEAD + runs(head), content.data, check.to_bytes(4, "little") + size.to_bytes(4, "little")
