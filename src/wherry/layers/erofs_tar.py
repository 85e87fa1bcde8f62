"""A layer's tar in two files: the content of its files, which containers read, and all else, which takes little.

tar      each file's content, from a block of 512 bytes on, in the order of the tar: a device of EROFS images
heads    gzip of everything else (headers, and the zeros at the end), in pieces: two numbers (`_FRAME`), so many bytes
         of this file, and then so many that follow in ``tar``

Both together are the tar, byte for byte.  A layer of earlier versions has no ``heads``: its ``tar`` is the whole.
"""

from __future__ import annotations

import io
import os
import struct

from wherry.errors import Corrupt
from wherry.layers import compress, compression
from wherry.layers.source import Source

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wherry.layers.compression import Readable

_FRAME = struct.Struct("<IQ")
_MOST = 64 << 10
#: Content is written in so much at a time, from multiples of that: less costs the kernel more.
_UNIT = 256 << 10
_AT_ONCE = 1000  # writev(2) takes 1024
#: Zeros at the end of a tar become nearly nothing, however many.
_LIMITS = compression.Limits(size=1 << 50, floor=1 << 50)


class Split(Source):
    """The tar ``stream``, taken apart while it is read: into the empty files ``parts``, (tar, heads), unless they have
    been written (None).

    What is skipped is content: readers of a tar take everything else.  Raises OSError when a file cannot be written.
    """

    def __init__(self, stream: Readable, parts: tuple[int, int] | None) -> None:
        self._parts = parts
        self._content = self._written = self._run = self._length = self._waiting = 0
        self._views: list[memoryview] = []
        self._heads: list[bytes] = []
        self._frames: list[bytes] = []
        self._packer = compress.quick()
        super().__init__(stream)

    def block(self) -> bytes:
        """See `Source`."""
        start = self._position
        stop = start + 512
        if stop > self._end:
            return self.take(512, or_end=True)
        self._position = stop
        found = self._piece[start:stop]
        self._keep(found)
        return found

    def take(self, size: int, *, or_end: bool = False) -> bytes:
        """See `Source`."""
        found = super().take(size, or_end=or_end)
        self._keep(found)
        return found

    def skip(self, size: int) -> None:
        """See `Source`; this is what goes to the first file."""
        self._run += size
        while size:
            part = self._view[self._position : self._position + size]
            if part:
                self._views.append(part)
                self._position += len(part)
                self._content += len(part)
                size -= len(part)
            elif not self._advance():
                raise Corrupt("layer is cut short: unexpected end of the tar stream")

    def finish(self) -> None:
        """See `Source`; both files are complete then.  Zeros are kept as heads, anything else as content: there is no
        limit to it."""
        while True:
            rest = self._piece[self._position : self._end]
            if rest.count(0) == len(rest):
                self._position = self._end
                self._keep(rest)
            else:
                self.skip(len(rest))
            if not self._advance():
                break
        super().finish()
        self._write_content(self._content)
        self._frame()
        self._write_heads(last=True)

    @property
    def content(self) -> int:
        """See `Source`."""
        return self._content

    def _advance(self) -> bool:
        if self._content - self._written >= _UNIT:
            self._write_content(self._content // _UNIT * _UNIT)
        return super()._advance()

    def _write_content(self, end: int) -> None:
        """What waits of the content before ``end``."""
        views, self._views = self._views, []
        self._written = end
        after = self._content - end
        while after:
            view = views.pop()
            self._views.insert(0, view[-after:])
            if after < len(view):
                views.append(view[:-after])
            after -= min(after, len(view))
        if self._parts is not None:
            _write(self._parts[0], views)

    def _keep(self, head: bytes) -> None:
        if self._run or self._length > _MOST:
            self._frame()
        self._heads.append(head)
        self._length += len(head)

    def _frame(self) -> None:
        self._frames += (_FRAME.pack(self._length, self._run), *self._heads)
        self._waiting += self._length
        self._heads.clear()
        self._length = self._run = 0
        if self._waiting > _MOST:
            self._write_heads()

    def _write_heads(self, *, last: bool = False) -> None:
        if self._parts is not None:
            packed = self._packer.compress(b"".join(self._frames))
            if last:
                packed += self._packer.flush()
            if packed:
                _write(self._parts[1], [memoryview(packed)])
        self._frames.clear()
        self._waiting = 0


def _write(fd: int, views: list[memoryview]) -> None:
    for at in range(0, len(views), _AT_ONCE):
        part = views[at : at + _AT_ONCE]
        left = sum(map(len, part)) - os.writev(fd, part)
        if left:
            rest = memoryview(b"".join(part))[-left:]
            while rest:
                rest = rest[os.write(fd, rest) :]


class Tar:
    """The tar of the files ``tar`` and ``heads`` (None: ``tar`` is the whole, of ``size`` bytes), from its beginning.

    The descriptors stay the caller's; any number of these can read them.
    """

    def __init__(self, tar: int, heads: int | None, size: int = 0) -> None:
        self._tar = tar
        self._at = 0
        self._left = size
        self._head = 0
        self._heads = None
        if heads is not None:
            self._left = 0
            self._heads = io.BufferedReader(compression.reader(_File(heads), limits=_LIMITS), _MOST)

    def read(self, size: int, /) -> bytes:
        """The next ``size`` bytes, fewer only at the end.  Raises `Corrupt` where the files do not fit, and OSError."""
        parts = []
        while size:
            piece = self._some(size)
            if not piece:
                break
            parts.append(piece)
            size -= len(piece)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _some(self, size: int) -> bytes:
        while not self._head and not self._left:
            if self._heads is None or not (frame := self._heads.read(_FRAME.size)):
                return b""
            if len(frame) < _FRAME.size:
                raise Corrupt("a layer's tar is damaged")
            self._head, self._left = _FRAME.unpack(frame)
        if self._head:
            assert self._heads is not None
            piece = self._heads.read(min(size, self._head))
            self._head -= len(piece)
        else:
            piece = os.pread(self._tar, min(size, self._left), self._at)
            self._at += len(piece)
            self._left -= len(piece)
        if not piece:
            raise Corrupt("a layer's tar is cut short")
        return piece


class _File:
    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._at = 0

    def read(self, size: int, /) -> bytes:
        piece = os.pread(self._fd, size, self._at)
        self._at += len(piece)
        return piece
