"""Connections that the kernel remembers: those of UDP ports whose meaning has changed are forgotten.

A client that goes on sending from its port keeps its connection alive, and the kernel asks the rules for the first
packet alone: without this it would reach a container that is gone, or the host itself, for ever (Linux
``uapi/linux/netfilter/nfnetlink_conntrack.h``).
"""

from __future__ import annotations

import errno
from _socket import AF_INET, AF_INET6, inet_ntop
from _struct import pack

from wherry.linux import netlink
from wherry.linux.netlink import Message, NetlinkFailure, attribute, attributes, nested

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from wherry.network.model import PublishedPort

_NETFILTER = 12  # NETLINK_NETFILTER
_GET, _DELETE = 0x101, 0x102  # of NFNL_SUBSYS_CTNETLINK
_ORIGINAL, _FILTER = 1, 25  # CTA_TUPLE_ORIG, CTA_FILTER
_ADDRESSES, _TRANSPORT = 1, 2  # of a tuple
_NUMBER, _TO_PORT = 1, 3  # of its CTA_TUPLE_PROTO
_BY_PROTOCOL_AND_PORT = 1 << 3 | 1 << 5
_UDP = 17
_UNKNOWN = (errno.EINVAL, errno.EOPNOTSUPP, errno.EPROTONOSUPPORT)
_EVERY = ("0.0.0.0", "::")


def forget(ports: Iterable[PublishedPort]) -> None:
    """Have the kernel forget the connections to these published ports, of those that are UDP.

    Raises `NetlinkFailure`, but not where the kernel lets nobody see its connections (no CONFIG_NF_CT_NETLINK).
    """
    with netlink.Socket(_NETFILTER) as socket:
        for address, port in sorted({(port.host_ip, port.host_port) for port in ports if port.protocol == "udp"}):
            family = AF_INET6 if ":" in address else AF_INET
            try:
                found = _connections(socket, family, port)
            except NetlinkFailure as error:
                if error.errno in _UNKNOWN:
                    return
                raise
            for original in found:
                if address in (*_EVERY, _destination(original, family)):
                    _delete(socket, family, original)


def _connections(socket: netlink.Socket, family: int, port: int) -> list[bytes]:
    """The tuples, as the kernel has them, of UDP connections to a port; kernels since 5.8 list no others."""
    transport = nested(_TRANSPORT, attribute(_NUMBER, bytes((_UDP,))), attribute(_TO_PORT, pack(">H", port)))
    chosen = nested(_FILTER, netlink.number(1, _BY_PROTOCOL_AND_PORT))
    body = _head(family) + nested(_ORIGINAL, transport) + chosen
    found = []
    for message in socket.dump(Message(_GET, 0, body, "list connections")):
        original = attributes(message, 4).get(_ORIGINAL, b"")
        ends = attributes(attributes(original).get(_TRANSPORT, b""))
        if ends.get(_NUMBER) == bytes((_UDP,)) and ends.get(_TO_PORT) == pack(">H", port):
            found.append(original)
    return found


def _destination(original: bytes, family: int) -> str:
    content = attributes(attributes(original).get(_ADDRESSES, b"")).get(4 if family == AF_INET6 else 2, b"")
    return inet_ntop(family, content) if content else ""


def _delete(socket: netlink.Socket, family: int, original: bytes) -> None:
    body = _head(family) + attribute(_ORIGINAL | netlink.NESTED, original)
    try:
        socket.do(Message(_DELETE, 0, body, "forget a connection"))
    except NetlinkFailure as error:
        if error.errno != errno.ENOENT:  # it has ended meanwhile
            raise


def _head(family: int) -> bytes:
    return pack(">BBH", family, 0, 0)
