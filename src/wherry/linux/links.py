"""Network interfaces, addresses and routes: requests of rtnetlink(7), and what its listings say.

Functions make a `Message` that `wherry.linux.netlink.Socket.do` sends.  An interface is named by its name or its index;
addresses are text, with a prefix length where one belongs to them.
"""

from __future__ import annotations

import _socket
from _struct import pack, unpack_from

from wherry.linux.netlink import (
    CREATE,
    EXCLUSIVE,
    REPLACE,
    Message,
    attribute,
    attributes,
    nested,
    number,
    string,
    text,
)
from wherry.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wherry.linux.netlink import Socket

NAME_BYTES = 15  # IFNAMSIZ without the zero

_NEWLINK, _DELLINK, _GETLINK = 16, 17, 18
_NEWADDR, _DELADDR, _GETADDR = 20, 21, 22
_NEWROUTE, _DELROUTE, _GETROUTE = 24, 25, 26
_NEW = CREATE | EXCLUSIVE

_ADDRESS, _NAME, _MTU, _LINK, _MASTER, _LINKINFO, _ALIAS, _NS_FD = 1, 3, 4, 5, 10, 18, 20, 28  # IFLA_*
_KIND, _DATA, _SLAVE_KIND, _SLAVE_DATA = 1, 2, 4, 5  # IFLA_INFO_*
_VETH_PEER, _MACVLAN_MODE, _IPVLAN_MODE, _IPVLAN_FLAGS, _VLAN_ID = 1, 1, 1, 2, 1
_BR_FORWARD_DELAY, _BR_STP = 1, 5  # IFLA_BR_*
_PORT_HAIRPIN, _PORT_ISOLATED = 4, 33  # IFLA_BRPORT_MODE, IFLA_BRPORT_ISOLATED
_IFA_ADDRESS, _IFA_LOCAL, _IFA_BROADCAST, _IFA_FLAGS = 1, 2, 4, 8
_RTA_DST, _RTA_OIF, _RTA_GATEWAY, _RTA_TABLE = 1, 4, 5, 15
_UP = 0x1
_NODAD = 0x02
_TABLE_MAIN, _PROTOCOL_BOOT, _SCOPE_UNIVERSE, _SCOPE_LINK, _SCOPE_NOWHERE, _UNICAST = 254, 3, 0, 253, 255, 1

MACVLAN_MODES = {"private": 1, "vepa": 2, "bridge": 4, "passthru": 8}
IPVLAN_MODES = {"l2": 0, "l3": 1, "l3s": 2}
IPVLAN_FLAGS = {"bridge": 0, "private": 1, "vepa": 2}


class Link(Record):
    """One interface; ``mac`` is "" where it has none, ``master`` and ``parent`` are indices, 0 for none.

    ``alias`` is what somebody has noted on it (`label`).
    """

    index: int
    name: str
    kind: str = ""  # "bridge", "veth" …; "" for hardware
    mac: str = ""
    up: bool = False
    mtu: int = 0
    master: int = 0
    parent: int = 0
    alias: str = ""


class Address(Record):
    """An address of an interface: "172.17.0.1/16"."""

    index: int
    address: str


class Route(Record):
    """A route of the main table: ``destination`` "172.17.0.0/16", or "" for a default route."""

    destination: str
    index: int = 0
    gateway: str = ""
    is_ipv6: bool = False


def bridge(name: str, *, mac: str = "", mtu: int = 0) -> Message:
    """Make a bridge; it is down.  Without a spanning tree: a port forwards as soon as it is there."""
    options = nested(_DATA, number(_BR_FORWARD_DELAY, 0), number(_BR_STP, 0))
    parts = [_link(0, 0), text(_NAME, name), _info("bridge", options), *_shared(mac, mtu)]
    return Message(_NEWLINK, _NEW, b"".join(parts), f"create the bridge {name}")


def dummy(name: str, *, mac: str = "") -> Message:
    """Make an interface that leads nowhere and bring it up."""
    body = [_link(0, _UP), text(_NAME, name), _info("dummy"), *_shared(mac, 0)]
    return Message(_NEWLINK, _NEW, b"".join(body), f"create the interface {name}")


def veth(name: str, index: int, peer: str, peer_namespace: int, *, mac: str = "", mtu: int = 0) -> Message:
    """Make the interface ``name`` with this index, and its other end ``peer`` in the network namespace of a descriptor;
    both are down."""
    other = nested(_VETH_PEER, _link(0, 0), text(_NAME, peer), number(_NS_FD, peer_namespace), *_shared("", mtu))
    info = _info("veth", nested(_DATA, other))
    body = [_link(index, 0), text(_NAME, name), info, *_shared(mac, mtu)]
    return Message(_NEWLINK, _NEW, b"".join(body), f"create the interface {name}")


def macvlan(name: str, parent: int, mode: str, namespace: int, *, mac: str = "", mtu: int = 0) -> Message:
    """Make a macvlan of the interface with the index ``parent`` (here), in another network namespace; down."""
    data = nested(_DATA, number(_MACVLAN_MODE, MACVLAN_MODES[mode]))
    return _child("macvlan", name, parent, data, namespace, _shared(mac, mtu))


def ipvlan(name: str, parent: int, mode: str, namespace: int, *, flag: str = "", mtu: int = 0) -> Message:
    """Make an ipvlan, likewise.  Mode and flag hold for all of one parent."""
    values = attribute(_IPVLAN_MODE, pack("=H", IPVLAN_MODES[mode]))
    if flag:
        values += attribute(_IPVLAN_FLAGS, pack("=H", IPVLAN_FLAGS[flag]))
    data = nested(_DATA, values)
    return _child("ipvlan", name, parent, data, namespace, _shared("", mtu))


def vlan(name: str, parent: int, number_of: int) -> Message:
    """Make the interface of a VLAN on the interface with the index ``parent``, up."""
    data = nested(_DATA, attribute(_VLAN_ID, pack("=H", number_of)))
    body = _link(0, _UP) + text(_NAME, name) + number(_LINK, parent) + _info("vlan", data)
    return Message(_NEWLINK, _NEW, body, f"create the interface {name}")


def label(name: str, alias: str) -> Message:
    """Note something on an interface, for people and for who looks for it again; at most 255 bytes."""
    return Message(_NEWLINK, 0, _named(name, 0, 0) + text(_ALIAS, alias), f"label the interface {name}")


def _child(kind: str, name: str, parent: int, data: bytes, namespace: int, shared: list[bytes]) -> Message:
    body = [_link(0, 0), text(_NAME, name), number(_LINK, parent), number(_NS_FD, namespace), _info(kind, data)]
    return Message(_NEWLINK, _NEW, b"".join(body + shared), f"create the interface {name}")


def up(name: str | int) -> Message:
    """Bring an interface up."""
    return Message(_NEWLINK, 0, _named(name, _UP), f"bring up {name}")


def down(name: str | int) -> Message:
    """Take an interface down."""
    return Message(_NEWLINK, 0, _link_change(name, 0), f"take down {name}")


def join(name: str, bridge_index: int) -> Message:
    """Make an interface a port of a bridge and bring it up."""
    return Message(_NEWLINK, 0, _named(name, _UP) + number(_MASTER, bridge_index), f"connect {name} to its bridge")


def port(name: str, *, hairpin: bool, isolated: bool) -> Message:
    """Say how a port of a bridge behaves: ``hairpin`` sends back what came from it, ``isolated`` keeps it from other
    ports that are."""
    data = attribute(_PORT_HAIRPIN, bytes([hairpin])) + attribute(_PORT_ISOLATED, bytes([isolated]))
    info = nested(_LINKINFO, text(_SLAVE_KIND, "bridge"), nested(_SLAVE_DATA, data))
    return Message(_NEWLINK, 0, _named(name, 0, 0) + info, f"set up the bridge's port {name}")


def rename(index: int, name: str) -> Message:
    """Give an interface that is down another name."""
    return Message(_NEWLINK, 0, _link(index, 0, 0) + text(_NAME, name), f"name an interface {name}")


def delete(name: str) -> Message:
    """Remove an interface; of a pair, both ends."""
    return Message(_DELLINK, 0, _named(name, 0, 0), f"remove the interface {name}")


def address(index: int, value: str, *, broadcast: bool = True) -> Message:
    """Give an interface an address with its prefix length.  IPv6 addresses are usable at once (no DAD)."""
    return Message(_NEWADDR, _NEW, _address(index, value, broadcast), f"add the address {value}")


def delete_address(index: int, value: str) -> Message:
    """Take an address away."""
    return Message(_DELADDR, 0, _address(index, value, False), f"remove the address {value}")


def route(gateway: str, *, index: int) -> Message:
    """Make the default route of its family one by way of ``gateway``."""
    packed = packed_address(gateway)
    body = _route(len(packed), 0, _SCOPE_UNIVERSE) + attribute(_RTA_GATEWAY, packed) + number(_RTA_OIF, index)
    return Message(_NEWROUTE, CREATE | REPLACE, body, f"set the default route by way of {gateway}")


def no_route(*, ipv6: bool) -> Message:
    """Remove the default route of a family."""
    return Message(_DELROUTE, 0, _route(16 if ipv6 else 4, 0, _SCOPE_NOWHERE), "remove the default route")


def device_route(destination: str, index: int) -> Message:
    """Make a route to ``destination`` ("172.18.0.0/16") without a gateway; "0.0.0.0/0" replaces the default route."""
    host, _, bits = destination.partition("/")
    packed = packed_address(host)
    body = _route(len(packed), int(bits), _SCOPE_LINK) + number(_RTA_OIF, index)
    if int(bits):
        body += attribute(_RTA_DST, packed)
    return Message(_NEWROUTE, _NEW if int(bits) else CREATE | REPLACE, body, f"add the route to {destination}")


def links(socket: Socket) -> list[Link]:
    """Every interface of the socket's namespace."""
    return [_read_link(content) for content in socket.dump(Message(_GETLINK, 0, _link(0, 0), "list interfaces"))]


def find(socket: Socket, name: str) -> Link | None:
    """The interface of this name."""
    content = socket.get(Message(_GETLINK, 0, _named(name, 0, 0), f"look for the interface {name}"))
    return None if content is None else _read_link(content)


def addresses(socket: Socket) -> list[Address]:
    """Every address in the socket's namespace."""
    found = []
    for content in socket.dump(Message(_GETADDR, 0, pack("=BBBBI", 0, 0, 0, 0, 0), "list addresses")):
        family, bits, _flags, _scope, index = unpack_from("=BBBBI", content)
        given = attributes(content, 8)
        packed = given.get(_IFA_LOCAL) or given.get(_IFA_ADDRESS)
        if packed and family in (_socket.AF_INET, _socket.AF_INET6):
            found.append(Address(index, f"{address_text(packed)}/{bits}"))
    return found


def routes(socket: Socket) -> list[Route]:
    """Every unicast route of the main table in the socket's namespace."""
    found = []
    for content in socket.dump(Message(_GETROUTE, 0, pack("=BBBBBBBBI", *(0,) * 9), "list routes")):
        family, bits, _src, _tos, table, _protocol, _scope, kind, _flags = unpack_from("=BBBBBBBBI", content)
        given = attributes(content, 12)
        if _RTA_TABLE in given:
            table = unpack_from("=I", given[_RTA_TABLE])[0]
        if table != _TABLE_MAIN or kind != _UNICAST or family not in (_socket.AF_INET, _socket.AF_INET6):
            continue
        destination = f"{address_text(given[_RTA_DST])}/{bits}" if _RTA_DST in given else ""
        index = unpack_from("=I", given[_RTA_OIF])[0] if _RTA_OIF in given else 0
        gateway = address_text(given[_RTA_GATEWAY]) if _RTA_GATEWAY in given else ""
        found.append(Route(destination, index, gateway, family == _socket.AF_INET6))
    return found


def packed_address(value: str) -> bytes:
    """The four or sixteen bytes of an address.  Raises OSError for what is none."""
    return _socket.inet_pton(_socket.AF_INET6 if ":" in value else _socket.AF_INET, value)


def address_text(packed: bytes) -> str:
    """The address as people write it."""
    return _socket.inet_ntop(_socket.AF_INET6 if len(packed) == 16 else _socket.AF_INET, packed)


def _link(index: int, flags: int, change: int | None = None) -> bytes:
    return pack("=BxHiII", 0, 0, index, flags, flags if change is None else change)


def _link_change(name: str | int, flags: int) -> bytes:
    return _named(name, flags, _UP)


def _named(name: str | int, flags: int, change: int | None = None) -> bytes:
    if isinstance(name, int):
        return _link(name, flags, change)
    return _link(0, flags, change) + text(_NAME, name)


def _info(kind: str, data: bytes = b"") -> bytes:
    return nested(_LINKINFO, text(_KIND, kind), data)


def _shared(mac: str, mtu: int) -> list[bytes]:
    found = [attribute(_ADDRESS, bytes.fromhex(mac.replace(":", "")))] if mac else []
    if mtu:
        found.append(number(_MTU, mtu))
    return found


def _address(index: int, value: str, broadcast: bool) -> bytes:
    host, _, bits = value.partition("/")
    packed = packed_address(host)
    family = _socket.AF_INET if len(packed) == 4 else _socket.AF_INET6
    flags = _NODAD if family == _socket.AF_INET6 else 0
    body = pack("=BBBBI", family, int(bits), flags, 0, index)
    body += attribute(_IFA_LOCAL, packed) + attribute(_IFA_ADDRESS, packed)
    if broadcast and family == _socket.AF_INET and int(bits) < 31:
        last = int.from_bytes(packed, "big") | (1 << 32 - int(bits)) - 1
        body += attribute(_IFA_BROADCAST, last.to_bytes(4, "big"))
    return body


def _route(size: int, bits: int, scope: int) -> bytes:
    family = _socket.AF_INET if size == 4 else _socket.AF_INET6
    scope = scope if size == 4 else _SCOPE_UNIVERSE
    return pack("=BBBBBBBBI", family, bits, 0, 0, _TABLE_MAIN, _PROTOCOL_BOOT, scope, _UNICAST, 0)


def _read_link(content: bytes) -> Link:
    _family, _type, index, flags, _change = unpack_from("=BxHiII", content)
    given = attributes(content, 16)
    info = attributes(given.get(_LINKINFO, b""))

    def value(kind: int) -> int:
        return int(unpack_from("=I", given[kind])[0]) if kind in given else 0

    return Link(
        index=index,
        name=string(given.get(_NAME, b"")),
        kind=string(info.get(_KIND, b"")),
        mac=given[_ADDRESS].hex(":") if given.get(_ADDRESS) else "",
        up=bool(flags & _UP),
        mtu=value(_MTU),
        master=value(_MASTER),
        parent=value(_LINK),
        alias=string(given.get(_ALIAS, b"")),
    )
