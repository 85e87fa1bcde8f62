"""Maps of sparse files: where the pieces of data that a tar stores belong in the file.

GNU tar manual, "Storing Sparse Files": the old GNU header, and PAX formats 0.0, 0.1 and 1.0.
"""

from __future__ import annotations

from collections.abc import Callable

from wherry.errors import Corrupt
from wherry.layers import pax

#: Pieces of one file; a map is kept in memory while its file is written.
MAX_PIECES = 100_000

Map = list[tuple[int, int]]


def checked(numbers: list[int], stored: int, real: int) -> Map:
    """Pairs of (offset, size), in order, inside ``real`` bytes and ``stored`` bytes together.  Raises `Corrupt`."""
    pairs = list(zip(numbers[::2], numbers[1::2], strict=True))
    position = total = 0
    for offset, size in pairs:
        if offset < position or size < 0:
            raise Corrupt("layer has a damaged sparse file: its pieces overlap")
        position = offset + size
        total += size
    if position > real or total != stored:
        raise Corrupt("layer has a damaged sparse file: its pieces do not add up to its size")
    return pairs


def from_text(value: bytes) -> list[int]:
    """The numbers of a format 0.1 map, ``offset,size,offset,size``.  Raises `Corrupt`."""
    if not value:
        return []
    parts = value.split(b",", 2 * MAX_PIECES + 1)
    if len(parts) % 2 or len(parts) > 2 * MAX_PIECES:
        raise Corrupt("layer has a damaged sparse file: an offset without a size, or too many")
    return [pax.number(part) for part in parts]


def from_data(block: Callable[[], bytes], stored: int) -> tuple[list[int], int]:
    """The numbers of a format 1.0 map at the head of the data, and how many bytes it took.  Raises `Corrupt`."""
    text = b""
    taken = 0
    expected = -1
    lines: list[bytes] = []
    while expected < 0 or len(lines) < expected:
        if taken >= stored:
            raise Corrupt("layer has a damaged sparse file: its map is longer than its data")
        text += block()
        taken += 512
        *complete, text = text.split(b"\n")
        lines += complete
        if expected < 0 and lines:
            count = pax.number(lines.pop(0))
            if count > MAX_PIECES:
                raise Corrupt(f"layer has a sparse file of {count:,} pieces, more than {MAX_PIECES:,}")
            expected = 2 * count
        if len(text) > 20 and (expected < 0 or len(lines) < expected):
            raise Corrupt("layer has a damaged sparse file: its map is not made of numbers")
    return [pax.number(line) for line in lines[:expected]], taken


def from_header(header: bytes, block: Callable[[], bytes], field: Callable[[bytes], int]) -> tuple[list[int], int]:
    """The numbers of an old GNU header and the blocks that extend it, and the real size.  Raises `Corrupt`."""
    real = field(header[483:495])
    numbers: list[int] = []
    table, count, more = header[386:482], 4, header[482]
    while True:
        for index in range(count):
            entry = table[24 * index : 24 * index + 24]
            if not entry[12:].strip(b"\0 "):
                break
            numbers += (field(entry[:12]), field(entry[12:]))
        if not more:
            return numbers, real
        if len(numbers) > 2 * MAX_PIECES:
            raise Corrupt(f"layer has a sparse file of more than {MAX_PIECES:,} pieces")
        extension = block()
        if not extension:
            raise Corrupt("layer is cut short: unexpected end of the tar stream")
        table, count, more = extension[:504], 21, extension[504]
