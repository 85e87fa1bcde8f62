"""An answer that is still true is given again, without asking the engine (docs/decisions/0195-answers-given-again.md).

What ``inspect`` and ``ps`` show is in the database, and SQLite tells whether anybody has written to it since (``PRAGMA
data_version``).  What they show from elsewhere, above all that a monitor lives, an answer names, and that is looked at
each time.  Who asks in other words, or in pieces, gets a new answer from aiohttp, as does who asks for anything else.
"""

from __future__ import annotations

import asyncio
import re
import time

from aiohttp.helpers import rfc822_formatted_time

from wherry.errors import WherryError
from wherry.record import Record
from wherry.store.db import Database

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from aiohttp import web

    from wherry.api.context import Api

    Stamp = tuple[Any, int]

_MOST = 8 << 20  # bytes of answers
_SECONDS = 60  # that an answer may be old: by then aiohttp is to see that its client is still there
_OTHER_BODY = re.compile(rb"\r\n(?:transfer-encoding|expect|upgrade)[ \t]*:", re.IGNORECASE)
_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*([^\r]*)\r\n", re.IGNORECASE)


class Truth(Record):
    """What an answer rests on besides the database: functions, what they are given and what they gave; and until when
    its words about time are right (epoch nanoseconds, 0: always)."""

    checks: tuple[tuple[Callable[[Any], Any], Any, Any], ...] = ()
    until: int = 0


class _Answer(Record):
    head: bytes
    body: bytes
    truth: Truth
    began: int
    until: int

    def holds(self) -> bool:
        """Whether it would be the same now, as far as the database does not tell."""
        return self.began <= time.time_ns() < self.until and all(
            function(given) == found for function, given, found in self.truth.checks
        )


class Again:
    """The answers, by the bytes of their requests; used by the event loop alone.

    The connection to the database is for this one question: what other connections write, it notices.
    """

    def __init__(self, path: str) -> None:
        self._db = Database(path)
        self._answers: dict[bytes, _Answer] = {}
        self._stamp: Stamp | None = None
        self._size = self._changes = 0

    def changed(self) -> None:
        """Something has that answers show and the database does not have (yet)."""
        self._changes += 1

    def now(self) -> Stamp | None:
        """Equal to what it was when nothing was changed in between; None when the database does not say."""
        try:
            return self._db.row("PRAGMA data_version"), self._changes
        except WherryError:
            return None

    def remember(self, request: web.Request, stamp: Stamp | None, truth: Truth) -> None:
        """The answer to this request, made after ``stamp``, is worth keeping."""
        first = _first(request)
        if first is not None:
            first.worth = stamp, truth

    def keep(self, request: web.Request, response: web.StreamResponse) -> None:
        """Keep an answer that is about to be sent, if it was remembered and is still true."""
        first = _first(request)
        if first is None or first.worth is None or not first.asked:
            return
        stamp, truth = first.worth
        if stamp is None or stamp != self.now():
            return
        body = getattr(response, "body", None)
        if not isinstance(body, bytes) or response.status != 200 or not response.keep_alive:
            return
        if stamp != self._stamp or self._size > _MOST:
            self._answers.clear()
            self._stamp, self._size = stamp, 0
        lines = [f"{name}: {value}\r\n" for name, value in response.headers.items() if name != "Date"]
        head = f"HTTP/1.1 200 OK\r\n{''.join(lines)}Date: ".encode()
        began = time.time_ns()
        limit = began + _SECONDS * 1_000_000_000
        until = min(truth.until or limit, limit)
        body = b"" if request.method == "HEAD" else body
        self._answers[first.asked] = _Answer(head, body, truth, began, until)
        self._size += len(first.asked) + len(head) + len(body)

    def give(self, asked: bytes) -> bytes:
        """The answer to the request, or b""."""
        answer = self._answers.get(asked)
        if answer is None or self._stamp != self.now() or not answer.holds():
            return b""
        return answer.head + rfc822_formatted_time().encode() + b"\r\n\r\n" + answer.body


class First(asyncio.Protocol):
    """Sees what comes on a unix socket before aiohttp's ``handler`` does, and answers it if it can.

    That is only right between two requests: while everything came as one request at a time.  ``asked`` is the request
    that aiohttp is at, b"" when that is not known; ``worth`` is what makes its answer worth keeping.
    """

    def __init__(self, api: Api, handler: Any) -> None:
        self.asked = b""
        self.worth: tuple[Stamp | None, Truth] | None = None
        self._api = api
        self._handler = handler
        self._between = True
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Somebody has connected."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._handler.connection_made(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """The client has gone."""
        self._handler.connection_lost(exc)

    def eof_received(self) -> None:
        """The client has said all."""
        self._handler.eof_received()

    def pause_writing(self) -> None:
        """The client does not keep up."""
        self._handler.pause_writing()

    def resume_writing(self) -> None:
        """It does again."""
        self._handler.resume_writing()

    def data_received(self, data: bytes) -> None:
        """Answer, or pass it on."""
        waiting = getattr(self._handler, "_waiter", None)  # for the next request
        idle = self._between and waiting is not None and not waiting.done()
        if idle and not self._transport.get_write_buffer_size() and (answer := self._api.again.give(data)):
            self._transport.write(answer)
            self._api.used()
            return
        self._between = self._between and is_whole(data)
        self.asked, self.worth = data if idle and self._between else b"", None
        self._handler.data_received(data)


def _first(request: web.Request) -> First | None:
    transport = request.transport
    found: Any = transport.get_protocol() if isinstance(transport, asyncio.Transport) else None
    return found if isinstance(found, First) else None


def is_whole(data: bytes) -> bool:
    """Whether these bytes are one request from its beginning to its end (RFC 9112, section 6)."""
    end = data.find(b"\r\n\r\n") + 4
    if end < 4 or _OTHER_BODY.search(data, 0, end):
        return False
    length = _LENGTH.search(data, 0, end - 2)
    size = length[1].rstrip() if length else b"0"
    return size.isdigit() and len(size) < 10 and len(data) == end + int(size)
