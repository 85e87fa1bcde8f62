"""HTTP answers, whole and broken, in pieces of every size."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from urllib.parse import unquote

import pytest

from wherry.client import wire
from wherry.client.wire import Broken, Response

DIGITS = b"0123456789"


def answer(data: bytes, *, method: str = "GET", step: int = 1 << 16) -> Response:
    ours, theirs = socket.socketpair()
    ours.settimeout(10)

    def tell() -> None:
        with theirs:
            for at in range(0, len(data), step):
                theirs.sendall(data[at : at + step])

    threading.Thread(target=tell, daemon=True).start()
    return Response(ours, method)


@pytest.mark.parametrize("step", [1, 3, 1 << 16])
@pytest.mark.parametrize(
    ("data", "body", "closes"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", b"hello", False),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", b"", False),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2;x=y\r\nlo\r\n0\r\n\r\n", b"hello", False),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nA\r\n0123456789\r\n0\r\nEnd: x\r\n\r\n", DIGITS, False),
        (b"HTTP/1.1 200 OK\r\n\r\nhello", b"hello", True),
        (b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nhi", b"hi", True),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", b"hi", False),
    ],
)  # fmt: skip
def test_bodies(data: bytes, body: bytes, closes: bool, step: int) -> None:
    found = answer(data, step=step)
    assert (found.status, found.read_all(100), found.whole, found.closes) == (200, body, True, closes)
    assert found.read(10) == b""


def test_an_answer_without_a_body_is_whole() -> None:
    found = answer(b"HTTP/1.1 204 No Content\r\nApi-Version: 1.50\r\nContent-Length: 0\r\n\r\n")
    assert found.whole and found.headers["api-version"] == "1.50"
    assert answer(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", method="HEAD").whole


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"SSH-2.0-OpenSSH\r\n\r\n",
        b"HTTP/1.1 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhell",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhello\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-4\r\nhell\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\nhello\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * (200 << 10),
    ],
)
def test_what_is_broken_is_said_to_be(data: bytes) -> None:
    with pytest.raises((Broken, ConnectionResetError)):
        answer(data).read_all(1 << 20)


def test_requests() -> None:
    def pieces() -> Iterator[bytes]:
        yield from (b"one", b"", b"two" * 4)

    ours, theirs = socket.socketpair()
    with ours, theirs:
        for body in (None, b"ab", pieces()):
            wire.send(ours, "POST", "/x", {"Host": "h"}, body)
        found = theirs.recv(1 << 16)
    first = b"POST /x HTTP/1.1\r\nHost: h\r\n"
    assert found == (
        first + b"Content-Length: 0\r\n\r\n" + first + b"Content-Length: 2\r\n\r\nab"
        + first + b"Transfer-Encoding: chunked\r\n\r\n3\r\none\r\nc\r\ntwotwotwotwo\r\n0\r\n\r\n"
    )  # fmt: skip
    with pytest.raises(ValueError, match="two lines"):
        wire.send(ours, "GET", "/x", {"Host": "h\r\nX: y"}, None)


def test_quoted_words_come_back() -> None:
    text = "".join(map(chr, range(1, 256))) + "日本"
    for safe in ("", "/"):
        assert unquote(wire.quote(text, safe)) == text
        assert not set(wire.quote(text, safe)) & set(" \r\n?#&+=")
