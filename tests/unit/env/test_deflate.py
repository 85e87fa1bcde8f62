"""DEFLATE that no library decides: whatever zlib reads, it reads the same."""

from __future__ import annotations

import gzip
import os
import zlib

from hypothesis import given, settings
from hypothesis import strategies as st

from wherry.env import deflate

some = st.binary(max_size=3000) | st.lists(
    st.tuples(st.sampled_from([0, 7, 143, 144, 255]), st.integers(1, 700)), max_size=20
).map(lambda runs: b"".join(bytes([byte]) * count for byte, count in runs))


@settings(max_examples=100, deadline=None)
@given(some)
def test_stored(data: bytes) -> None:
    packed = deflate.stored(data)
    assert zlib.decompress(packed.data, -15) == data
    assert packed.size == len(data)


def test_stored_in_several_blocks() -> None:
    for size in (65535, 65536, 200_000):
        data = os.urandom(size)
        assert zlib.decompress(deflate.stored(data).data, -15) == data


@settings(max_examples=100, deadline=None)
@given(some, some)
def test_a_member_is_a_head_and_a_stream_of_somebody_else(head: bytes, content: bytes) -> None:
    squeeze = zlib.compressobj(6, zlib.DEFLATED, -15)
    packed = deflate.Packed(squeeze.compress(content) + squeeze.flush(), len(content))
    member = b"".join(deflate.member(head, packed, zlib.crc32(head + content)))
    assert gzip.decompress(member + member) == (head + content) * 2


def test_every_length_of_a_run() -> None:
    for length in range(1, 600):
        data = b"a" + b"\0" * length + b"b"
        inflate = zlib.decompressobj(-15)
        assert inflate.decompress(deflate.runs(data)) == data
        assert not inflate.eof


def test_a_header_is_short() -> None:
    from wherry.layers.tarwriter import header

    assert len(deflate.runs(header(b"opt/venv/lib/python3.11/site-packages/package/module.py", b"0", size=1234))) < 140
