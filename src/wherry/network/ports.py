"""Published ports: which ones of the host a container gets, held so that no other program takes them.

A socket that is bound and does nothing more keeps the port from everybody else for as long as its holder lives; the
firewall leads the packets past it.
"""

from __future__ import annotations

import _socket
import errno

from wherry.errors import Conflict, InvalidArgument
from wherry.record import Record

_TYPES = {
    "tcp": (_socket.SOCK_STREAM, 0),
    "udp": (_socket.SOCK_DGRAM, 0),
    "sctp": (_socket.SOCK_STREAM, 132),
}
_NO_SCTP = (errno.EPROTONOSUPPORT, errno.ESOCKTNOSUPPORT, errno.EAFNOSUPPORT)
_TRIES = 32  # for a port that is free in both families


class Wanted(Record):
    """A port of a container that is to be published.

    ``host_ip`` "" is every address of the host; ``first`` to ``last`` are the host's ports to choose from, 0 for any.
    """

    protocol: str
    port: int
    host_ip: str = ""
    first: int = 0
    last: int = 0


class Held(Record):
    """A port of the host that is ours: one (address, socket) for each family; the socket is None where the kernel
    cannot hold it (SCTP without its module)."""

    wanted: Wanted
    port: int
    sockets: tuple[tuple[str, _socket.socket | None], ...]


def hold(wanted: Wanted, addresses: tuple[str, ...]) -> Held:
    """Take a port at each of the addresses.  Raises `Conflict` when other programs have what was asked for,
    `InvalidArgument` for an address that the host does not have."""
    failure: OSError | None = None
    for port in range(wanted.first, wanted.last + 1) if wanted.first else (0,) * _TRIES:
        opened: list[tuple[str, _socket.socket | None]] = []
        try:
            for address in addresses:
                opened.append((address, _bound(wanted.protocol, address, port)))
                socket = opened[0][1]
                port = port or (socket.getsockname()[1] if socket is not None else 0)
            if not port:
                raise InvalidArgument(
                    f"no port can be chosen for {wanted.port}/{wanted.protocol}: this kernel has no SCTP sockets",
                    hint="name the host's port",
                )
            return Held(wanted, port, tuple(opened))
        except OSError as error:
            failure = error
            for _address, socket in opened:
                if socket is not None:
                    socket.close()
    assert failure is not None
    raise _refused(wanted, addresses[len(opened)], failure)


def _bound(protocol: str, address: str, port: int) -> _socket.socket | None:
    kind, number = _TYPES[protocol]
    family = _socket.AF_INET6 if ":" in address else _socket.AF_INET
    try:
        socket = _socket.socket(family, kind | _socket.SOCK_CLOEXEC, number)
    except OSError as error:
        if protocol == "sctp" and error.errno in _NO_SCTP:
            return None
        raise
    try:
        if family == _socket.AF_INET6:
            socket.setsockopt(_socket.IPPROTO_IPV6, _socket.IPV6_V6ONLY, 1)
        try:
            socket.bind((address, port))
        except OSError as error:
            if protocol != "tcp" or error.errno != errno.EADDRINUSE:
                raise
            socket.setsockopt(_socket.SOL_SOCKET, _socket.SO_REUSEADDR, 1)
            socket.bind((address, port))
            listen(socket)
        return socket
    except OSError:
        socket.close()
        raise


def listen(socket: _socket.socket) -> None:
    """Take connections, and the port, too, when only ended connections keep it (a minute, tcp(7)); raises OSError where
    somebody else listens."""
    socket.setsockopt(_socket.SOL_SOCKET, _socket.SO_REUSEADDR, 1)
    socket.listen(128)


def _refused(wanted: Wanted, address: str, error: OSError) -> Conflict | InvalidArgument:
    shown = f"[{address}]" if ":" in address else address
    port = f"{wanted.first}-{wanted.last}" if wanted.last != wanted.first else str(wanted.first)
    reason = (error.strerror or str(error)).lower()
    message = f"failed to bind host port {shown}:{port}/{wanted.protocol}: {reason}"
    if error.errno == errno.EADDRINUSE:
        return Conflict(message, hint="another program of this host has it (see `ss -lntup`)")
    if error.errno == errno.EACCES:
        return InvalidArgument(message, hint="users may publish ports from net.ipv4.ip_unprivileged_port_start on")
    return InvalidArgument(message, hint="the address must be one of this host's")
