"""Where a container finds its name server: 127.0.0.11, port 53, in its own network namespace.

The sockets have other ports, which the namespace's own rules send port 53 of that address to, as Docker does it: a
container may well have a name server of its own on port 53 of all its addresses.
"""

from __future__ import annotations

import _socket
import errno
from _struct import pack

from wherry.errors import SystemFailure
from wherry.linux import netlink
from wherry.linux import nftables as nft
from wherry.linux import nftables_rules as rule
from wherry.linux.nftables import Batch, Connection
from wherry.network.nameserver import Server, Upstream, open_socket

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from wherry.network.nameserver import Known

ADDRESS = "127.0.0.11"
_TABLE = "wherry-names"
_PORT = 53
_BACKLOG = 64
_SIOCGSKNS = 0x894C  # the network namespace of a socket (linux/sockios.h)
_NO_RULES = (errno.EPROTONOSUPPORT, errno.EOPNOTSUPP, errno.ENOENT)
_MOST_RESOLVERS = 3  # as in resolv.conf(5)

Sockets = tuple[_socket.socket, _socket.socket]


def listen() -> Sockets:
    """The sockets of a name server, for datagrams and for streams, in the network namespace that the thread is in.

    ``lo`` must be up.  They have port 53 itself where the kernel has no nf_tables to send it elsewhere with.  Raises
    `SystemFailure`; then there are none.
    """
    try:
        return _open(0)
    except SystemFailure as error:
        if error.errno not in _NO_RULES:
            raise
    return _open(_PORT)


def _open(port: int) -> Sockets:
    udp = netlink.open_socket(_socket.AF_INET, _socket.SOCK_DGRAM | _socket.SOCK_CLOEXEC)
    tcp = netlink.open_socket(_socket.AF_INET, _socket.SOCK_STREAM | _socket.SOCK_CLOEXEC)
    try:
        udp.bind((ADDRESS, port))
        tcp.bind((ADDRESS, port))
        tcp.listen(_BACKLOG)
        if not port:
            _redirect(udp.getsockname()[1], tcp.getsockname()[1])
    except BaseException as error:
        udp.close()
        tcp.close()
        if isinstance(error, OSError):
            raise SystemFailure("listen for questions about names", "bind", error.errno or 0) from None
        raise
    return udp, tcp


def _redirect(udp: int, tcp: int) -> None:
    batch = Batch(_TABLE, nft.IPV4)
    batch.add_table()
    batch.base_chain("output", "nat", nft.LOCAL_OUT, nft.DSTNAT)
    batch.flush_chain("output")
    address = _socket.inet_aton(ADDRESS)
    for protocol, port in ((17, udp), (6, tcp)):
        batch.add_rule(
            "output",
            rule.destination(nft.IPV4),
            rule.compare(address),
            rule.meta(rule.PROTOCOL),
            rule.compare(bytes((protocol,))),
            rule.payload(rule.TRANSPORT, 2, 2),
            rule.compare(pack(">H", _PORT)),
            rule.immediate(address),
            rule.immediate(pack(">H", port), 1),
            rule.dnat(nft.IPV4, 0, 1),
        )
    with Connection() as connection:
        connection.commit(batch)


def resolvers(resolv_conf: str) -> list[str]:
    """The servers that a resolv.conf(5) names."""
    found = []
    for line in resolv_conf.splitlines():
        words = line.split()
        if len(words) > 1 and words[0] == "nameserver":
            found.append(words[1])
    return found[:_MOST_RESOLVERS]


def upstreams(resolv_conf: str, servers: Iterable[str] = ()) -> list[Upstream]:
    """Whom to ask for other names: the resolvers of ``--dns`` from the container's network, else the host's from the
    host's, where those on its loopback are within reach too."""
    own = [Upstream(server, inside=True) for server in servers]
    return own or [Upstream(server) for server in resolvers(resolv_conf)]


def serve(sockets: Sockets, known: Callable[[], Known], servers: Iterable[Upstream]) -> None:
    """Answer until nobody asks any more; the caller has one thread, which is in the host's network namespace."""
    import fcntl
    import os

    from wherry.linux.namespaces import CLONE_NEWNET, enter

    outside = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    inside = fcntl.ioctl(sockets[0].fileno(), _SIOCGSKNS)
    servers = list(servers)
    if os.geteuid() != 0 and any(upstream.inside for upstream in servers):
        from wherry.linux import netns

        netns.enter(inside)  # there is no way back, and none is needed
        Server(*sockets, known, servers, open_socket).run()
        return

    def connect(upstream: Upstream, stream: bool) -> _socket.socket:
        if not upstream.inside:
            return open_socket(upstream, stream)
        enter(inside, CLONE_NEWNET)
        try:
            return open_socket(upstream, stream)
        finally:
            enter(outside, CLONE_NEWNET)

    Server(*sockets, known, servers, connect).run()
