"""One blob as a stream that begins where it was asked to, whatever the server makes of the wish."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Self

from wherry.errors import Corrupt
from wherry.oci.manifest import Descriptor
from wherry.registry.failures import Transient, printable
from wherry.registry.transport import Response

PIECE = 256 << 10
"""Bytes that are read at a time: larger pieces are not faster."""


class Blob:
    """The bytes of a blob from ``offset`` to its end; a context manager.

    Its size is checked on the way, its digest is not: that is for who has all of it.
    """

    def __init__(self, response: Response, descriptor: Descriptor, offset: int) -> None:
        self._response = response
        self._descriptor = descriptor
        self.offset = offset

    def read(self, amount: int = PIECE) -> bytes:
        """The next bytes, at most ``amount``, as soon as there are any; empty at the end of the blob.

        Raises `Transient` when the connection breaks, stalls or ends too early, `Corrupt` when there is too much.
        """
        left = self._descriptor.size - self.offset
        data = self._response.read(min(max(amount, 1), left) if left else 1)
        if not left:
            if data:
                self.close()
                raise Corrupt(f"blob {self._descriptor.digest} is longer than {self._descriptor.size} bytes")
            return b""
        if not data:
            self.close()
            raise Transient(f"blob {self._descriptor.digest}: unexpected EOF, {left} bytes are missing")
        self.offset += len(data)
        return data

    def skip(self, offset: int) -> None:
        """Reads on to ``offset`` and throws away what is before it."""
        while self.offset < offset:
            self.read(min(PIECE, offset - self.offset))

    def close(self) -> None:
        """Ends it; the connection is used again only if the blob was read to its end."""
        self._response.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.close()


def open_blob(ask: Callable[[dict[str, str]], Response], descriptor: Descriptor, offset: int) -> Blob:
    """The blob at ``offset``.  ``ask`` sends the request with the given headers and returns a 200, 206 or 416.

    A server that ignores the range (200) is read from the start up to ``offset``; one that answers with another range
    than asked for, or refuses it (416), is asked again without (RFC 9110, 14).  Raises `Corrupt` when the announced
    length is not that of the descriptor.
    """
    if not 0 <= offset < descriptor.size:
        offset = 0
    if offset:
        response = ask({"Range": f"bytes={offset}-{descriptor.size - 1}"})
        if response.status == 206 and _is_range(response, offset, descriptor):
            return Blob(response, descriptor, offset)
        if response.status != 200:
            response.close()
            response = ask({})
    else:
        response = ask({})
    if response.status != 200:
        response.close()
        raise Transient(f"blob {descriptor.digest}: received HTTP status {response.status} without asking for a range")
    if response.length is not None and response.length != descriptor.size:
        response.close()
        encoding = response.headers.get("content-encoding", "")
        encoded = f", encoded as {printable(encoding, 20)!r}" if encoding else ""
        raise Corrupt(
            f"blob {descriptor.digest} has {response.length} bytes{encoded}; the manifest says {descriptor.size}"
        )
    blob = Blob(response, descriptor, 0)
    blob.skip(offset)
    return blob


def _is_range(response: Response, offset: int, descriptor: Descriptor) -> bool:
    unit, _, rest = response.headers.get("content-range", "").strip().partition(" ")
    span, _, total = rest.partition("/")
    good = (
        unit.lower() == "bytes" and span == f"{offset}-{descriptor.size - 1}" and total in ("*", f"{descriptor.size}")
    )
    return good and response.length in (None, descriptor.size - offset)
