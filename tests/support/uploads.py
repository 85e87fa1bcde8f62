"""Uploads for `support.faulty.Faulty`: sessions, chunks and mounts as the specification has them; and faults.

::

    with Faulty() as server:
        uploads = Uploads(server)
        uploads.faults = [cut(100_000), status(503), honest]   # of the requests that carry a blob, one after the other
        uploads.has["other"] = {digest}                        # blobs of other repositories, to be mounted
"""

from __future__ import annotations

import itertools
import urllib.parse
from collections.abc import Callable

from support.faulty import Exchange, Faulty, sha256

Fault = Callable[["Uploads", Exchange, bytearray], bool]


class Uploads:
    """Sessions of one server.  ``places`` says where a session is: by default a path of the server itself."""

    def __init__(self, server: Faulty) -> None:
        self.server = server
        self.sessions: dict[str, bytearray] = {}
        self._numbers = itertools.count()
        self.faults: list[Fault] = []
        self.has: dict[str, set[str]] = {}
        self.locations: Callable[[str], str] = lambda session: f"/v2/x/blobs/uploads/{session}?state=1"
        self.received = 0
        server.early = self._read
        server.routes.append(self._route)

    def _session(self, exchange: Exchange) -> str:
        return urllib.parse.urlsplit(exchange.path).path.rpartition("/")[2]

    def _read(self, exchange: Exchange) -> bool:
        """A body on its way in; True when a fault took it."""
        length = int(exchange.headers.get("content-length", "0"))
        if exchange.command not in ("PATCH", "PUT") or "/uploads/" not in exchange.path or not length:
            return False
        session = self.sessions.get(self._session(exchange))
        if session is not None and self.faults:
            fault = self.faults.pop(0)
            if fault(self, exchange, session):
                exchange.body = b"?"  # answered already
                exchange.fault = True  # type: ignore[attr-defined]
                return True
        return False

    def _route(self, exchange: Exchange) -> bool:
        if getattr(exchange, "fault", False):
            exchange.fault = False  # type: ignore[attr-defined]
            return True
        if "/blobs/uploads/" in exchange.path:
            answers = {"POST": self._begin, "GET": self._status, "PATCH": self._patch, "PUT": self._put}
            answers.get(exchange.command, self._delete)(exchange)
            return True
        if "/manifests/" in exchange.path and exchange.command == "PUT":
            digest = sha256(exchange.body)
            head = exchange.path.rpartition("/")[0]
            for path in (exchange.path, f"{head}/{digest}"):
                self.server.manifests[path] = (exchange.body, exchange.headers["content-type"])
            exchange.reply(201, b"", {"Docker-Content-Digest": digest})
            return True
        return False

    def _begin(self, exchange: Exchange) -> None:
        query = urllib.parse.parse_qs(urllib.parse.urlsplit(exchange.path).query)
        digest = query.get("mount", [""])[0]
        if digest and digest in self.has.get(query["from"][0], ()):
            exchange.reply(201, b"", {"Location": f"/v2/x/blobs/{digest}", "Docker-Content-Digest": digest})
            return
        session = f"s{next(self._numbers)}"
        self.sessions[session] = bytearray()
        exchange.reply(202, b"", {"Location": self.locations(session), "Range": "0-0"})

    def _delete(self, exchange: Exchange) -> None:
        self.sessions.pop(self._session(exchange), None)
        exchange.reply(204)

    def _known(self, exchange: Exchange) -> bytearray | None:
        found = self.sessions.get(self._session(exchange))
        if found is None:
            exchange.fail(404, "BLOB_UPLOAD_UNKNOWN", "upload unknown")
        return found

    def _at(self, session: bytearray, exchange: Exchange) -> dict[str, str]:
        return {"Location": self.locations(self._session(exchange)), "Range": f"0-{max(0, len(session) - 1)}"}

    def _status(self, exchange: Exchange) -> None:
        session = self._known(exchange)
        if session is not None:
            exchange.reply(204, b"", self._at(session, exchange))

    def _patch(self, exchange: Exchange) -> None:
        session = self._known(exchange)
        if session is None:
            return
        start = exchange.headers.get("content-range", f"{len(session)}-").partition("-")[0]
        if int(start) != len(session):
            exchange.fail(416, "BLOB_UPLOAD_INVALID", "range", self._at(session, exchange))
            return
        self.received += len(exchange.body)
        session += exchange.body
        exchange.reply(202, b"", self._at(session, exchange))

    def _put(self, exchange: Exchange) -> None:
        session = self._known(exchange)
        if session is None:
            return
        self.received += len(exchange.body)
        data = bytes(session) + exchange.body
        digest = urllib.parse.parse_qs(urllib.parse.urlsplit(exchange.path).query)["digest"][0]
        if sha256(data) != digest:
            exchange.fail(400, "DIGEST_INVALID", "provided digest did not match uploaded content")
            return
        self.server.blobs[digest] = data
        del self.sessions[self._session(exchange)]
        exchange.reply(201, b"", {"Docker-Content-Digest": digest, "Location": f"/v2/x/blobs/{digest}"})


def honest(_uploads: Uploads, _exchange: Exchange, _session: bytearray) -> bool:
    return False


def cut(amount: int, *, kept: bool = True) -> Fault:
    """``amount`` bytes are taken (and kept, or not), then the connection is reset."""

    def fault(uploads: Uploads, exchange: Exchange, session: bytearray) -> bool:
        data = exchange.rfile.read(amount)
        if kept:
            uploads.received += len(data)
            session += data
        exchange.reset()
        return True

    return fault


def answer(status: int, code: str = "UNKNOWN", message: str = "", **headers: str) -> Fault:
    """The body is taken and thrown away, and this answered."""

    def fault(_uploads: Uploads, exchange: Exchange, _session: bytearray) -> bool:
        exchange.rfile.read(int(exchange.headers["content-length"]))
        exchange.fail(status, code, message, {name.replace("_", "-"): value for name, value in headers.items()})
        return True

    return fault


def forget(amount: int) -> Fault:
    """The connection breaks and the session is gone."""

    def fault(uploads: Uploads, exchange: Exchange, _session: bytearray) -> bool:
        exchange.rfile.read(amount)
        uploads.sessions.clear()
        exchange.reset()
        return True

    return fault


def stall(_uploads: Uploads, exchange: Exchange, _session: bytearray) -> bool:
    """Reads nothing and says nothing."""
    exchange.hang()
    return True


def done_but_silent(uploads: Uploads, exchange: Exchange, session: bytearray) -> bool:
    """Takes all of it and keeps the blob, and resets before it says so."""
    data = bytes(session) + exchange.rfile.read(int(exchange.headers["content-length"]))
    uploads.server.blobs[sha256(data)] = data
    exchange.reset()
    return True
