"""One HTTP exchange with a registry or with where it sends us: schemes, redirects, time limits, clear errors.

What a server may make us do is limited here, for all callers: an ``Authorization`` header goes to the origin it was
made for and nowhere else (CVE-2020-15157), TLS is never given up on the way, and addresses are looked at (`address`).
Nothing here is tried twice: see `client`.
"""

from __future__ import annotations

import http.client
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import urljoin, urlsplit

import urllib3
from urllib3 import exceptions as failed

import wherry
from wherry.errors import Cancelled, Corrupt, Unavailable, WherryError
from wherry.record import Record
from wherry.registry import address, net, tls
from wherry.registry.address import Guard
from wherry.registry.config import Endpoint, RegistryConfig, split_host
from wherry.registry.explain import NotTls, explain, show
from wherry.registry.failures import Transient, forbidden_target, printable
from wherry.registry.proxy import proxy_for

_MAX_REDIRECTS = 6
_MAX_URL = 16 << 10
_SLOWEST = 1024
_REDIRECTS = frozenset((301, 302, 303, 307, 308))
_PORTS = {"https": 443, "http": 80}
_MAX_DRAIN = 64 << 10
_PROBE = 4.0
_GREETING = 1.0


Body = bytes | Callable[[], Iterator[bytes]]
"""What is sent: all of it, or what begins it anew for another try; its pieces call `net.extend`."""


class Origin(Record):
    """Scheme, host in lower case without brackets, and port of a URL."""

    scheme: str
    host: str
    port: int

    @property
    def netloc(self) -> str:
        """``host``, with the port when it is not the scheme's own, as registries are named."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"


def origin(url: str) -> Origin:
    """The origin of an absolute http or https URL.  Raises `Unavailable` when it is not one that may be followed."""
    try:
        parts = urlsplit(url)
        host, port = (parts.hostname or "").rstrip("."), parts.port
    except ValueError:
        raise Unavailable(f"malformed URL from the registry: {printable(url, 120)!r}") from None
    good = parts.scheme in _PORTS and host and "@" not in parts.netloc and len(url) <= _MAX_URL and url.isprintable()
    if not good or any(character in host for character in "/\\%?# ") or ".." in host or port == 0:
        raise Unavailable(f"malformed URL from the registry: {printable(url, 120)!r}")
    return Origin(parts.scheme, host, port or _PORTS[parts.scheme])


class Response:
    """A response whose body has not been read.  ``url`` is where it came from after redirects."""

    def __init__(self, raw: urllib3.BaseHTTPResponse, url: str, moved: bool, patience: float, stop: threading.Event):
        self._raw = raw
        self._patience = patience
        self._stop = stop
        self._waited = 0.0
        self._got = 0
        self.status = raw.status
        self.headers = raw.headers
        self.url = url
        self.moved = moved

    @property
    def length(self) -> int | None:
        """The ``Content-Length``, or None when there is none.  Raises `Corrupt` for one that is not a number."""
        text = self.headers.get("content-length")
        if text is None or self.headers.get("transfer-encoding"):
            return None
        numbers = {part.strip() for part in text.split(",")}
        if len(numbers) != 1 or not text.isascii() or not next(iter(numbers)).isdigit() or len(text) > 60:
            raise Corrupt(f"malformed Content-Length: {printable(text, 40)!r}")
        return int(next(iter(numbers)))

    def read(self, amount: int) -> bytes:
        """What is there, at least one byte and at most ``amount``; empty at the end.  Never decoded.

        Raises `Transient` when the connection breaks, stalls or delivers next to nothing, `Cancelled` when stopped.
        """
        if self._stop.is_set():
            self.close()
            raise Cancelled("the transfer was stopped")
        started = time.monotonic()
        try:
            with net.deadline(self._patience, self._stop):
                data: bytes = self._raw.read1(amount, decode_content=False) or b""
        except (failed.HTTPError, OSError, http.client.HTTPException) as error:
            self.close()
            raise explain(error, "read", self.url, known=True) from error
        self._waited += time.monotonic() - started
        self._got += len(data)
        if self._waited > self._patience:
            if self._got < _SLOWEST * self._waited and data:
                self.close()
                raise Transient(f"{show('read', self.url)}: the transfer stalled")
            self._waited, self._got = 0.0, 0
        return data

    def read_all(self, limit: int, what: str) -> bytes:
        """The whole body.  Raises `Corrupt` when it is longer than ``limit``."""
        if (self.length or 0) > limit:
            self.close()
            raise Corrupt(f"{what} is larger than {limit} bytes")
        pieces, size = [], 0
        while data := self.read(64 << 10):
            size += len(data)
            if size > limit:
                self.close()
                raise Corrupt(f"{what} is larger than {limit} bytes")
            pieces.append(data)
        return b"".join(pieces)

    def read_some(self) -> bytes:
        """The start of an error's body, whatever happens."""
        try:
            return self.read_all(_MAX_DRAIN, "the answer")
        except WherryError:
            self.close()
            return b""

    def close(self) -> None:
        """Ends it; a connection whose body was read to the end, or has none, is kept for the next request."""
        if self._raw.length_remaining == 0 and not self._raw.closed:
            try:
                self._raw.read1(1, decode_content=False)
            except (failed.HTTPError, OSError, http.client.HTTPException):
                pass
        self._raw.close()
        self._raw.release_conn()


class Transport:
    """Connections to registries, shared by threads."""

    def __init__(self, config: RegistryConfig, stop: threading.Event) -> None:
        self._config = config
        self._stop = stop
        self._lock = threading.Lock()
        self._managers: dict[tuple[Any, ...], urllib3.PoolManager] = {}
        self._contexts: dict[tuple[str, str], ssl.SSLContext] = {}
        self._schemes: dict[str, str] = {}
        self._peers: dict[str, str] = {}

    def ask(
        self,
        endpoint: Endpoint,
        method: str,
        path: str,
        headers: Mapping[str, str],
        authorization: str = "",
        body: Body | None = None,
    ) -> Response:
        """Sends a request to the registry itself; ``path`` starts with a slash.

        Where plain HTTP is allowed it is tried after HTTPS, and what worked is kept to.  A server that speaks TLS and
        cannot be verified is refused, plain HTTP allowed or not.
        """
        if len(endpoint.schemes) > 1 and endpoint.host not in self._schemes and self._is_plain(endpoint):
            self._schemes.setdefault(endpoint.host, "http")
        decided = self._schemes.get(endpoint.host)
        schemes = (decided,) if decided else endpoint.schemes
        for scheme in schemes:
            try:
                return self._follow(endpoint, method, f"{scheme}://{endpoint.host}{path}", headers, authorization, body)
            except Unavailable as error:
                last = scheme == schemes[-1] or self._schemes.get(endpoint.host) == scheme
                if last or not _may_be_plain(error):
                    raise
        raise AssertionError("an endpoint has a scheme")

    def _is_plain(self, endpoint: Endpoint) -> bool:
        """Whether a server that may do without TLS answers a greeting of TLS with HTTP.

        Any other answer, or none, is for the whole way of asking: it knows whom to trust, and what to say.
        """
        name, port = split_host(endpoint.host)
        host = name.strip("[]")
        if proxy_for(self._config.proxies, "https", host, port or 443):
            return False
        return net.answers_plainly(host, port or 443, min(self._config.connect_timeout, _GREETING))

    def base(self, endpoint: Endpoint) -> str:
        """The scheme and host that `ask` settled on: ``https://host``."""
        return f"{self._schemes.get(endpoint.host, endpoint.schemes[0])}://{endpoint.host}"

    def visit(
        self,
        endpoint: Endpoint,
        method: str,
        url: str,
        headers: Mapping[str, str],
        authorization: str = "",
        body: Body | None = None,
    ) -> Response:
        """Sends a request to a URL that ``endpoint`` named.  A request with a body follows no redirect."""
        return self._follow(endpoint, method, url, headers, authorization, body)

    def is_confidential(self, endpoint: Endpoint, url: str) -> bool:
        """Whether secrets may be sent to ``url``: over TLS, to a host that may be plain, or to the registry itself."""
        target = origin(url)
        if target.scheme == "https" or self._config.plain_allowed(target.netloc):
            return True
        return self._is(endpoint, target) and self._schemes.get(endpoint.host) == "http"

    def close(self) -> None:
        """Closes what is idle."""
        with self._lock:
            for manager in self._managers.values():
                manager.clear()

    def _follow(
        self,
        endpoint: Endpoint,
        method: str,
        url: str,
        headers: Mapping[str, str],
        authorization: str,
        body: Body | None = None,
    ) -> Response:
        first = current = origin(url)
        ours = first.netloc
        for hop in range(_MAX_REDIRECTS + 1):
            sent = dict(headers)
            if authorization and current == first:
                sent["Authorization"] = authorization
            raw = self._once(endpoint, method, url, current, sent, body)
            if hop == 0 and self._is(endpoint, current):
                self._schemes.setdefault(endpoint.host, current.scheme)
            response = Response(raw, url, hop > 0, self._config.read_timeout, self._stop)
            location = raw.headers.get("location")
            if raw.status not in _REDIRECTS or not location or body is not None:
                return response
            response.read_some()
            url, before = join(url, location), current
            current = origin(url)
            if before.scheme == "https" and current.scheme == "http":
                hint = "the registry gives up encryption; it would have to be configured anew"
                raise forbidden_target("redirect from https to http", current.netloc, "", hint)
            if current != first:
                authorization = ""
        raise Unavailable(f"{show(method, f'{first.scheme}://{ours}/')}: stopped after {_MAX_REDIRECTS} redirects")

    def _once(
        self, endpoint: Endpoint, method: str, url: str, target: Origin, headers: dict[str, str], body: Body | None
    ) -> urllib3.BaseHTTPResponse:
        if self._stop.is_set():
            raise Cancelled("the transfer was stopped")
        config = self._config
        manager = self._manager(endpoint, target)
        sent = {"User-Agent": f"wherry/{wherry.__version__}", "Accept-Encoding": "identity"} | headers
        connect = config.connect_timeout
        if target.scheme == "https" and "http" in endpoint.schemes and endpoint.host not in self._schemes:
            connect = min(connect, _PROBE)  # a server without TLS may well wait for the rest of our greeting
        timeout = urllib3.Timeout(connect=connect, read=config.read_timeout)
        try:
            with net.deadline(config.connect_timeout + config.read_timeout, self._stop):
                return manager.urlopen(
                    method,
                    url,
                    body=body() if callable(body) else body,
                    headers=sent,
                    redirect=False,
                    retries=False,
                    timeout=timeout,
                    preload_content=False,
                    decode_content=False,
                )
        except (failed.HTTPError, OSError, http.client.HTTPException, ValueError) as error:
            raise explain(error, method, url, known=target.host in self._peers) from error

    def _manager(self, endpoint: Endpoint, target: Origin) -> urllib3.PoolManager:
        itself = self._is(endpoint, target)
        trusted = itself or target.netloc in self._config.host(endpoint.account).trust
        guard = None if trusted else Guard(self._kind(endpoint))
        proxy = proxy_for(self._config.proxies, target.scheme, target.host, target.port)
        if proxy and guard is not None:
            spelled = address.literal(target.host)
            if spelled and not guard.allows(target.host, spelled):
                raise forbidden_target("the registry sent us elsewhere", target.netloc, spelled, "")
        key = (endpoint.host if itself else target.netloc, "" if itself else endpoint.host, guard, proxy, target.scheme)
        with self._lock:
            if key not in self._managers:
                secure = target.scheme == "https" or proxy
                context = self._context(endpoint, target.netloc, itself) if secure else None
                self._managers[key] = net.manager(context, guard, self._saw, proxy)
            return self._managers[key]

    def _context(self, endpoint: Endpoint, host: str, itself: bool) -> ssl.SSLContext:
        key = (endpoint.host, "") if itself else (host, endpoint.host)
        if key not in self._contexts:
            if itself:
                self._contexts[key] = tls.context_for(self._config, endpoint.host, endpoint.account)
            else:
                self._contexts[key] = tls.context_for(self._config, host, host, endpoint)
        return self._contexts[key]

    @staticmethod
    def _is(endpoint: Endpoint, target: Origin) -> bool:
        name, port = split_host(endpoint.host)
        return target.host == name.strip("[]") and target.port == (port or _PORTS[target.scheme])

    def _saw(self, host: str, where: str) -> None:
        self._peers[host] = where

    def _kind(self, endpoint: Endpoint) -> str:
        name = split_host(endpoint.host)[0].strip("[]")
        where = self._peers.get(name) or address.literal(name)
        return address.kind(where) if where else address.GLOBAL


def join(url: str, location: str) -> str:
    """Where ``location``, named in the answer from ``url``, is.  Raises `Unavailable` when it is malformed."""
    try:
        return urljoin(url, location[: _MAX_URL + 1]).partition("#")[0]
    except ValueError:
        raise Unavailable(f"malformed URL from the registry: {printable(location, 120)!r}") from None


def _may_be_plain(error: Unavailable) -> bool:
    if isinstance(error, NotTls | Transient):
        return True
    return isinstance(error.__cause__, failed.NewConnectionError | failed.ConnectTimeoutError | failed.ProxyError)
