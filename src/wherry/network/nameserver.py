"""The name server of one container: it answers at 127.0.0.11, as Docker's does (docs/decisions/0111-names.md).

Names of the container's networks are answered from the database, others are asked of the host's resolvers.  It runs
while there is something to ask: `Server.run` returns when nobody has asked for `IDLE` seconds.  Everything that a
container could make grow is bounded, and what it sends can at worst be refused.
"""

from __future__ import annotations

import _socket
import os
import select
from errno import EINPROGRESS
from time import monotonic

from wherry.errors import WherryError
from wherry.network import dns
from wherry.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from wherry.network.dns import Query

TTL = 600  # seconds, Docker's
IDLE = 20.0  # seconds without a question after which the process ends
PATIENCE = 2.0  # seconds for one resolver to answer
MOST_FORWARDED = 256  # questions that are out at once; more are refused
MOST_STREAMS = 64
STREAM_SECONDS = 10.0
_BURST = 64  # datagrams taken in a row
_HIGH_WATER = 1 << 18  # bytes that wait for a client of a stream
_READ, _WRITE = select.POLLIN, select.POLLOUT


class Upstream(Record):
    """A resolver to ask.  ``inside``: from the container's network, as ``--dns`` means it; else from the host's."""

    address: str
    inside: bool = False
    port: int = 53


class Known(Record):
    """``addresses`` is by lower-case name, of each of the container's networks in order; ``names`` is by address.
    ``forwards``: one of the networks leads outside, where other names may be asked."""

    addresses: tuple[dict[str, tuple[str, ...]], ...] = ()
    names: dict[str, str] = {}
    forwards: bool = False

    def find(self, name: str) -> tuple[str, ...] | None:
        """The addresses of both families that a name has in the first network that knows it; None: nobody does."""
        for one in self.addresses:
            if name in one:
                return one[name]
        return None


class _Stream:
    """A client that speaks TCP."""

    __slots__ = ("deadline", "incoming", "open", "outgoing", "socket", "waiting")

    def __init__(self, socket: _socket.socket) -> None:
        self.socket = socket
        self.incoming, self.outgoing = bytearray(), bytearray()
        self.deadline = monotonic() + STREAM_SECONDS
        self.waiting = 0
        self.open = True


class _Forwarded:
    """A question that is out, for the client that asked it: a stream, or a datagram's address."""

    __slots__ = ("client", "deadline", "identity", "incoming", "message", "outgoing", "query", "socket", "tried")

    def __init__(self, message: bytes, query: Query, client: Any) -> None:
        self.message, self.query, self.client = message, query, client
        self.tried = 0
        self.identity = 0
        self.deadline = 0.0
        self.socket: _socket.socket | None = None
        self.incoming, self.outgoing = bytearray(), bytearray()

    @property
    def by_stream(self) -> bool:
        return isinstance(self.client, _Stream)


class Server:
    """Serves a socket for datagrams and one that listens for streams.

    ``known`` gives what is known now, ``upstreams`` are asked in order, ``connect`` makes a socket that does not block
    for one (`open_socket`).
    """

    def __init__(
        self,
        udp: _socket.socket,
        tcp: _socket.socket,
        known: Callable[[], Known],
        upstreams: Sequence[Upstream],
        connect: Callable[[Upstream, bool], _socket.socket],
    ) -> None:
        self._udp, self._tcp = udp, tcp
        self._known = known
        self._upstreams = upstreams
        self._connect = connect
        self._streams: dict[int, _Stream] = {}
        self._out: dict[int, _Forwarded] = {}
        self._poll = select.poll()
        for socket in (udp, tcp):
            socket.setblocking(False)
            self._poll.register(socket.fileno(), _READ)

    def run(self, idle: float = IDLE) -> None:
        """Serve until nobody has asked anything for ``idle`` seconds."""
        last = monotonic()
        while True:
            now = monotonic()
            until = min([last + idle, *self._deadlines()])
            events = self._poll.poll(max(0.0, until - now) * 1000 + 1)
            for fd, event in events:
                self._handle(fd, event)
            now = monotonic()
            if events:
                last = now
            self._expire(now)
            if not self._out and not self._streams and now - last >= idle:
                return

    def _deadlines(self) -> list[float]:
        return [one.deadline for one in self._out.values()] + [one.deadline for one in self._streams.values()]

    def _handle(self, fd: int, event: int) -> None:
        if fd == self._udp.fileno():
            self._take_datagrams()
        elif fd == self._tcp.fileno():
            self._accept()
        elif fd in self._streams:
            self._serve(self._streams[fd], event)
        elif fd in self._out:
            self._hear(self._out[fd], event)

    # -- clients -----------------------------------------------------------------------------------------------------

    def _take_datagrams(self) -> None:
        for _ in range(_BURST):
            try:
                message, address = self._udp.recvfrom(dns.LARGEST)
            except OSError:  # no more
                return
            self._ask(message, address)

    def _accept(self) -> None:
        try:
            fd, _address = self._tcp._accept()  # type: ignore[attr-defined]
        except OSError:
            return
        socket = _socket.socket(_socket.AF_INET, _socket.SOCK_STREAM, 0, fd)
        if len(self._streams) >= MOST_STREAMS:
            socket.close()
            return
        socket.setblocking(False)
        self._streams[fd] = _Stream(socket)
        self._poll.register(fd, _READ)

    def _serve(self, stream: _Stream, event: int) -> None:
        try:
            if event & _WRITE:
                del stream.outgoing[: stream.socket.send(stream.outgoing)]
            if event & ~_WRITE:
                data = stream.socket.recv(dns.LARGEST)
                if not data:
                    raise OSError
                stream.incoming += data
        except BlockingIOError:
            return
        except OSError:
            self._drop(stream)
            return
        while len(stream.incoming) >= 2 and stream.open:
            size = int.from_bytes(stream.incoming[:2], "big")
            if len(stream.incoming) < 2 + size:
                break
            message = bytes(stream.incoming[2 : 2 + size])
            del stream.incoming[: 2 + size]
            stream.deadline = monotonic() + STREAM_SECONDS
            self._ask(message, stream)
        self._watch(stream)

    def _watch(self, stream: _Stream) -> None:
        if stream.open:
            full = len(stream.outgoing) > _HIGH_WATER or stream.waiting >= MOST_STREAMS
            self._poll.modify(stream.socket.fileno(), (0 if full else _READ) | (_WRITE if stream.outgoing else 0))

    def _drop(self, stream: _Stream) -> None:
        if stream.open:
            stream.open = False
            fd = stream.socket.fileno()
            self._poll.unregister(fd)
            del self._streams[fd]
            stream.socket.close()

    def _reply(self, client: Any, message: bytes) -> None:
        if isinstance(client, _Stream):
            if client.open:
                client.outgoing += len(message).to_bytes(2, "big") + message
                self._watch(client)
            return
        try:
            self._udp.sendto(message, client)
        except OSError:
            pass  # its buffer is full, or it is gone: it asks again

    # -- questions ---------------------------------------------------------------------------------------------------

    def _ask(self, message: bytes, client: Any) -> None:
        try:
            query = dns.parse(message)
        except dns.Malformed as error:
            if error.code >= 0:
                self._reply(client, dns.refusal(message, error.code))
            return
        limit = dns.LARGEST if isinstance(client, _Stream) else query.size
        try:
            known = self._known()
        except WherryError:  # the database is busy, or the network has gone meanwhile
            self._reply(client, dns.answer(query, code=dns.SERVFAIL))
            return
        records = own_records(query, known)
        if records is not None:
            self._reply(client, dns.answer(query, records, limit=limit))
        elif not known.forwards or not self._upstreams or len(self._out) >= MOST_FORWARDED:
            self._reply(client, dns.answer(query, code=dns.SERVFAIL))
        else:
            forwarded = _Forwarded(message, query, client)
            if forwarded.by_stream:
                client.waiting += 1
            self._forward(forwarded)

    def _forward(self, one: _Forwarded) -> None:
        """Ask the next resolver; when none is left, say so."""
        while one.tried < len(self._upstreams):
            upstream = self._upstreams[one.tried]
            one.tried += 1
            one.identity = int.from_bytes(os.urandom(2), "big")
            message = dns.with_id(one.message, one.identity)
            try:
                socket = self._connect(upstream, one.by_stream)
            except OSError:
                continue
            if one.by_stream:
                one.incoming.clear()
                one.outgoing[:] = len(message).to_bytes(2, "big") + message
            else:
                try:
                    socket.send(message)
                except OSError:
                    socket.close()
                    continue
            one.socket = socket
            one.deadline = monotonic() + PATIENCE
            self._out[socket.fileno()] = one
            self._poll.register(socket.fileno(), _READ | (_WRITE if one.by_stream else 0))
            return
        self._finish(one, dns.answer(one.query, code=dns.SERVFAIL))

    def _finish(self, one: _Forwarded, response: bytes) -> None:
        if one.by_stream:
            one.client.waiting -= 1
        self._reply(one.client, response)

    def _forget(self, one: _Forwarded) -> None:
        assert one.socket is not None
        fd = one.socket.fileno()
        self._poll.unregister(fd)
        del self._out[fd]
        one.socket.close()

    def _hear(self, one: _Forwarded, event: int) -> None:
        """What a resolver answers; an answer to something else is not looked at."""
        assert one.socket is not None
        try:
            if event & _WRITE and one.outgoing:
                del one.outgoing[: one.socket.send(one.outgoing)]
                if not one.outgoing:
                    self._poll.modify(one.socket.fileno(), _READ)
            if not event & ~_WRITE:
                return
            response = one.socket.recv(dns.LARGEST + 2)
            if one.by_stream:
                if not response:
                    raise OSError
                one.incoming += response
                size = int.from_bytes(one.incoming[:2], "big")
                if len(one.incoming) < 2 + size or len(one.incoming) < 2:
                    return
                response = bytes(one.incoming[2 : 2 + size])
        except BlockingIOError:
            return
        except OSError:
            self._forget(one)
            self._forward(one)
            return
        if dns.answers(response, one.query, one.identity):
            self._forget(one)
            if response[3] & 0xF in (dns.SERVFAIL, dns.REFUSED) and one.tried < len(self._upstreams):
                self._forward(one)
                return
            response = dns.with_id(response, one.query.id)
            self._finish(one, response if one.by_stream else dns.cut(response, one.query))

    def _expire(self, now: float) -> None:
        for one in [one for one in self._out.values() if one.deadline <= now]:
            self._forget(one)
            self._forward(one)
        for stream in [stream for stream in self._streams.values() if stream.deadline <= now and not stream.waiting]:
            self._drop(stream)


def own_records(query: Query, known: Known) -> list[bytes] | None:
    """The records of a name that a network has, in no particular order; None for a name that others may know."""
    if query.class_ != dns.IN:
        return None
    if query.type == dns.PTR:
        address = dns.address_of(query.name)
        name = known.names.get(address)
        return None if name is None else [dns.name_record(name, TTL)] if dns.fits(name) else []
    addresses = known.find(query.name)
    if addresses is None:
        return None
    wanted = {dns.A: (False,), dns.AAAA: (True,), dns.ANY: (False, True)}.get(query.type, ())
    found = [dns.address_record(address, TTL) for address in addresses if (":" in address) in wanted]
    if len(found) > 1:
        first = os.urandom(1)[0] % len(found)
        found = found[first:] + found[:first]
    return found


def open_socket(upstream: Upstream, stream: bool) -> _socket.socket:
    """A socket that does not block, connected to a resolver or on its way to it.  Raises OSError."""
    kind = _socket.SOCK_STREAM if stream else _socket.SOCK_DGRAM
    found = _socket.getaddrinfo(upstream.address, upstream.port, 0, kind, 0, _socket.AI_NUMERICHOST)
    family, _kind, _protocol, _name, address = found[0]
    socket = _socket.socket(family, kind | _socket.SOCK_NONBLOCK | _socket.SOCK_CLOEXEC, 0)
    try:
        socket.connect(address)
    except OSError as error:
        if error.errno != EINPROGRESS:
            socket.close()
            raise
    return socket
