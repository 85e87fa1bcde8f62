"""Compressing a layer's tar: gzip or zstd, the same bytes for the same tar, level and version of the library.

A gzip header carries no time and no name.  Without a level gzip is isal's second, seventeen times as fast as zlib's
sixth for a seventh more bytes (of Debian's Python and C libraries), in blocks that several processors compress at once;
a level asked for is zlib's.
"""

from __future__ import annotations

import os
import struct
import zlib
from _thread import allocate_lock, start_new_thread
from collections import deque

from wherry.errors import InvalidArgument, NotSupported

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from wherry.layers.compression import Readable

KINDS = ("gzip", "zstd")
_LEVELS = {"gzip": (1, 9), "zstd": (1, 22)}
_USUAL = {"gzip": 6, "zstd": 3}
_PIECE = 1 << 20
_BLOCK = 1 << 20
_MOST = 4  # blocks at once
BLOCK_LEVELS = (2, 3)
"""isal's levels for gzip in blocks: that of today, and before."""
_HEAD = b"\x1f\x8b\x08\0\0\0\0\0\0\xff"
_LAST_BLOCK = b"\x03\0"  # an empty one


def check(kind: str, level: int | None) -> None:
    """Raises `InvalidArgument` for a compression or a level that does not exist."""
    if kind not in KINDS:
        raise InvalidArgument(f"unknown compression {kind!r}", hint=f"it is one of {', '.join(KINDS)}")
    least, most = _LEVELS[kind]
    if level is not None and not least <= level <= most:
        raise InvalidArgument(f"compression level {level}: {kind} has {least} to {most}")


class Compressed:
    """A `Readable` of ``source`` compressed; ``blocks`` is the level of gzip without a ``level``."""

    def __init__(
        self, source: Readable, kind: str = "gzip", level: int | None = None, *, blocks: int = BLOCK_LEVELS[0]
    ) -> None:
        check(kind, level)
        self._source = source
        self._compressor = _compressor(kind, level, blocks)
        self._ready = bytearray()
        self._ended = False

    def read(self, size: int, /) -> bytes:
        """Up to ``size`` bytes; nothing at the end.  Raises what reading ``source`` raises."""
        while not self._ready and not self._ended:
            piece = self._source.read(_PIECE)
            if piece:
                self._ready += self._compressor.compress(piece)
            else:
                self._ready += self._compressor.flush()
                self._ended = True
        found = bytes(self._ready[:size])
        del self._ready[:size]
        return found


def _compressor(kind: str, level: int | None, blocks: int) -> Any:
    if kind == "zstd":
        return zstd(level or _USUAL["zstd"], 2)
    if level is None:
        try:
            return _Blocks(blocks)
        except ImportError:
            pass
    return zlib.compressobj(level or _USUAL["gzip"], zlib.DEFLATED, 31)


def zstd(level: int, threads: int, *, checksum: bool = False, size: int = -1) -> Any:
    """A compressor of one zstd frame, which names its content's ``size`` if that is given, and may have a checksum."""
    try:
        import zstandard
    except ImportError:
        raise NotSupported("this installation cannot write zstd", hint="pip install zstandard") from None
    packer = zstandard.ZstdCompressor(level=level, threads=threads, write_checksum=checksum)
    return packer.compressobj(size)


def quick() -> Any:
    """A compressor of one gzip member, for what must not take time: isal's, ten times as fast as zlib's fastest."""
    try:
        from isal import isal_zlib
    except ImportError:
        return zlib.compressobj(1, zlib.DEFLATED, 31)
    return isal_zlib.compressobj(1, isal_zlib.DEFLATED, 31)


def quickly(data: bytes | bytearray) -> bytes:
    """``data`` as one gzip member."""
    packer = quick()
    return b"".join((packer.compress(data), packer.flush()))


class _Blocks:
    """One gzip member (RFC 1952) whose data is compressed in blocks, each without a look at those before it.

    A block ends at a byte (an empty stored block, RFC 1951), so that they can be put one after the other.
    """

    def __init__(self, level: int) -> None:
        from isal import isal_zlib

        self._library = isal_zlib
        self._level = level
        self._most = min(len(os.sched_getaffinity(0)), _MOST)
        self._waiting: list[bytes | memoryview] = []
        self._room = _BLOCK
        self._at_work: deque[_Block] = deque()
        self._crc = self._size = 0
        self._begun = False

    def compress(self, piece: bytes) -> bytes:
        """What is ready of everything so far."""
        out = [self._head()]
        rest = memoryview(piece)
        while len(rest) >= self._room:
            self._waiting.append(rest[: self._room])
            rest = rest[self._room :]
            self._begin()
            if len(self._at_work) > self._most:
                out.append(self._at_work.popleft().result())
        if rest:
            self._waiting.append(rest)
            self._room -= len(rest)
        return b"".join(out)

    def flush(self) -> bytes:
        """The rest."""
        if self._waiting:
            self._begin()
        out = [self._head(), *[block.result() for block in self._at_work]]
        return b"".join([*out, _LAST_BLOCK, struct.pack("<II", self._crc, self._size & 0xFFFFFFFF)])

    def _head(self) -> bytes:
        begun, self._begun = self._begun, True
        return b"" if begun else _HEAD

    def _begin(self) -> None:
        data = b"".join(self._waiting)
        self._waiting, self._room = [], _BLOCK
        self._crc = self._library.crc32(data, self._crc)
        self._size += len(data)
        self._at_work.append(_Block(self._library, self._level, data))


class _Block:
    """One block, compressed in a thread of its own: the library lets go of the interpreter's lock."""

    def __init__(self, library: Any, level: int, data: bytes) -> None:
        self._library = library
        self._level = level
        self._data = data
        self._out = b""
        self._error: BaseException | None = None
        self._done = allocate_lock()  # nobody waits for it to have begun, as threading.Thread would
        self._done.acquire()
        start_new_thread(self._run, ())

    def _run(self) -> None:
        try:
            compressor = self._library.compressobj(self._level, wbits=-15)
            self._out = compressor.compress(self._data) + compressor.flush(self._library.Z_SYNC_FLUSH)
        except BaseException as error:
            self._error = error
        finally:
            self._done.release()

    def result(self) -> bytes:
        """Waits for it."""
        self._done.acquire()
        if self._error is not None:
            raise self._error
        return self._out
