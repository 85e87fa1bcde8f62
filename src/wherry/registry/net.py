"""Connections for urllib3 that keep to a deadline and look at where they are going.

urllib3's time limits hold for one ``recv``; a server that sends a byte now and then would keep us for ever.  So every
step (the whole header, one piece of a body that comes or goes) has a deadline, held by the thread and applied to each
``recv`` and ``send``.
"""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import unquote

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import ConnectTimeoutError, NameResolutionError, NewConnectionError
from urllib3.util.connection import allowed_gai_family

from wherry.errors import Cancelled
from wherry.registry.address import Guard
from wherry.registry.failures import forbidden_target

_POOL_SIZE = 16
urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)  # said by the person who wrote insecure = true
_GLANCE = 0.5


class _Step(threading.local):
    ends: float = 0.0
    stop: threading.Event | None = None


_step = _Step()


@contextmanager
def deadline(seconds: float, stop: threading.Event) -> Iterator[None]:
    """Every receive of this thread within the block ends, with `TimeoutError`, after ``seconds`` altogether.

    Soon after ``stop`` is set it ends with `Cancelled`.
    """
    before = _step.ends, _step.stop
    _step.ends, _step.stop = time.monotonic() + seconds, stop
    try:
        yield
    finally:
        _step.ends, _step.stop = before


def extend(seconds: float) -> None:
    """Lets the step that this thread is in end only ``seconds`` from now: another piece of a body is going out."""
    if _step.stop is not None and _step.stop.is_set():
        raise Cancelled("the transfer was stopped")
    if _step.ends:
        _step.ends = time.monotonic() + seconds


def _patiently(sock: socket.socket, receive: Callable[..., int], arguments: Any, options: Any) -> int:
    """``receive``, or a send, within the deadline, waking up now and then to see whether to stop."""
    while _step.ends:
        left = _step.ends - time.monotonic()
        if left <= 0:
            raise TimeoutError("timed out")
        sock.settimeout(min(left, _GLANCE))
        try:
            return receive(*arguments, **options)
        except TimeoutError:
            if _step.stop is not None and _step.stop.is_set():
                raise Cancelled("the transfer was stopped") from None
    return receive(*arguments, **options)


class _Socket(socket.socket):
    def recv_into(self, *arguments: Any, **options: Any) -> int:
        return _patiently(self, super().recv_into, arguments, options)

    def sendall(self, data: Any, flags: int = 0, /) -> None:
        view = memoryview(data).cast("B")
        while view:
            view = view[_patiently(self, super().send, (view, flags), {}) :]


class TlsSocket(ssl.SSLSocket):
    """For `ssl.SSLContext.sslsocket_class`."""

    def recv_into(self, *arguments: Any, **options: Any) -> int:
        return _patiently(self, super().recv_into, arguments, options)

    def send(self, *arguments: Any, **options: Any) -> int:
        return _patiently(self, super().send, arguments, options)


def open_socket(connection: HTTPConnection, guard: Guard | None, seen: Callable[[str, str], None]) -> socket.socket:
    """A connected socket for a urllib3 connection.

    Tries each address of the host in turn and calls ``seen(host, address)`` for the one that answered.  With a
    ``guard``, an address that it does not allow is an error at once: another one of the same name would be no better.
    """
    host = connection.host.strip("[]")
    timeout = connection.timeout if isinstance(connection.timeout, int | float) else None
    try:
        found = socket.getaddrinfo(host, connection.port, allowed_gai_family(), socket.SOCK_STREAM)
    except (socket.gaierror, UnicodeError) as error:
        reason = error if isinstance(error, socket.gaierror) else socket.gaierror(socket.EAI_NONAME, "no such host")
        raise NameResolutionError(host, connection, reason) from error
    failure: OSError = OSError("no address")
    for family, kind, protocol, _, target in found:
        where = str(target[0])
        if guard is not None and not guard.allows(host, where):
            raise forbidden_target(
                "the registry sent us elsewhere",
                host,
                where,
                "an address of this machine or of its cloud's services is not followed for a registry in the network; "
                "if it is meant, name its host in the registry's `trust` list in registries.toml",
            )
        sock = _Socket(family, kind, protocol)
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            sock.settimeout(timeout)
            sock.connect(target)
            seen(host, where)
            return sock
        except OSError as error:
            sock.close()
            failure = error
    if isinstance(failure, TimeoutError):
        raise ConnectTimeoutError(connection, f"connect to {host}: i/o timeout") from failure
    raise NewConnectionError(connection, f"{failure.strerror or failure}".lower()) from failure


def answers_plainly(host: str, port: int, seconds: float) -> bool:
    """Whether what listens there answers the greeting of TLS with an HTTP response, as servers of plain HTTP do."""
    greeting = ssl.MemoryBIO()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # trusts nobody, and so costs no reading of authorities
    try:
        context.wrap_bio(ssl.MemoryBIO(), greeting, server_hostname=host).do_handshake()
    except ssl.SSLWantReadError:
        pass
    try:
        with socket.create_connection((host, port), timeout=seconds) as sock:
            sock.sendall(greeting.read())
            return sock.recv(5).startswith(b"HTTP/")
    except (OSError, UnicodeError):
        return False


def manager(
    context: ssl.SSLContext | None, guard: Guard | None, seen: Callable[[str, str], None], proxy: str = ""
) -> urllib3.PoolManager:
    """A pool of kept-alive connections, without ``context`` for plain HTTP alone; with ``proxy``, through it: then only
    names can be looked at, not addresses."""

    class Plain(HTTPConnection):
        def _new_conn(self) -> socket.socket:
            return open_socket(self, None if proxy else guard, (lambda *_: None) if proxy else seen)

    class Tls(HTTPSConnection):
        def _new_conn(self) -> socket.socket:
            return open_socket(self, None if proxy else guard, (lambda *_: None) if proxy else seen)

    class PlainPool(urllib3.HTTPConnectionPool):
        ConnectionCls = Plain

    class TlsPool(urllib3.HTTPSConnectionPool):
        ConnectionCls = Tls

    options: dict[str, Any] = {"num_pools": 32, "maxsize": _POOL_SIZE, "ssl_context": context}
    if proxy:
        login = urllib3.util.parse_url(proxy).auth
        headers = urllib3.make_headers(proxy_basic_auth=unquote(login)) if login else None
        made: urllib3.PoolManager = urllib3.ProxyManager(proxy, proxy_headers=headers, **options)
    else:
        made = urllib3.PoolManager(**options)
    made.pool_classes_by_scheme = {"http": PlainPool, "https": TlsPool}
    return made
