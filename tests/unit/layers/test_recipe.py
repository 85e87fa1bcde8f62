"""Which compressor made a blob, and the blob made again."""

from __future__ import annotations

import gzip
import io
import random
import subprocess
import zlib
from pathlib import Path

import pytest
import zstandard

from wherry.layers import compress, recipe

TAR = random.Random(7).randbytes(60_000) + b"".join(
    b"line %d of a text\n" % (number % 977) for number in range(120_000)
)


def ours(kind: str, level: int | None = None, blocks: int = compress.BLOCK_LEVELS[0]) -> bytes:
    stream = compress.Compressed(io.BytesIO(TAR), kind, level, blocks=blocks)
    return b"".join(iter(lambda: stream.read(1 << 20), b""))


def zlibs(level: int, memory: int = 8, strategy: int = zlib.Z_DEFAULT_STRATEGY) -> bytes:
    packer = zlib.compressobj(level, zlib.DEFLATED, 31, memory, strategy)
    return packer.compress(TAR) + packer.flush()


def named(data: bytes) -> bytes:
    """With a name, a comment and further fields in the header."""
    head = bytes([*data[:3], 4 | 8 | 16, *data[4:10]]) + b"\x05\0extra" + b"layer.tar\0" + b"by hand\0"
    return head + data[10:]


def zstds(level: int) -> bytes:
    packer = zstandard.ZstdCompressor(level=level, write_checksum=True).compressobj(len(TAR))
    return packer.compress(TAR) + packer.flush()


MADE = {
    "plain": lambda: TAR,
    "blocks": lambda: ours("gzip"),
    "blocks as they were": lambda: ours("gzip", blocks=3),
    "gzip at a level": lambda: ours("gzip", 4),
    "python": lambda: gzip.compress(TAR, 9, mtime=12),
    "zlib with memory": lambda: zlibs(6, 9),
    "named": lambda: named(zlibs(6)),
    "zstd": lambda: ours("zstd"),
    "zstd at a level": lambda: ours("zstd", 7),
    "zstd with size and checksum": lambda: zstds(3),
}


@pytest.mark.parametrize("name", MADE)
def test_what_is_known_is_made_again(name: str) -> None:
    blob = MADE[name]()
    found = recipe.find(io.BytesIO(blob), lambda: io.BytesIO(TAR), len(TAR))
    assert found is not None
    assert b"".join(recipe.make(found, io.BytesIO(TAR), len(TAR))) == blob


def test_blocks_of_recipes_that_name_no_level() -> None:
    blob = ours("gzip", blocks=3)
    assert blob != ours("gzip")
    assert b"".join(recipe.make(recipe.Recipe("blocks", head=blob[:10]), io.BytesIO(TAR), len(TAR))) == blob


@pytest.mark.parametrize(
    "blob",
    [
        zlibs(6, 8, zlib.Z_HUFFMAN_ONLY),  # as no candidate has it
        zlibs(6) + b"\0" * 512,  # padded
        zlibs(6)[:-1],  # cut short
        zlibs(6)[:-4] + b"\0\0\0\0",  # another length
        TAR[:-1],
        b"\x1f\x8b\x08",
        b"\x1f\x8b\x08\x08" + b"x" * 5000,  # a name without an end
        b"\x28\xb5\x2f\xfd",
        b"",
    ],
    ids=lambda blob: f"{blob[:4].hex()}-{len(blob)}",
)
def test_what_is_not_known(blob: bytes) -> None:
    assert recipe.find(io.BytesIO(blob), lambda: io.BytesIO(TAR), len(TAR)) is None


@pytest.mark.needs("gzip")
def test_what_gnu_gzip_makes_is_made_again_or_not_known(tmp_path: Path) -> None:
    (tmp_path / "layer.tar").write_bytes(TAR)
    blob = subprocess.run(["gzip", "-c", tmp_path / "layer.tar"], capture_output=True, check=True).stdout
    found = recipe.find(io.BytesIO(blob), lambda: io.BytesIO(TAR), len(TAR))
    assert found is None or b"".join(recipe.make(found, io.BytesIO(TAR), len(TAR))) == blob
