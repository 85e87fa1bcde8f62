"""Blobs to tar bytes: gzip, zstd or plain, recognised by their first bytes.

The media type is a statement of whoever wrote the manifest; the bytes decide (containerd and Docker do the same), so
that a plain layer labelled gzip still unpacks, and the diff id decides whether it was the right one.
"""

from __future__ import annotations

import io
import zlib
from collections.abc import Callable
from typing import Any, Protocol

from wherry.errors import Corrupt, NotSupported
from wherry.record import Record

PIECE = 120 << 10
_COMPRESSED_PIECE = 64 << 10
_ZSTD_WINDOW = 128 << 20
_XZ_MEMORY = 256 << 20

_GZIP = b"\x1f\x8b"
_ZSTD = b"\x28\xb5\x2f\xfd"
_UNSUPPORTED = ((b"BZh", "bzip2"), (b"\xfd7zXZ\x00", "xz"), (b"\x04\x22\x4d\x18", "lz4"), (b"\x1f\x9d", "compress"))


class Readable(Protocol):
    """What a layer is read from: up to ``size`` bytes, and nothing only at the end."""

    def read(self, size: int, /) -> bytes: ...


class Limits(Record):
    """How far a blob may expand, in bytes: a bomb ends with an error and not with a full disk.

    Never more than ``size``; beyond ``floor``, no more than ``ratio`` times what was read.
    """

    size: int = 1 << 40
    floor: int = 4 << 30
    ratio: int = 256


class _Expanding(io.RawIOBase):
    """A readable stream over a decompressor; subclasses give `_step`."""

    def __init__(self, source: Readable, head: bytes, limits: Limits) -> None:
        super().__init__()
        self._source = source
        self._head = head
        self._limits = limits
        self._in = 0
        self._out = 0

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1, /) -> bytes:
        """Up to ``size`` bytes; ``b""`` only at the end.  Raises `Corrupt`."""
        if size is None or size < 0:
            return self.readall() or b""
        piece = self._step(size) if size else b""
        self._out += len(piece)
        limits = self._limits
        if self._out > limits.size or (self._out > limits.floor and self._out > self._in * limits.ratio):
            raise Corrupt(
                f"layer expands to more than {self._out:,} bytes from {self._in:,}: it looks like a decompression bomb"
            )
        return piece

    def readinto(self, buffer: Any, /) -> int:
        piece = self.read(len(buffer))
        buffer[: len(piece)] = piece
        return len(piece)

    def _fetch(self) -> bytes:
        """The next compressed bytes."""
        data, self._head = self._head, b""
        if not data:
            data = self._source.read(_COMPRESSED_PIECE)
        self._in += len(data)
        return data

    def _step(self, size: int) -> bytes:
        raise NotImplementedError


class _Plain(_Expanding):
    def _step(self, size: int) -> bytes:
        if self._head:
            return self._fetch()
        piece = self._source.read(size)
        self._in += len(piece)
        return piece


def _inflater() -> Callable[[], Any]:
    """A maker of gzip decompressors: isal's, which is three times as fast, or zlib's."""
    try:
        from isal import isal_zlib
    except ImportError:
        return lambda: zlib.decompressobj(31)
    return lambda: isal_zlib.decompressobj(31)


class _Gzip(_Expanding):
    """gzip (RFC 1952): any number of members, zero bytes as padding after the last."""

    def __init__(self, source: Readable, head: bytes, limits: Limits) -> None:
        super().__init__(source, head, limits)
        self._make = _inflater()
        self._member: Any = self._make()
        self._pending = b""
        self._ended = False

    def _step(self, size: int) -> bytes:
        while not self._ended:
            if self._member is None and not self._next_member():
                break
            data = self._pending or self._fetch()
            try:
                piece: bytes = self._member.decompress(data, size)
            except Exception as error:  # zlib.error and isal's own class
                raise Corrupt(f"layer is not valid gzip data: {error}") from None
            if self._member.eof:
                self._pending = self._member.unused_data
                self._member = None
            else:
                self._pending = self._member.unconsumed_tail
                if not data and not piece:
                    raise Corrupt("layer is cut short: unexpected end of gzip data")
            if piece:
                return piece
        return b""

    def _next_member(self) -> bool:
        """Whether another member follows the one that ended."""
        while len(self._pending) < 2 or not self._pending.strip(b"\0"):
            self._pending = self._pending.lstrip(b"\0")
            more = self._fetch()
            if not more:
                break
            self._pending += more
        self._pending = self._pending.lstrip(b"\0")
        if not self._pending:
            self._ended = True
            return False
        if not self._pending.startswith(_GZIP):
            raise Corrupt("layer has bytes after the end of its gzip data")
        self._member = self._make()
        return True


class _Feed:
    """The compressed bytes of a blob, as the zstd reader asks for them."""

    def __init__(self, fetch: Callable[[], bytes]) -> None:
        self._fetch = fetch

    def read(self, _size: int) -> bytes:
        return self._fetch()


class _Zstd(_Expanding):
    """Zstandard (RFC 8878): any number of frames, skippable ones between them (zstd:chunked has those).

    A frame that is cut short just ends; the tar reader or the diff id notices.
    """

    def __init__(self, source: Readable, head: bytes, limits: Limits) -> None:
        super().__init__(source, head, limits)
        try:
            import zstandard
        except ImportError:
            raise NotSupported(
                "layer is compressed with zstd, which this installation cannot read", hint="pip install zstandard"
            ) from None
        self._error = zstandard.ZstdError
        decompressor = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW)
        feed: Any = _Feed(self._fetch)
        self._reader = decompressor.stream_reader(feed, read_size=_COMPRESSED_PIECE, read_across_frames=True)

    def _step(self, size: int) -> bytes:
        try:
            return self._reader.read1(size)
        except self._error as error:
            raise Corrupt(f"layer is not valid zstd data: {error}") from None


class _Stdlib(_Expanding):
    """bzip2 or xz, by the standard library: any number of streams, zero bytes as padding after the last."""

    def __init__(self, source: Readable, head: bytes, limits: Limits, make: Callable[[], Any], name: str) -> None:
        super().__init__(source, head, limits)
        self._make = make
        self._stream: Any = make()
        self._name = name

    def _step(self, size: int) -> bytes:
        while True:
            data = b""
            if self._stream.eof:
                data = self._stream.unused_data or self._fetch()
                while data and not data.strip(b"\0"):
                    data = self._fetch()
                if not data:
                    return b""
                data, self._stream = data.lstrip(b"\0"), self._make()
            elif self._stream.needs_input:
                data = self._fetch()
                if not data:
                    raise Corrupt(f"layer is cut short: unexpected end of {self._name} data")
            try:
                piece: bytes = self._stream.decompress(data, size)
            except Exception as error:  # OSError, lzma.LZMAError
                raise Corrupt(f"layer is not valid {self._name} data: {error}") from None
            if piece:
                return piece


def _no_library(name: str) -> NotSupported:
    return NotSupported(f"archive is compressed with {name}, and this Python was built without that library")


def _bzip2(stream: Readable, head: bytes, limits: Limits) -> _Stdlib:
    try:
        import bz2
    except ImportError:
        raise _no_library("bzip2") from None
    return _Stdlib(stream, head, limits, bz2.BZ2Decompressor, "bzip2")


def _xz(stream: Readable, head: bytes, limits: Limits) -> _Stdlib:
    try:
        import lzma
    except ImportError:
        raise _no_library("xz") from None
    return _Stdlib(
        stream, head, limits, lambda: lzma.LZMADecompressor(format=lzma.FORMAT_XZ, memlimit=_XZ_MEMORY), "xz"
    )


_STDLIB = ((b"BZh", _bzip2), (b"\xfd7zXZ\x00", _xz))


def reader(
    stream: Readable, media_type: str = "", limits: Limits | None = None, *, archive: bool = False
) -> io.RawIOBase:
    """The tar bytes of ``stream``, decompressed as they are read, by libraries of this process alone.

    ``media_type`` is used for the error message only.  With ``archive`` also bzip2 and xz, which no layer uses.
    Raises `Corrupt` for damaged, cut or bomb-like data and `NotSupported` for a compression that is not understood;
    errors of ``stream`` pass through.
    """
    head = b""
    while len(head) < 6:
        more = stream.read(_COMPRESSED_PIECE)
        if not more:
            break
        head += more
    limits = limits or Limits()
    if head.startswith(_GZIP):
        return _Gzip(stream, head, limits)
    if head.startswith(_ZSTD) or (head[1:4] == b"\x2a\x4d\x18" and 0x50 <= head[0] <= 0x5F):
        return _Zstd(stream, head, limits)
    for magic, make in _STDLIB if archive else ():
        if head.startswith(magic):
            return make(stream, head, limits)
    for magic, name in _UNSUPPORTED:
        if head.startswith(magic):
            described = f" ({media_type})" if media_type else ""
            raise NotSupported(
                f"layer is compressed with {name}{described}: only gzip, zstd and plain tar are supported"
            )
    return _Plain(stream, head, limits)
