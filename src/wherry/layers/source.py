"""Tar bytes from a stream, read ahead in a helper thread, with their digest.

Reading the network, decompressing and hashing all release the interpreter lock, so a second thread does them while
the first one makes files.  At most `_AHEAD` pieces wait in between, so memory stays flat however slow the disk is.
"""

from __future__ import annotations

import hashlib
import os
import threading
from queue import SimpleQueue

from wherry.errors import Corrupt
from wherry.layers.compression import PIECE, Readable

_AHEAD = 16


class Source:
    """The bytes of ``stream`` in order; close it, or use it as a context manager.

    Errors that reading raises are raised from the call that needed the bytes.  `digest` and `size` are those of all
    bytes of the stream once `finish` has returned.
    """

    def __init__(self, stream: Readable) -> None:
        self._stream = stream
        self._hash = hashlib.sha256()
        self._size = 0
        self._view = memoryview(b"")
        self._piece = b""
        self._passed = 0
        self._position = 0
        self._end = 0
        self._done = False
        self._stop = False
        self._pieces: SimpleQueue[bytes | BaseException] = SimpleQueue()
        self._room: SimpleQueue[None] = SimpleQueue()
        for _ in range(_AHEAD):
            self._room.put(None)
        self._thread = threading.Thread(target=self._pump, name="layer-reader", daemon=True)
        self._thread.start()

    def __enter__(self) -> Source:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop reading ahead.  A read that is under way ends by itself; its bytes are dropped."""
        self._stop = True
        self._room.put(None)
        if self._done:
            self._thread.join()

    def _pump(self) -> None:
        read, update = self._stream.read, self._hash.update
        try:
            while True:
                self._room.get()
                if self._stop:
                    return
                piece = read(PIECE)
                update(piece)
                self._size += len(piece)
                self._pieces.put(piece)
                if not piece:
                    return
        except BaseException as error:
            self._pieces.put(error)

    def _advance(self) -> bool:
        """Take the next piece; False at the end of the stream."""
        if self._done:
            return False
        piece = self._pieces.get()
        if isinstance(piece, BaseException):
            self._done = True
            raise piece
        self._room.put(None)
        self._passed += self._end
        self._piece, self._view = piece, memoryview(piece)
        self._position, self._end = 0, len(piece)
        if not piece:
            self._done = True
            return False
        return True

    def block(self) -> bytes:
        """The next 512 bytes, or ``b""`` at the end of the stream.  Raises `Corrupt` when there are fewer."""
        start = self._position
        stop = start + 512
        if stop <= self._end:
            self._position = stop
            return self._piece[start:stop]
        return self.take(512, or_end=True)

    def take(self, size: int, *, or_end: bool = False) -> bytes:
        """The next ``size`` bytes in memory.  Raises `Corrupt` when there are fewer (``or_end``: none is fine)."""
        parts = []
        missing = size
        while missing:
            if self._position == self._end and not self._advance():
                if or_end and missing == size:
                    return b""
                raise Corrupt("layer is cut short: unexpected end of the tar stream")
            part = self._piece[self._position : self._position + missing]
            self._position += len(part)
            missing -= len(part)
            parts.append(part)
        return b"".join(parts)

    def skip(self, size: int) -> None:
        """Drop ``size`` bytes.  Raises `Corrupt` when there are fewer."""
        while size:
            available = self._end - self._position
            if available >= size:
                self._position += size
                return
            size -= available
            if not self._advance():
                raise Corrupt("layer is cut short: unexpected end of the tar stream")

    def copy(self, descriptor: int, size: int) -> None:
        """Write the next ``size`` bytes to a file.  Raises `Corrupt` when there are fewer, and OSError."""
        write = os.write
        while size:
            start = self._position
            stop = min(start + size, self._end)
            if start == stop:
                if not self._advance():
                    raise Corrupt("layer is cut short: unexpected end of the tar stream")
                continue
            written = write(descriptor, self._view[start:stop])
            self._position = start + written
            size -= written

    def finish(self) -> None:
        """Read to the end of the stream, whatever is there."""
        while self._advance():
            pass
        self._thread.join()

    @property
    def position(self) -> int:
        """Bytes of the stream that were taken."""
        return self._passed + self._position

    @property
    def content(self) -> int:
        """Where the content that begins here is, in the file that is made of the stream: of the whole of it, here."""
        return self.position

    @property
    def digest(self) -> str:
        """``sha256:<hex>`` of all bytes read ahead so far; of the whole stream after `finish`."""
        return "sha256:" + self._hash.hexdigest()

    @property
    def size(self) -> int:
        """Bytes of the stream, like `digest`."""
        return self._size
