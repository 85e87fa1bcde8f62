"""Compressed tars: what any reader gets back, and the same bytes each time."""

from __future__ import annotations

import gzip
import io
import random
import subprocess
import zlib

import pytest

from wherry.errors import InvalidArgument
from wherry.layers import compress, compression

MIB = 1 << 20
CHANCE = random.Random(3)
TEXT = b"".join(b"line %d\n" % CHANCE.randrange(1 << 30) for _ in range(160_000))


class Slowly:
    """A stream that gives no more than ``most`` bytes at a time."""

    def __init__(self, data: bytes, most: int) -> None:
        self._stream = io.BytesIO(data)
        self._most = most

    def read(self, size: int, /) -> bytes:
        return self._stream.read(min(size, self._most))


def whole(stream: compression.Readable, size: int = 100_000) -> bytes:
    return b"".join(iter(lambda: stream.read(size), b""))


def packed(data: bytes, kind: str = "gzip", level: int | None = None, most: int = 1 << 30) -> bytes:
    return whole(compress.Compressed(Slowly(data, most), kind, level))


@pytest.mark.parametrize("size", [0, 1, MIB, MIB + 1, len(TEXT)])
@pytest.mark.parametrize(("kind", "level"), [("gzip", None), ("gzip", 1), ("gzip", 9), ("zstd", None), ("zstd", 1)])
def test_what_goes_in_comes_out(kind: str, level: int | None, size: int) -> None:
    data = TEXT[:size]
    found = packed(data, kind, level)
    assert whole(compression.reader(io.BytesIO(found))) == data
    assert found == packed(data, kind, level, most=70_000)
    if kind == "gzip":
        one = zlib.decompressobj(31)  # a reader that knows of a single member only
        assert one.decompress(found) == data and one.eof and not one.unused_data
        assert gzip.decompress(found) == data


@pytest.mark.needs("gzip")
def test_gzip_itself_reads_it() -> None:
    done = subprocess.run(["gzip", "-dc"], input=packed(TEXT), capture_output=True, check=True)
    assert done.stdout == TEXT and not done.stderr


@pytest.mark.parametrize("level", compress.BLOCK_LEVELS)
def test_blocks_cost_little(level: int) -> None:
    from isal import isal_zlib

    blocks = whole(compress.Compressed(io.BytesIO(TEXT), blocks=level))
    assert len(blocks) < 1.01 * len(isal_zlib.compress(TEXT, level, wbits=31))


def test_what_reading_raises() -> None:
    class Broken(Slowly):
        def read(self, size: int, /) -> bytes:
            if self._stream.tell() > 3 * MIB:
                raise OSError(5, "broken")
            return super().read(size)

    with pytest.raises(OSError, match="broken"):
        whole(compress.Compressed(Broken(bytes(8 * MIB), MIB)))


@pytest.mark.parametrize(("kind", "level"), [("lz4", None), ("gzip", 0), ("gzip", 10), ("zstd", 23)])
def test_what_there_is_not(kind: str, level: int | None) -> None:
    with pytest.raises(InvalidArgument):
        compress.check(kind, level)
