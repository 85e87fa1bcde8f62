"""HTTP/1.1 over a socket (RFC 9112), for a client of one engine.

``http.client`` takes longer to import than the rest of a short command, for a parser of e-mail's headers.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from _socket import socket
    from collections.abc import Iterable, Mapping

CHUNK = 64 << 10
_MOST_HEAD = 64 << 10
_MOST_LINE = 4 << 10  # of a chunk's size, and of a trailer
_WITHOUT_BODY = (204, 304)
_UNRESERVED = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")


class Broken(Exception):
    """What comes is not HTTP, or ends too early; says so, or nothing when the connection was closed."""


def quote(text: str, safe: str = "/") -> str:
    """Percent-encoded, but for what is unreserved (RFC 3986, section 2.3) and ``safe``."""
    kept = _UNRESERVED.union(safe.encode())
    return "".join([chr(byte) if byte in kept else f"%{byte:02X}" for byte in text.encode()])


def send(
    one: socket, method: str, target: str, headers: Mapping[str, str], body: bytes | Iterable[bytes] | None
) -> None:
    """A request; a body that is not all here is sent in chunks.  Raises OSError, and ValueError for a header of two
    lines."""
    lines = [f"{name}: {value}" for name, value in headers.items()]
    if any("\r" in line or "\n" in line for line in (target, *lines)):
        raise ValueError(f"a header cannot have two lines: {target}")
    if isinstance(body, bytes) or (body is None and method in ("POST", "PUT")):
        lines.append(f"Content-Length: {len(body or b'')}")
    elif body is not None:
        lines.append("Transfer-Encoding: chunked")
    head = "\r\n".join([f"{method} {target} HTTP/1.1", *lines, "", ""]).encode("latin-1")
    if body is None or isinstance(body, bytes):
        one.sendall(head + (body or b""))
        return
    one.sendall(head)
    for piece in body:
        if piece:
            one.sendall(b"%x\r\n%b\r\n" % (len(piece), piece))
    one.sendall(b"0\r\n\r\n")


def head(one: socket) -> tuple[int, dict[str, str], bytes]:
    """Status and headers of an answer, their names in lower case, and what came behind them.

    Raises OSError and `Broken`.
    """
    found = bytearray()
    while b"\r\n\r\n" not in found:
        piece = one.recv(CHUNK)
        if not piece or len(found) > _MOST_HEAD:
            raise Broken("" if not piece else "the answer is not HTTP")
        found += piece
    text, _blank, rest = bytes(found).partition(b"\r\n\r\n")
    first, *lines = text.decode("latin-1").split("\r\n")
    words = first.split(None, 2)
    if len(words) < 2 or not words[0].startswith("HTTP/1.") or not (words[1].isascii() and words[1].isdigit()):
        raise Broken("the answer is not HTTP")
    pairs = [line.partition(":") for line in lines]
    return int(words[1]), {name.strip().lower(): value.strip() for name, _colon, value in pairs}, rest


class Response:
    """The answer to a request that was sent on ``one``.  Everything raises OSError and `Broken`."""

    def __init__(self, one: socket, method: str) -> None:
        self._socket = one
        self.status, self.headers, self._rest = head(one)
        while 100 <= self.status < 200:
            self.status, self.headers, self._rest = self._next_head()
        self._chunked = self.headers.get("transfer-encoding", "").lower() == "chunked"
        length = self.headers.get("content-length", "")
        self._left = int(length) if length.isascii() and length.isdigit() and not self._chunked else -1
        self._first = True
        self.whole = False
        """Whether all of it has been read."""
        if method == "HEAD" or self.status in _WITHOUT_BODY or self._left == 0:
            self.whole = True
        self.closes = self.headers.get("connection", "").lower() == "close" or (not self._chunked and length == "")
        """Whether the connection is of no more use after it."""

    def _next_head(self) -> tuple[int, dict[str, str], bytes]:
        return head(_Before(self._rest, self._socket))  # type: ignore[arg-type]

    def read(self, size: int) -> bytes:
        """Some bytes of the body, as they come; b"" at the end."""
        if self.whole:
            return b""
        if self._chunked and self._left <= 0 and not self._next_chunk():
            self.whole = True
            return b""
        found = self._some(size if self._left < 0 else min(size, self._left))
        if not found:
            if self._left > 0:
                raise Broken("")
            self.whole = True
        if self._left > 0:
            self._left -= len(found)
            self.whole = self._left == 0 and not self._chunked
        return found

    def read_all(self, most: int) -> bytes:
        """What there is, up to about ``most`` bytes."""
        found = bytearray()
        while len(found) < most and (piece := self.read(CHUNK)):
            found += piece
        return bytes(found)

    def _next_chunk(self) -> bool:
        """Go on to the next chunk; whether there is one (RFC 9112, section 7.1)."""
        if not self._first and self._line():
            raise Broken("a chunk is longer than it says")
        self._first = False
        try:
            self._left = int(self._line().partition(b";")[0].strip(), 16)
        except ValueError:
            raise Broken("the answer is not HTTP") from None
        if self._left < 0:
            raise Broken("the answer is not HTTP")
        while not self._left and self._line():  # what follows the last one
            continue
        return self._left > 0

    def _line(self) -> bytes:
        while b"\n" not in self._rest:
            piece = self._socket.recv(CHUNK)
            if not piece or len(self._rest) > _MOST_LINE:
                raise Broken("")
            self._rest += piece
        line, _end, self._rest = self._rest.partition(b"\n")
        return line.rstrip(b"\r")

    def _some(self, size: int) -> bytes:
        if not self._rest:
            return self._socket.recv(size)
        found, self._rest = self._rest[:size], self._rest[size:]
        return found


class _Before:
    """Bytes that have come, before a socket's."""

    def __init__(self, came: bytes, one: socket) -> None:
        self._came = came
        self._socket = one

    def recv(self, size: int) -> bytes:
        """As a socket's."""
        found, self._came = self._came, b""
        return found or self._socket.recv(size)
