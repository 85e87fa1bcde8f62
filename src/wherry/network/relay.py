"""Published ports that packets cannot be led from: a process copies bytes while somebody is connected.

The kernel forwards nothing from ::1, and nothing between IPv6 and IPv4.  Clients of such a port need a process in
between, as Docker's docker-proxy is; the container sees the host's address on its network.
"""

from __future__ import annotations

import _socket
import _thread
from select import POLLIN, poll

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    Target = tuple[str, int]  # address and port in the container

_IDLE = 20_000  # milliseconds without anybody
_MOST = 256  # connections at once; others wait
_FULL_PAUSE = 100  # milliseconds
_CHUNK = 1 << 16


def serve(listeners: Sequence[tuple[int, Target]]) -> None:
    """Relay every connection to these listening sockets, descriptors, until nobody has been there for a while."""
    sockets = {fd: _socket.socket(fileno=fd) for fd, _target in listeners}
    targets = dict(listeners)
    looking = poll()
    for fd, socket in sockets.items():
        socket.setblocking(False)
        looking.register(fd, POLLIN)
    going: set[object] = set()
    while True:
        full = len(going) >= _MOST
        events = poll().poll(_FULL_PAUSE) if full else looking.poll(_IDLE)
        if not events and not going:
            return
        for fd, _event in events:
            try:
                accepted, _address = sockets[fd]._accept()  # type: ignore[attr-defined]
            except OSError:  # the client has gone again
                continue
            mark = object()
            going.add(mark)
            _thread.start_new_thread(_relay, (_socket.socket(fileno=accepted), targets[fd], going, mark))


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
