"""A layer's tar in two files, and back."""

from __future__ import annotations

import io
import os
import random
import tempfile
import zlib
from pathlib import Path

import pytest

from support.tars import END, Dribble, directory, member, pax, symlink
from wherry.errors import Corrupt
from wherry.layers import erofs_layer, erofs_tar

CONTENT = random.Random(1).randbytes(300_000)
TAR = (
    directory("d")
    + member("d/large", CONTENT)
    + pax({"path": "d/" + "n" * 200})
    + member("x", b"one block")
    + member("d/empty", b"")
    + symlink("d/link", "large")
    + b"".join(member(f"d/{number}", bytes([65 + number % 26]) * (number % 1500)) for number in range(400))
)


def split(data: bytes, seed: int = 1) -> tuple[bytes, bytes, erofs_layer.Indexed]:
    with tempfile.TemporaryFile() as tar, tempfile.TemporaryFile() as heads:
        found = erofs_layer.index(Dribble(data, seed, 70_000), (tar.fileno(), heads.fileno()))
        assert joined(tar.fileno(), heads.fileno(), random.Random(seed)) == data
        return os.pread(tar.fileno(), 1 << 24, 0), os.pread(heads.fileno(), 1 << 24, 0), found


def joined(tar: int, heads: int, chance: random.Random) -> bytes:
    stream = erofs_tar.Tar(tar, heads)
    parts = []
    while True:
        size = chance.choice((1, 511, 512, 70_000))
        part = stream.read(size)
        parts.append(part)
        if len(part) < size:
            return b"".join(parts)


@pytest.mark.parametrize("seed", range(5))
def test_it_is_the_same_tar_again(seed: int) -> None:
    """However the stream arrives, and whatever comes after its end."""
    for end in (END, END[:512], b"", END + bytes(100_000), END + CONTENT[:70_001], END + bytes(9000) + b"x" + bytes(9)):
        _tar, _heads, found = split(TAR + end, seed)
        assert found.root is not None and found.applied.tar_size == len(TAR + end)


def test_only_content_is_in_the_first_file() -> None:
    """In whole blocks; the rest is compressed."""
    tar, heads, found = split(TAR + END)
    sizes = [len(CONTENT), 9, *[number % 1500 for number in range(400)]]
    assert len(tar) == sum(-(-size // 512) * 512 for size in sizes) == found.blocks * 512
    assert tar.startswith(CONTENT) and len(heads) < 12_000


def test_a_tar_that_is_not_for_this_form_is_whole_too() -> None:
    """Reading ends where that is found."""
    huge = {
        "GNU.sparse.major": "1",
        "GNU.sparse.minor": "0",
        "GNU.sparse.name": "h",
        "GNU.sparse.realsize": str(1 << 40),
    }
    data = TAR + pax(huge) + member("x", b"1\n0\n4\n".ljust(512, b"\0") + b"data") + TAR + END
    assert split(data)[2].root is None


@pytest.mark.parametrize("what", ["content", "end of heads", "most of heads", "last piece"])
def test_what_is_damaged_is_not_taken_for_a_tar(tmp_path: Path, what: str) -> None:
    tar, heads, _found = split(TAR + END)
    if what == "content":
        tar = tar[:-512]
    elif what == "end of heads":
        heads = heads[:-9]
    elif what == "most of heads":
        heads = heads[:20]
    else:
        heads = zlib.compress(zlib.decompress(heads, 31)[:-5], wbits=31)
    (tmp_path / "tar").write_bytes(tar)
    (tmp_path / "heads").write_bytes(heads)
    with (tmp_path / "tar").open("rb") as one, (tmp_path / "heads").open("rb") as other, pytest.raises(Corrupt):
        joined(one.fileno(), other.fileno(), random.Random(1))


def test_a_layer_that_is_cut_short_is_refused() -> None:
    for data in (TAR[:-512], TAR[: len(TAR) // 2]):
        with tempfile.TemporaryFile() as tar, tempfile.TemporaryFile() as heads, pytest.raises(Corrupt):
            erofs_layer.index(io.BytesIO(data), (tar.fileno(), heads.fileno()))
