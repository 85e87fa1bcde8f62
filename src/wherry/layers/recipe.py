"""How a compressed layer can be made again, to the last bit, out of its tar.

Neither gzip (RFC 1952) nor zstd (RFC 8878) say what compressed a stream: so the compressors that are here are tried,
and one that gives the same bytes is the recipe.  One that does not differs within the first few thousand bytes.  The
header of a gzip member, with its name and time, is kept as it is.
"""

from __future__ import annotations

import zlib

from wherry.layers import compress
from wherry.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from wherry.layers.compression import Readable

_PIECE = 64 << 10
_LONGEST_HEAD = 4096
_HEAD = 10
_ZSTD = b"\x28\xb5\x2f\xfd"
_GZIP = b"\x1f\x8b\x08"
_CRC, _EXTRA, _NAME, _COMMENT = 2, 4, 8, 16  # RFC 1952, 2.3.1
_CHECKSUM = 4  # RFC 8878, 3.1.1.1.1: bits of the frame header's descriptor
_MEMORY = (8, 9)  # zlib's own, and what others set
_LEVELS = (6, 9, 1, 5, 4, 7, 8, 3, 2)  # the usual ones first
_ZSTD_LEVELS = (3, 1, 2, 4, 5, 6, 7, 8, 9)  # above, a mistake is seen late


class Recipe(Record):
    """``kind`` is "plain", "gzip" (zlib's, of this ``level`` and ``memory``), "blocks" (`compress.Compressed` of this
    level of blocks; 0: 3) or "zstd", with so many ``threads``.  ``head`` is what a gzip member begins with, before its
    data."""

    kind: str
    level: int = 0
    memory: int = 0
    threads: int = 0
    checksum: bool = False
    sized: bool = False
    head: bytes = b""


def find(blob: Readable, tar: Callable[[], Readable], size: int) -> Recipe | None:
    """The recipe by which ``blob`` comes out of the tar of ``size`` bytes that ``tar`` opens; None: there is none here.

    ``blob`` must have ``seek(offset)``.  Raises what reading raises.
    """
    head = blob.read(_LONGEST_HEAD)
    for recipe in _candidates(head):
        blob.seek(0)  # type: ignore[attr-defined]
        if _same(blob, make(recipe, tar(), size)):
            return recipe
    return None


def _candidates(head: bytes) -> Iterator[Recipe]:
    if head.startswith(_GZIP):
        begin = head[: _head_size(head)]
        for level in compress.BLOCK_LEVELS:
            yield Recipe("blocks", level, head=begin)
        for level in _LEVELS:
            for memory in _MEMORY:
                yield Recipe("gzip", level, memory, head=begin)
    elif head.startswith(_ZSTD) and len(head) > len(_ZSTD):
        sized, checksum = bool(head[4] & 0xC0 or head[4] & 0x20), bool(head[4] & _CHECKSUM)
        for level in _ZSTD_LEVELS:
            for threads in (2, 0):
                yield Recipe("zstd", level, threads=threads, checksum=checksum, sized=sized)
    else:
        yield Recipe("plain")


def _head_size(head: bytes) -> int:
    """The length of a gzip member's header; one that is longer than ``head``, or cut short, ends with it."""
    flags, at = head[3] if len(head) > 3 else 0, _HEAD
    if flags & _EXTRA:
        at += 2 + int.from_bytes(head[at : at + 2], "little")
    for flag in (_NAME, _COMMENT):
        if flags & flag:
            at = head.find(b"\0", at) + 1 or len(head)
    return at + 2 if flags & _CRC else at


def _same(blob: Readable, made: Iterator[bytes]) -> bool:
    """Whether both have the same bytes; ends with the first that differs."""
    for piece in made:
        at = 0
        while at < len(piece):
            there = blob.read(len(piece) - at)
            if not there or there != piece[at : at + len(there)]:
                return False
            at += len(there)
    return not blob.read(1)


def make(recipe: Recipe, tar: Readable, size: int) -> Iterator[bytes]:
    """The blob, made out of its tar of ``size`` bytes.  Raises `NotSupported` without the library for zstd."""
    if recipe.kind == "blocks":
        compressed = compress.Compressed(tar, "gzip", blocks=recipe.level or 3)
        compressed.read(_HEAD)  # its header
        yield recipe.head
        while piece := compressed.read(_PIECE):
            yield piece
    elif recipe.kind == "gzip":
        yield recipe.head
        yield from _deflated(recipe, tar)
    elif recipe.kind == "zstd":
        packer = compress.zstd(
            recipe.level, recipe.threads, checksum=recipe.checksum, size=size if recipe.sized else -1
        )
        while piece := tar.read(_PIECE):
            yield packer.compress(piece)
        yield packer.flush()
    else:
        while piece := tar.read(_PIECE):
            yield piece


def _deflated(recipe: Recipe, tar: Readable) -> Iterator[bytes]:
    packer = zlib.compressobj(recipe.level, zlib.DEFLATED, -zlib.MAX_WBITS, recipe.memory)
    check = count = 0
    while piece := tar.read(_PIECE):
        check = zlib.crc32(piece, check)
        count += len(piece)
        yield packer.compress(piece)
    yield packer.flush() + check.to_bytes(4, "little") + (count & 0xFFFFFFFF).to_bytes(4, "little")
