"""Compressing a layer's tar: gzip or zstd, the same bytes for the same tar, level and version of the library.

A gzip header carries no time and no name.  Without a level gzip is isal's third, twelve times as fast as zlib's sixth
for a ninth more bytes (of Debian's Python and C libraries); a level asked for is zlib's.
"""

from __future__ import annotations

import zlib

from wherry.errors import InvalidArgument, NotSupported

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from wherry.layers.compression import Readable

KINDS = ("gzip", "zstd")
_LEVELS = {"gzip": (1, 9), "zstd": (1, 22)}
_USUAL = {"gzip": 6, "zstd": 3}
_PIECE = 1 << 20


def check(kind: str, level: int | None) -> None:
    """Raises `InvalidArgument` for a compression or a level that does not exist."""
    if kind not in KINDS:
        raise InvalidArgument(f"unknown compression {kind!r}", hint=f"it is one of {', '.join(KINDS)}")
    least, most = _LEVELS[kind]
    if level is not None and not least <= level <= most:
        raise InvalidArgument(f"compression level {level}: {kind} has {least} to {most}")


class Compressed:
    """A `Readable` of ``source`` compressed."""

    def __init__(self, source: Readable, kind: str = "gzip", level: int | None = None) -> None:
        check(kind, level)
        self._source = source
        self._compressor = _compressor(kind, level)
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


def _compressor(kind: str, level: int | None) -> Any:
    if kind == "zstd":
        try:
            import zstandard
        except ImportError:
            raise NotSupported("this installation cannot write zstd", hint="pip install zstandard") from None
        return zstandard.ZstdCompressor(level=level or _USUAL["zstd"], threads=2).compressobj()
    if level is None:
        try:
            from isal import isal_zlib

            return isal_zlib.compressobj(3, wbits=31)
        except ImportError:
            pass
    return zlib.compressobj(level or _USUAL["gzip"], zlib.DEFLATED, 31)
