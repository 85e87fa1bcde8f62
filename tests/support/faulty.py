"""A registry that does what a test tells it, mistakes and malice included.

::

    with Faulty() as server:
        layer = server.add_blob(b"...")
        server.add_image("x", [layer])
        server.on_blob = [status(503), reset_after(1000), stall(), honest]   # one answer after the other; then honest
        server.seen                                                          # what was asked, headers included

An answer is a function of the `Exchange`; `raw` sends bytes as they are.  ``address`` may be any of 127.0.0.0/8, which
makes several hosts out of one machine.
"""

from __future__ import annotations

import hashlib
import http.server
import json
import socket
import ssl
import struct
import threading
from collections.abc import Callable
from typing import Any, Self

OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
OCI_LAYER = "application/vnd.oci.image.layer.v1.tar"

Answer = Callable[["Exchange"], None]


def sha256(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


class Seen:
    """One request: ``headers`` by lower-case names."""

    def __init__(self, method: str, path: str, headers: dict[str, str], body: bytes) -> None:
        self.method, self.path, self.headers, self.body = method, path, headers, body

    def __repr__(self) -> str:
        return f"{self.method} {self.path} {self.headers}"


class Exchange(http.server.BaseHTTPRequestHandler):
    """A request being answered."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server
    body = b""

    def _handle(self) -> None:
        faulty = self.server.faulty
        if not faulty.early(self):
            self.body = self.rfile.read(int(self.headers.get("content-length", "0")))
        headers = {name.lower(): value for name, value in self.headers.items()}
        faulty.seen.append(Seen(self.command, self.path, headers, self.body))
        for route in faulty.routes:
            if route(self):
                return
        faulty.serve(self)

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = _handle  # noqa: N815

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def reply(self, status: int, body: bytes = b"", headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in ({"Content-Length": str(len(body))} | (headers or {})).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def fail(self, status: int, code: str, message: str, headers: dict[str, str] | None = None) -> None:
        body = json.dumps({"errors": [{"code": code, "message": message}]}).encode()
        self.reply(status, body, {"Content-Type": "application/json"} | (headers or {}))

    def send(self, data: bytes) -> None:
        """Bytes as they are, head included; then nothing else on this connection."""
        self.wfile.write(data)
        self.wfile.flush()
        self.close_connection = True

    def reset(self) -> None:
        """Ends the connection with RST."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True
        self.server.faulty.drop(self.connection)

    def hang(self) -> None:
        """Says nothing until the test is over."""
        self.server.faulty.over.wait(60)
        self.close_connection = True

    def blob(self) -> bytes:
        return self.server.faulty.blobs[self.path.rpartition("/")[2]]

    def range(self) -> int:
        """Where a request for a range wants to begin; 0 without."""
        return int(self.headers.get("range", "bytes=0-").removeprefix("bytes=").partition("-")[0])


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    faulty: Faulty
    context: ssl.SSLContext | None = None

    def finish_request(self, request: Any, client_address: Any) -> None:
        if self.context is not None:
            request.settimeout(20)
            request = self.context.wrap_socket(request, server_side=True)
        elif request.recv(1, socket.MSG_PEEK) == b"\x16":  # a TLS client: say no as Go's server does
            request.recv(4096)
            request.sendall(b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTPS request to an HTTP server.\n")
            return
        super().finish_request(request, client_address)

    def handle_error(self, request: Any, client_address: Any) -> None:
        pass


class Faulty:
    """The server; a context manager.  ``host`` is ``address:port``."""

    def __init__(self, address: str = "127.0.0.1", *, tls: ssl.SSLContext | None = None, port: int = 0) -> None:
        self.seen: list[Seen] = []
        self.blobs: dict[str, bytes] = {}
        self.manifests: dict[str, tuple[bytes, str]] = {}
        self.routes: list[Callable[[Exchange], Any]] = []
        self.on_blob: list[Answer] = []
        self.on_manifest: list[Answer] = []
        self.early: Callable[[Exchange], bool] = lambda _exchange: False  # before a body is read; True: it has been
        self.over = threading.Event()
        self._http = _Server((address, port), Exchange)
        self._http.faulty = self
        self._http.context = tls
        self.port = int(self._http.server_address[1])
        self.host = f"{address}:{self.port}"
        self.url = f"{'https' if tls else 'http'}://{self.host}"
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.over.set()
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()

    # -- content ----------------------------------------------------------------------------------------------------

    def add_blob(self, data: bytes, media_type: str = OCI_LAYER, **more: Any) -> dict[str, Any]:
        """Keeps it and returns its descriptor, with what ``more`` says instead."""
        self.blobs[sha256(data)] = data
        return {"mediaType": media_type, "digest": sha256(data), "size": len(data)} | more

    def add_manifest(self, name: str, tag: str, document: Any, media_type: str = OCI_MANIFEST) -> dict[str, Any]:
        body = document if isinstance(document, bytes) else json.dumps(document).encode()
        for key in (tag, sha256(body)):
            self.manifests[f"/v2/{name}/manifests/{key}"] = (body, media_type)
        return {"mediaType": media_type, "digest": sha256(body), "size": len(body)}

    def add_image(self, name: str, layers: list[dict[str, Any]], tag: str = "latest") -> dict[str, Any]:
        config = self.add_blob(json.dumps({"architecture": "amd64", "os": "linux"}).encode(), OCI_CONFIG)
        document = {"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": config, "layers": layers}
        return self.add_manifest(name, tag, document)

    # -- answers ----------------------------------------------------------------------------------------------------

    def serve(self, exchange: Exchange) -> None:
        if "/blobs/" in exchange.path:
            (self.on_blob.pop(0) if self.on_blob else honest)(exchange)
        elif "/manifests/" in exchange.path:
            (self.on_manifest.pop(0) if self.on_manifest else honest)(exchange)
        else:
            honest(exchange)

    def drop(self, connection: socket.socket) -> None:
        connection.close()

    def asked(self, part: str) -> list[Seen]:
        """The requests whose path contains ``part``."""
        return [one for one in self.seen if part in one.path]


def honest(exchange: Exchange) -> None:
    """What a good registry answers."""
    faulty = exchange.server.faulty
    if "/manifests/" in exchange.path:
        found = faulty.manifests.get(exchange.path)
        if found is None:
            exchange.fail(404, "MANIFEST_UNKNOWN", "manifest unknown")
        else:
            headers = {"Content-Type": found[1], "Docker-Content-Digest": sha256(found[0])}
            exchange.reply(200, found[0], headers)
    elif exchange.path.rpartition("/")[2] in faulty.blobs:
        data, start = exchange.blob(), exchange.range()
        if start:
            span = f"bytes {start}-{len(data) - 1}/{len(data)}"
            exchange.reply(206, data[start:], {"Content-Range": span})
        else:
            exchange.reply(200, data)
    else:
        exchange.fail(404, "BLOB_UNKNOWN", "blob unknown to registry")


def status(number: int, code: str = "UNKNOWN", message: str = "", **headers: str) -> Answer:
    """An error document; ``Retry_After="1"`` is a header."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda exchange: exchange.fail(number, code, message, named)


def raw(data: bytes) -> Answer:
    return lambda exchange: exchange.send(data)


def _begin(exchange: Exchange, amount: int) -> None:
    data, start = exchange.blob(), exchange.range()
    head = f"HTTP/1.1 {206 if start else 200} OK\r\nContent-Length: {len(data) - start}\r\n"
    head += f"Content-Range: bytes {start}-{len(data) - 1}/{len(data)}\r\n" if start else ""
    exchange.send(head.encode() + b"\r\n" + data[start : start + amount])


def reset_after(amount: int) -> Answer:
    """``amount`` right bytes, then RST."""

    def answer(exchange: Exchange) -> None:
        _begin(exchange, amount)
        exchange.reset()

    return answer


def close_after(amount: int) -> Answer:
    """``amount`` right bytes, then the end although more was announced."""
    return lambda exchange: _begin(exchange, amount)


def stall_after(amount: int) -> Answer:
    """``amount`` right bytes, then silence."""

    def answer(exchange: Exchange) -> None:
        _begin(exchange, amount)
        exchange.hang()

    return answer


def drip(head: bytes = b"", pause: float = 0.05) -> Answer:
    """A byte now and then, for ever: of the header, or of the body after ``head``."""

    def answer(exchange: Exchange) -> None:
        exchange.send(head or b"HTTP/1.1 200 OK\r\nX: ")
        while not exchange.server.faulty.over.wait(pause):
            exchange.send(b"a")

    return answer


def ignore_range(exchange: Exchange) -> None:
    """The whole blob whatever was asked for."""
    exchange.reply(200, exchange.blob())


def redirect(url: str, number: int = 307) -> Answer:
    return lambda exchange: exchange.reply(number, b"", {"Location": url})
