"""Published ports that packets cannot be led from: a process copies bytes while somebody is connected.

The kernel forwards nothing from ::1, nothing between IPv6 and IPv4, and nothing of the host's for somebody who is not
root.  Clients of such a port need a process in between, as Docker's docker-proxy is; the container sees the host's
address on its network.  A client that sends datagrams has a socket of its own here until it has been silent for a
while.
"""

from __future__ import annotations

import _socket
import _thread
from select import POLLIN, poll
from time import monotonic

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    Target = tuple[str, int]  # address and port in the container

_IDLE = 20_000  # milliseconds without anybody
_MOST = 256  # connections at once; others wait
_FULL_PAUSE = 100  # milliseconds
_CHUNK = 1 << 16
_SILENCE = 90.0  # seconds, docker-proxy's
# which of the host's addresses was meant, and the option that asks for it, by family: IP_PKTINFO (ip(7)), IPV6_PKTINFO
# and IPV6_RECVPKTINFO (ipv6(7))
_MEANT = {_socket.AF_INET: (_socket.IPPROTO_IP, 8, 8), _socket.AF_INET6: (_socket.IPPROTO_IPV6, 50, 49)}


def serve(listeners: Sequence[tuple[int, Target]]) -> None:
    """Relay every connection to these sockets, descriptors, until nobody has been there for a while.

    Those of streams listen; those of datagrams are bound.
    """
    sockets = {fd: _socket.socket(fileno=fd) for fd, _target in listeners}
    targets = dict(listeners)
    looking = poll()
    datagrams: dict[int, Datagrams] = {}
    for fd, socket in sockets.items():
        socket.setblocking(False)
        looking.register(fd, POLLIN)
        if socket.type & _socket.SOCK_DGRAM:
            datagrams[fd] = Datagrams(socket, targets[fd], looking)
    going: set[object] = set()
    full = False
    while True:
        if full != (len(going) >= _MOST):
            full = not full
            for fd in targets.keys() - datagrams.keys():
                looking.modify(fd, 0 if full else POLLIN)
        events = looking.poll(_FULL_PAUSE if full else _IDLE)
        busy = [one.forget() for one in datagrams.values()]
        if not events and not going and not any(busy):
            return
        for fd, _event in events:
            if fd not in targets:
                for one in datagrams.values():
                    one.answer(fd)
            elif fd in datagrams:
                datagrams[fd].take()
            else:
                _accept(sockets[fd], targets[fd], going)


def _accept(listener: _socket.socket, target: Target, going: set[object]) -> None:
    try:
        accepted, _address = listener._accept()  # type: ignore[attr-defined]
    except OSError:  # the client has gone again
        return
    mark = object()
    going.add(mark)
    _thread.start_new_thread(_relay, (_socket.socket(fileno=accepted), target, going, mark))


class Datagrams:
    """The clients of one port.  ``looking`` looks at their sockets, too."""

    def __init__(self, socket: _socket.socket, target: Target, looking: poll) -> None:
        self._socket = socket
        self._target = target
        self._looking = looking
        self._clients: dict[object, _socket.socket] = {}
        self._known: dict[int, tuple[object, list[tuple[int, int, bytes]], list[float]]] = {}
        level, kind, option = _MEANT[socket.family]
        self._meant = level, kind
        socket.setsockopt(level, option, 1)

    def take(self) -> None:
        """What has come from clients goes to the container; of a new one where there are too many, nothing."""
        while True:
            try:
                data, meant, _flags, client = self._socket.recvmsg(_CHUNK, _socket.CMSG_SPACE(20))
            except OSError:  # nothing more, or the answer that a client has gone
                return
            meant = [one for one in meant if one[:2] == self._meant]
            try:
                own = self._clients.get(client) or self._open(client)
                if own is None:
                    continue
                self._known[own.fileno()] = (client, meant, [monotonic()])
                own.send(data)
            except OSError:  # nobody listens in the container
                continue

    def _open(self, client: object) -> _socket.socket | None:
        if len(self._clients) >= _MOST:
            return None
        family = _socket.AF_INET6 if ":" in self._target[0] else _socket.AF_INET
        own = _socket.socket(family, _socket.SOCK_DGRAM | _socket.SOCK_NONBLOCK | _socket.SOCK_CLOEXEC)
        own.connect(self._target)
        self._clients[client] = own
        self._looking.register(own.fileno(), POLLIN)
        return own

    def answer(self, fd: int) -> None:
        """What the container sends goes to its client, from the address that this one knows."""
        if fd not in self._known:
            return
        client, meant, last = self._known[fd]
        last[0] = monotonic()
        while True:
            try:
                data = self._clients[client].recv(_CHUNK)
            except OSError:
                return
            try:
                self._socket.sendmsg([data], meant, 0, client)  # type: ignore[arg-type]
            except OSError:  # the client's network has gone, or is full: datagrams get lost
                continue

    def forget(self) -> bool:
        """Let go of who has been silent; whether anybody is left."""
        now = monotonic()
        for fd, (client, _meant, last) in list(self._known.items()):
            if now - last[0] > _SILENCE:
                self._looking.unregister(fd)
                self._clients.pop(client).close()
                del self._known[fd]
        return bool(self._clients)


def _relay(client: _socket.socket, target: Target, going: set[object], mark: object) -> None:
    family = _socket.AF_INET6 if ":" in target[0] else _socket.AF_INET
    server = _socket.socket(family, _socket.SOCK_STREAM)
    try:
        client.setblocking(True)
        server.settimeout(10)
        server.connect(target)
        server.settimeout(None)
        done = _thread.allocate_lock()
        done.acquire()
        _thread.start_new_thread(_copy_and_tell, (client, server, done))
        _copy(server, client)
        done.acquire()
    except OSError:
        pass  # the client sees that its connection ends
    finally:
        client.close()
        server.close()
        going.discard(mark)


def _copy_and_tell(source: _socket.socket, target: _socket.socket, done: _thread.LockType) -> None:
    try:
        _copy(source, target)
    finally:
        done.release()


def _copy(source: _socket.socket, target: _socket.socket) -> None:
    """Until the source has no more; then neither has the target."""
    try:
        while data := source.recv(_CHUNK):
            target.sendall(data)
        target.shutdown(_socket.SHUT_WR)
    except OSError:
        for socket in (source, target):
            try:
                socket.shutdown(_socket.SHUT_RDWR)
            except OSError:
                continue
