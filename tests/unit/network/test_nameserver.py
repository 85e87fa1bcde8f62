"""The server on the loopback, with resolvers that the test plays."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, Iterator

import pytest

from support.queries import question
from wherry.errors import Unavailable
from wherry.network import dns, nameserver
from wherry.network.nameserver import Known, Server, Upstream, open_socket

KNOWN = Known(({"web": ("172.18.0.2",)},), {"172.18.0.2": "web.front"}, True)


class Resolver:
    """Somebody else's name server: answers with what ``answer`` makes of a query; None is silence."""

    def __init__(self, answer: Callable[[bytes], bytes | None]) -> None:
        self.answer = answer
        self.asked: list[bytes] = []
        while True:  # until the port is free for both
            self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            self.udp.bind(("127.0.0.1", 0))
            self.port = self.udp.getsockname()[1]
            self.tcp = socket.socket()
            self.tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                self.tcp.bind(("127.0.0.1", self.port))
                break
            except OSError:
                self.tcp.close()
                self.udp.close()
        self.tcp.listen()
        self.threads = [threading.Thread(target=one, daemon=True) for one in (self.datagrams, self.streams)]
        for thread in self.threads:
            thread.start()

    def datagrams(self) -> None:
        while True:
            message, address = self.udp.recvfrom(65535)
            if not message:
                return
            self.asked.append(message)
            answer = self.answer(message)
            if answer is not None:
                self.udp.sendto(answer, address)

    def streams(self) -> None:
        while True:
            connection, _address = self.tcp.accept()
            with connection:
                head = connection.recv(2, socket.MSG_WAITALL)
                if not head:
                    return
                message = connection.recv(int.from_bytes(head, "big"), socket.MSG_WAITALL)
                self.asked.append(message)
                answer = self.answer(message) or b""
                connection.sendall(len(answer).to_bytes(2, "big") + answer)

    def close(self) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
            one.sendto(b"", self.udp.getsockname())
        socket.create_connection(self.tcp.getsockname()).close()
        for thread in self.threads:
            thread.join()
        self.udp.close()
        self.tcp.close()


class Served:
    """A server in a thread, and a client of it."""

    def __init__(self, known: Callable[[], Known], upstreams: list[Upstream]) -> None:
        self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.tcp = socket.socket()
        for one in (self.udp, self.tcp):
            one.bind(("127.0.0.1", 0))
        self.tcp.listen()
        self.server = Server(self.udp, self.tcp, known, upstreams, open_socket)
        self.thread = threading.Thread(target=lambda: self.server.run(0.1), daemon=True)
        self.thread.start()

    def ask(self, message: bytes) -> bytes:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.settimeout(20)
            client.connect(self.udp.getsockname())
            client.send(message)
            return client.recv(65535)

    def close(self) -> None:
        self.thread.join(30)
        assert not self.thread.is_alive(), "it ends when nobody asks"
        self.udp.close()
        self.tcp.close()


@pytest.fixture
def resolver() -> Iterator[Callable[..., Upstream]]:
    made: list[Resolver] = []

    def make(answer: Callable[[bytes], bytes | None]) -> Resolver:
        made.append(Resolver(answer))
        return made[-1]

    yield make  # type: ignore[misc]
    for one in made:
        one.close()


@pytest.fixture
def served() -> Iterator[Callable[..., Served]]:
    made: list[Served] = []

    def make(*resolvers: Resolver, known: Callable[[], Known] = lambda: KNOWN) -> Served:
        made.append(Served(known, [Upstream("127.0.0.1", port=one.port) for one in resolvers]))
        return made[-1]

    yield make
    for one in made:
        one.close()


def code(response: bytes) -> int:
    return response[3] & 0xF


def address(message: bytes, count: int = 1) -> bytes:
    """An answer with so many addresses."""
    return dns.answer(dns.parse(message), [dns.address_record(f"192.0.2.{one % 250}", 5) for one in range(count)])


def test_own_names_are_not_asked_elsewhere(served: Callable[..., Served], resolver: Callable[..., Resolver]) -> None:
    elsewhere = resolver(address)
    server = served(elsewhere)
    assert server.ask(question(b"web"))[-4:] == socket.inet_aton("172.18.0.2")
    assert code(server.ask(question(b"web", dns.AAAA))) == dns.NOERROR
    assert elsewhere.asked == []


def test_other_names_are(served: Callable[..., Served], resolver: Callable[..., Resolver]) -> None:
    elsewhere = resolver(address)
    response = served(elsewhere).ask(question(b"example.com", identity=99))
    assert response[:2] == b"\0\x63" and response[-4:] == socket.inet_aton("192.0.2.0")
    assert elsewhere.asked[0][2:] == question(b"example.com")[2:]


def test_the_next_resolver_is_asked(served: Callable[..., Served], resolver: Callable[..., Resolver]) -> None:
    """When one is silent, or cannot answer; when none can, the client is told what the last one said."""
    broken = resolver(lambda message: dns.answer(dns.parse(message), code=dns.SERVFAIL))
    server = served(broken, resolver(address))
    assert code(server.ask(question(b"example.com"))) == dns.NOERROR
    refusing = served(broken, resolver(lambda message: dns.answer(dns.parse(message), code=dns.REFUSED)))
    assert code(refusing.ask(question(b"example.com"))) == dns.REFUSED
    gone = resolver(address)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as closed:
        closed.bind(("127.0.0.1", 0))
        nobody = closed.getsockname()[1]
    both = Served(lambda: KNOWN, [Upstream("127.0.0.1", port=nobody), Upstream("127.0.0.1", port=gone.port)])
    assert code(both.ask(question(b"example.com"))) == dns.NOERROR
    both.close()


def test_forged_answers_are_not_taken(
    served: Callable[..., Served], resolver: Callable[..., Resolver], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of another number or to another question: the resolver counts as silent."""
    monkeypatch.setattr(nameserver, "PATIENCE", 0.3)
    forged = resolver(lambda message: address(bytes((message[0] ^ 1,)) + message[1:]))
    other = resolver(lambda message: address(message[:2] + question(b"evil.com")[2:]))
    assert served(forged, other, resolver(address)).ask(question(b"example.com"))[-4:] == socket.inet_aton("192.0.2.0")


def test_nothing_is_asked_from_an_internal_network(
    served: Callable[..., Served], resolver: Callable[..., Resolver]
) -> None:
    elsewhere = resolver(address)
    server = served(elsewhere, known=lambda: KNOWN.replace(forwards=False))
    assert code(server.ask(question(b"example.com"))) == dns.SERVFAIL
    assert code(server.ask(question(b"9.9.9.9.in-addr.arpa", dns.PTR))) == dns.SERVFAIL
    assert server.ask(question(b"web"))[-4:] == socket.inet_aton("172.18.0.2")
    assert elsewhere.asked == []


def test_long_answers(served: Callable[..., Served], resolver: Callable[..., Resolver]) -> None:
    """A datagram as long as the client takes; the rest over a stream, several questions on one."""
    server = served(resolver(lambda message: address(message, 100)))
    assert server.ask(question(b"example.com"))[2] & 2
    assert not server.ask(question(b"example.com", edns=4096))[2] & 2
    with socket.create_connection(server.tcp.getsockname(), 20) as stream:
        for name in (b"example.com", b"web", b"example.org"):
            message = question(name)
            stream.sendall(len(message).to_bytes(2, "big") + message)
        sizes = []
        for _ in range(3):
            size = int.from_bytes(stream.recv(2, socket.MSG_WAITALL), "big")
            sizes.append(len(stream.recv(size, socket.MSG_WAITALL)))
    assert sorted(sizes)[0] < 100 and sorted(sizes)[1] > 1600


def test_what_clients_send_does_not_end_it(served: Callable[..., Served]) -> None:
    server = served()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        for size in (0, 1, 11, 12, 13, 600, 9000):
            client.sendto(os.urandom(size), server.udp.getsockname())
        client.sendto(b"\0\1\1\0\0\1" + b"\0" * 6 + b"\xc0\x0c\0\1\0\1", server.udp.getsockname())
    streams = [socket.create_connection(server.tcp.getsockname(), 20) for _ in range(100)]
    for stream in streams:
        try:
            stream.sendall(b"\xff\xff" + os.urandom(100))
        except OSError:
            pass  # one too many
    assert server.ask(question(b"web"))[-4:] == socket.inet_aton("172.18.0.2")
    for stream in streams:
        stream.close()


def test_a_busy_database_is_not_an_unknown_name(served: Callable[..., Served]) -> None:
    def busy() -> Known:
        raise Unavailable("the database is kept busy by another process")

    assert code(served(known=busy).ask(question(b"web"))) == dns.SERVFAIL
