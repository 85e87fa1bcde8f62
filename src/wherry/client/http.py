"""HTTP/1.1 to an engine: whole answers, streams, and connections that stop being HTTP."""

from __future__ import annotations

from wherry import __version__
from wherry.client import failures, wire
from wherry.client.address import Address
from wherry.client.dial import Channel, Dialer
from wherry.client.wire import Broken, Response
from wherry.errors import InvalidArgument, NotSupported, Unavailable, WherryError
from wherry.fastjson import dumps, loads

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket as sockets
    from _socket import socket
    from collections.abc import Iterable, Iterator, Mapping
    from typing import Any, Self

    Query = Mapping[str, Any]

NEWEST, OLDEST = (1, 50), (1, 24)
_MOST_ERROR = 1 << 20
_MOST_DOCUMENT = 256 << 20


def text(version: tuple[int, int]) -> str:
    """``1.41``."""
    return f"{version[0]}.{version[1]}"


class Answer:
    """An answer whose body is read as it comes: a context manager, at whose end the connection is used again or not."""

    def __init__(self, remote: Remote, connection: _Connection, response: Response) -> None:
        self._remote = remote
        self._connection = connection
        self._response = response

    def header(self, name: str) -> str:
        """A header of the answer, or ""."""
        return self._response.headers.get(name.lower(), "")

    def read(self, size: int, /) -> bytes:
        """Some bytes; b"" at the end.  Raises `Unavailable` when the connection ends too early."""
        try:
            return self._response.read(size)
        except (OSError, Broken) as error:
            raise self._remote.lost(self._connection, error) from None

    def whole(self) -> bytes:
        """All of a body that is not long."""
        found = bytearray()
        while piece := self.read(wire.CHUNK):
            found += piece
            if len(found) > _MOST_DOCUMENT:
                raise WherryError("the engine's answer is too long")
        return bytes(found)

    def documents(self) -> Iterator[Any]:
        """JSON values, one a line."""
        waiting = b""
        while piece := self.read(wire.CHUNK):
            *lines, waiting = (waiting + piece).split(b"\n")
            for line in lines:
                if line.strip():
                    yield _parsed(line)
        if waiting.strip():
            yield _parsed(waiting)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self._remote.take_back(self._connection, self._response)


def _parsed(body: bytes) -> Any:
    try:
        return loads(body)
    except ValueError:
        raise WherryError("the engine's answer is not JSON", hint="is this an engine?") from None


class _Connection:
    """A connection, and whether something was asked on it before."""

    def __init__(self, channel: Channel) -> None:
        self.channel = channel
        self.used = False


class Remote:
    """One engine.  Connections are kept for the next request; ``directory`` is where Docker's client keeps its logins.

    Not shared between threads.
    """

    def __init__(self, address: Address, directory: str = "") -> None:
        self.address = address
        self.directory = directory
        self._dialer = Dialer(address)
        self._idle: list[_Connection] = []
        self._version: tuple[int, int] | None = None

    @property
    def version(self) -> tuple[int, int]:
        """Of the API, the newest that both sides know.  Raises `NotSupported` when there is none."""
        if self._version is None:
            self._version = self._negotiate()
        return self._version

    def needs(self, version: tuple[int, int], what: str) -> None:
        """Raises `NotSupported` unless the engine knows this version of the API."""
        if self.version < version:
            has = f"the engine at {self.address} has {text(self.version)}"
            raise NotSupported(f"{what} requires API version {text(version)}, but {has}")

    def call(self, method: str, path: str, query: Query | None = None, body: Any = None, **headers: str) -> Any:
        """A request with a JSON body, or none; the JSON of the answer, None when it has no body."""
        with self.stream(method, path, query, body, **headers) as answer:
            found = answer.whole()
        return _parsed(found) if found.strip() else None

    def stream(self, method: str, path: str, query: Query | None = None, body: Any = None, **headers: str) -> Answer:
        """A request; its answer is in the caller's hands.  Raises what the engine says is wrong."""
        data = None if body is None else dumps(body).encode()
        given = {"Content-Type": "application/json"} if data is not None else {}
        return self._request(method, self._target(path, query), data, given | _named(headers))

    def upload(self, method: str, path: str, query: Query | None, body: Iterable[bytes], **headers: str) -> Answer:
        """As `stream`, with a tar for a body."""
        given = {"Content-Type": "application/x-tar"} | _named(headers)
        return self._request(method, self._target(path, query), body, given)

    def hijack(self, path: str, query: Query | None = None, body: Any = None) -> tuple[sockets.socket, bytes]:
        """A POST after which the connection carries raw bytes; what came already of those."""
        target = self._target(path, query)
        data = b"" if body is None else dumps(body).encode()
        channel = self._dialer.dial()
        lines = [f"POST {target} HTTP/1.1", f"Host: {self._host()}", f"User-Agent: {_AGENT}", "Connection: Upgrade"]
        lines += ["Upgrade: tcp", "Content-Type: application/json", f"Content-Length: {len(data)}", "", ""]
        try:
            channel.socket.sendall("\r\n".join(lines).encode() + data)
            status, headers, rest = wire.head(channel.socket)
        except (OSError, Broken) as error:
            raise self._ended(channel, error) from None
        if status in (101, 200):
            return channel.take(), rest
        content = rest + _rest(channel.socket, int(headers.get("content-length", _MOST_ERROR)) - len(rest))
        channel.close()
        raise failures.from_answer(status, content, headers, starting=path.endswith("/start"))

    def another(self) -> Remote:
        """The same engine for another thread."""
        other = Remote(self.address, self.directory)
        other._dialer, other._version = self._dialer, self._version
        return other

    def connect(self) -> sockets.socket:
        """A connection of one's own, to which nothing has been said."""
        return self._dialer.dial().take()

    def close(self) -> None:
        """Let go of the connections."""
        while self._idle:
            self._idle.pop().channel.close()

    # -- one request

    def _target(self, path: str, query: Query | None) -> str:
        given = [(name, value) for name, value in (query or {}).items() if value not in ("", {}) and value is not False]
        found = [(name, _value(value)) for name, value in given if value is not None]
        pairs = [(name, one) for name, value in found for one in (value if isinstance(value, list) else [value])]
        return f"/v{text(self.version)}{path}" + (
            "?" + "&".join([f"{name}={wire.quote(value, '')}" for name, value in pairs]) if pairs else ""
        )

    def _request(self, method: str, target: str, body: Any, headers: dict[str, str]) -> Answer:
        connection = self._idle.pop() if self._idle else self._connect()
        whole = body is None or isinstance(body, bytes)
        while True:
            try:
                response = self._send(connection, method, target, body, headers)
                break
            except (OSError, Broken) as error:
                stale = connection.used and whole and not isinstance(error, TimeoutError)
                problem = None if stale else self.lost(connection, error)
                connection.channel.close()
                if problem is not None:
                    raise problem from None
                connection = self._connect()  # it had been closed while nobody used it
        answer = Answer(self, connection, response)
        if response.status >= 300:
            with answer:
                content = response.read_all(_MOST_ERROR)
            starting = target.endswith("/start")
            raise failures.from_answer(response.status, content, response.headers, starting=starting)
        return answer

    def _send(self, connection: _Connection, method: str, target: str, body: Any, headers: dict[str, str]) -> Response:
        sent = {"Host": self._host(), "User-Agent": _AGENT, **headers}
        try:
            wire.send(connection.channel.socket, method, target, sent, body)
        except (BrokenPipeError, ConnectionResetError):
            if body is None or isinstance(body, bytes):
                raise
            # an engine that does not want the rest may have said why
        return Response(connection.channel.socket, method)

    def _connect(self) -> _Connection:
        return _Connection(self._dialer.dial())

    def _host(self) -> str:
        address = self.address
        if address.kind != "tcp":
            return "localhost"
        host = f"[{address.host}]" if ":" in address.host else address.host
        return f"{host}:{address.port}"

    def take_back(self, connection: _Connection, response: Response) -> None:
        """The answer has been read, or is not wanted any more."""
        if response.whole and not response.closes:
            connection.used = True
            self._idle.append(connection)
        else:
            connection.channel.close()

    def lost(self, connection: _Connection, error: BaseException) -> WherryError:
        """A connection has broken off."""
        return self._ended(connection.channel, error)

    def _ended(self, channel: Channel, error: BaseException) -> WherryError:
        why = channel.problem() or _words(error)
        hint = "see the log of the engine there"
        if self.address.kind == "tcp" and self.address.tls is None:
            hint = "does it want TLS? then give --tlsverify (DOCKER_TLS_VERIFY) and its certificates"
        elif self.address.kind == "ssh":
            hint = "'ssh' has to get there without a password, and find 'wherry' or 'docker' there"
        elif self.address.tls is not None:
            hint = "--tlscert and --tlskey (or cert.pem and key.pem in DOCKER_CERT_PATH) say who you are"
        return Unavailable(f"lost the connection to the engine at {self.address}: {why}", hint=hint)

    # -- the version

    def _negotiate(self) -> tuple[int, int]:
        found = self._ping()
        if not found:
            return OLDEST
        try:
            major, _point, minor = found.partition(".")
            version = int(major), int(minor)
        except ValueError:
            raise Unavailable(f"{self.address} is no engine: it has API version {found!r}") from None
        if version < OLDEST:
            raise NotSupported(
                f"the engine at {self.address} has API version {found}, which is too old",
                hint=f"{text(OLDEST)} is the oldest that is spoken here",
            )
        return min(version, NEWEST)

    def _ping(self) -> str:
        """The newest version of the API that the engine has."""
        while True:
            connection = self._connect()
            try:
                response = self._send(connection, "GET", "/_ping", None, {})
                content = response.read_all(_MOST_ERROR)
            except (OSError, Broken) as error:
                if connection.channel.command_missing and self._dialer.try_next_command():
                    continue
                raise self.lost(connection, error) from None
            if response.status >= 500 or (response.status >= 400 and "api-version" not in response.headers):
                raise failures.from_answer(response.status, content, response.headers)
            self.take_back(connection, response)
            return response.headers.get("api-version", "")


_AGENT = f"Wherry-Client/{__version__} (linux)"


def _named(headers: dict[str, str]) -> dict[str, str]:
    return {name.replace("_", "-"): value for name, value in headers.items() if value}


def _value(value: Any) -> Any:
    if value is True:
        return "1"
    if isinstance(value, dict):
        return dumps({name: list(values) for name, values in value.items()})
    if isinstance(value, list | tuple):
        return [str(one) for one in value]
    return str(value)


def _rest(one: socket, size: int) -> bytes:
    found = bytearray()
    while len(found) < size and (piece := one.recv(min(wire.CHUNK, size - len(found)))):
        found += piece
    return bytes(found)


def _words(error: BaseException) -> str:
    if isinstance(error, BrokenPipeError | ConnectionResetError):
        return "it closed the connection"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    text = str(error).lower()
    return "it closed the connection" if not text or "without response" in text else text


def named(kind: str, name: str, *, safe: str = "") -> str:
    """A name as a part of a path.  Raises `InvalidArgument` for an empty one."""
    if not name.strip():
        raise InvalidArgument(f"invalid {kind} name or ID: value is empty")
    return wire.quote(name, safe)
