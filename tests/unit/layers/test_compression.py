"""Blobs to tar bytes: recognised by content, bounded, and never silently cut short."""

from __future__ import annotations

import gzip
import io
import sys
import zlib

import pytest
import zstandard

from support.tars import Dribble
from wherry.errors import Corrupt, NotSupported, Unavailable
from wherry.layers.compression import Limits, reader

DATA = bytes(range(256)) * 3000
SKIPPABLE = b"\x50\x2a\x4d\x18\x08\0\0\0metadata"


def read(blob: bytes, media_type: str = "", limits: Limits | None = None, size: int = 65536) -> bytes:
    stream = reader(Dribble(blob), media_type, limits)
    parts = []
    while piece := stream.read(size):
        assert len(piece) <= size
        parts.append(piece)
    return b"".join(parts)


@pytest.mark.parametrize(
    "blob",
    [
        DATA,
        gzip.compress(DATA),
        zstandard.compress(DATA),
        gzip.compress(DATA[:1000]) + gzip.compress(b"") + gzip.compress(DATA[1000:]),
        gzip.compress(DATA) + bytes(5000),
        gzip.compress(DATA[:7]) + bytes(3) + gzip.compress(DATA[7:]),
        zstandard.compress(DATA[:1000]) + SKIPPABLE + zstandard.compress(DATA[1000:]) + SKIPPABLE,
        SKIPPABLE + zstandard.compress(DATA),
    ],
    ids=["plain", "gzip", "zstd", "members", "padding", "padded members", "frames", "skippable first"],
)
@pytest.mark.parametrize("size", [1 << 20, 777])
def test_every_form(blob: bytes, size: int) -> None:
    assert read(blob, size=size) == DATA


def test_content_decides_and_not_the_media_type() -> None:
    assert read(DATA, "application/vnd.oci.image.layer.v1.tar+gzip") == DATA
    assert read(gzip.compress(DATA), "application/vnd.oci.image.layer.v1.tar") == DATA


@pytest.mark.parametrize("blob", [b"", b"a", b"abcde"])
def test_short_blobs_pass(blob: bytes) -> None:
    assert read(blob) == blob


def test_zlib_takes_over_where_isal_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "isal", None)
    assert read(gzip.compress(DATA) * 2) == DATA * 2
    with pytest.raises(Corrupt):
        read(gzip.compress(DATA)[:-9])


@pytest.mark.parametrize("cut", [1, 8, 9, 100, 2000])
def test_cut_gzip_is_corrupt(cut: int) -> None:
    with pytest.raises(Corrupt, match=r"cut short|not valid"):
        read(gzip.compress(DATA)[:-cut])


def test_damage_is_corrupt() -> None:
    blob = bytearray(gzip.compress(DATA))
    blob[-5] ^= 1  # the checksum
    with pytest.raises(Corrupt, match="not valid gzip"):
        read(bytes(blob))
    blob = bytearray(zstandard.compress(DATA))
    blob[20] ^= 0xFF
    with pytest.raises(Corrupt):
        read(bytes(blob) + b"tail that is no frame")


def test_bytes_after_gzip_are_corrupt() -> None:
    with pytest.raises(Corrupt, match="after the end"):
        read(gzip.compress(DATA) + b"something else")


@pytest.mark.parametrize("blob", [b"BZh91AY&SY", b"\xfd7zXZ\x00\x00", b"\x04\x22\x4d\x18abc"])
def test_other_compressions_are_named(blob: bytes) -> None:
    with pytest.raises(NotSupported, match=r"compressed with (bzip2|xz|lz4) \(x/y\)"):
        read(blob, "x/y")


@pytest.mark.parametrize("make", [gzip.compress, zstandard.compress], ids=["gzip", "zstd"])
def test_bombs_end_early(make) -> None:  # type: ignore[no-untyped-def]
    bomb = make(bytes(64 << 20))
    stream = reader(io.BytesIO(bomb), limits=Limits(floor=1 << 20, ratio=20))
    total = 0
    with pytest.raises(Corrupt, match="bomb"):
        while piece := stream.read(1 << 16):
            total += len(piece)
    assert total <= (1 << 20) + (1 << 16) + 20 * len(bomb)
    with pytest.raises(Corrupt, match="bomb"):
        read(make(bytes(3000)), limits=Limits(size=2000))


def test_an_enormous_zstd_window_is_refused() -> None:
    parameters = zstandard.ZstdCompressionParameters(window_log=30, compression_level=1)
    compressor = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    blob = compressor.compress(DATA) + compressor.flush()
    with pytest.raises(Corrupt, match="zstd"):
        read(blob)


def test_errors_of_the_stream_pass() -> None:
    class Failing:
        def __init__(self) -> None:
            self.pieces = [gzip.compress(DATA)[:100]]

        def read(self, _size: int) -> bytes:
            if self.pieces:
                return self.pieces.pop()
            raise Unavailable("connection reset")

    stream = reader(Failing())
    with pytest.raises(Unavailable):
        while stream.read(1000):
            pass


def test_it_is_a_stream_for_others_too() -> None:
    with io.BufferedReader(reader(io.BytesIO(zlib.compress(DATA, wbits=31)))) as stream:
        assert stream.read() == DATA
