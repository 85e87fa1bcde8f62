"""What the table of `wherry.network.firewall` holds, as changes of one transaction.  Pure.

A packet of another network meets, in this order (``BRIDGE`` is an interface's name)::

    raw          what claims to be the host's loopback and comes from elsewhere is dropped
    prerouting   to an address of the host: the published ports' maps may send it to a container
    output       the same for the host's own packets
    forward      by @leaving  → from-BRIDGE   what may leave an internal network
                 by @entering → to-BRIDGE     what may enter: answers, the network itself, published ports
    postrouting  by @arriving → hair-BRIDGE   who would be answered past the host gets the bridge's address
                 by @outside4, @outside6 → masq-BRIDGE   what leaves gets the host's address
"""

from __future__ import annotations

from _socket import AF_INET, AF_INET6, inet_pton
from _struct import pack

from wherry.linux import nftables as nft
from wherry.linux import nftables_rules as rule
from wherry.linux.nftables import (
    ACCEPT,
    DROP,
    IFNAME,
    INET_PROTO,
    INET_SERVICE,
    IPV4,
    IPV4_ADDR,
    IPV6,
    IPV6_ADDR,
    JUMP,
    VERDICT,
    Element,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from wherry.linux.nftables import Batch
    from wherry.network.model import Network, PublishedPort, Subnet

    Rule = tuple[bytes, ...]

_PROTOCOLS = {"tcp": 6, "udp": 17, "sctp": 132}
_ICMP = {IPV4: 1, IPV6: 58}
_LOOPBACK = (rule.masked(b"\xff\0\0\0"), rule.compare(b"\x7f\0\0\0"))
_LOOPBACK6 = bytes(15) + b"\1"
_BRIDGE_KIND = b"bridge".ljust(16, b"\0")
_FAMILIES = ((IPV4, IPV4_ADDR, 4), (IPV6, IPV6_ADDR, 6))


def skeleton(batch: Batch, *, guard: bool) -> None:
    """The table, its maps and base chains; what networks have in it stays.

    ``guard``: packets that neither come from a bridge nor go to one are not forwarded, because the host forwards at
    all only for the networks' sake.
    """
    batch.add_table()
    for name in ("leaving", "entering", "arriving"):
        batch.add_map(name, [IFNAME], [VERDICT])
    for _family, address, digit in _FAMILIES:
        batch.add_map(f"outside{digit}", [address], [VERDICT], interval=True)
        batch.add_map(f"ports{digit}", [INET_PROTO, INET_SERVICE], [address, INET_SERVICE])
        batch.add_map(f"ports{digit}_at", [address, INET_PROTO, INET_SERVICE], [address, INET_SERVICE])
        batch.add_set(f"routed{digit}", [address, INET_PROTO, INET_SERVICE])
    _chain(batch, "published", _published())
    local = (rule.to_local(), rule.judge(JUMP, "published"))
    batch.base_chain("raw", "filter", nft.PREROUTING, nft.RAW)
    _fill(batch, "raw", _raw())
    batch.base_chain("prerouting", "nat", nft.PREROUTING, nft.DSTNAT)
    _fill(batch, "prerouting", [local])
    batch.base_chain("output", "nat", nft.LOCAL_OUT, nft.DSTNAT)
    _fill(batch, "output", [local])
    batch.base_chain("forward", "filter", nft.FORWARD, nft.FILTER)
    _fill(batch, "forward", _forward(guard))
    batch.base_chain("postrouting", "nat", nft.POSTROUTING, nft.SRCNAT)
    _fill(batch, "postrouting", _postrouting())


def _chain(batch: Batch, name: str, rules: Iterable[Rule]) -> None:
    batch.add_chain(name)
    _fill(batch, name, rules)


def _fill(batch: Batch, name: str, rules: Iterable[Rule]) -> None:
    batch.flush_chain(name)
    for one in rules:
        batch.add_rule(name, *one)


def _raw() -> Iterator[Rule]:
    """A bridge with ``route_localnet`` takes what is said to be for 127.0.0.1, or from there (CVE-2020-8558)."""
    elsewhere = (rule.iif("lo", equal=False), rule.is_of(IPV4))
    yield (*elsewhere, rule.destination(IPV4), *_LOOPBACK, rule.judge(DROP))
    yield (*elsewhere, rule.source(IPV4), *_LOOPBACK, rule.judge(DROP))


def _published() -> Iterator[Rule]:
    for family, _address, digit in _FAMILIES:
        size = 1 if family == IPV4 else 4  # registers of an address
        port = rule.payload(rule.TRANSPORT, 2, 2, size + 1)
        to = rule.dnat(family, 0, size)
        elsewhere = () if family == IPV4 else (rule.destination(family), rule.compare(_LOOPBACK6, equal=False))
        one = (rule.destination(family), rule.meta(rule.PROTOCOL, size), port)
        yield (rule.is_of(family), *one, rule.lookup(f"ports{digit}_at", 0), to)
        every = (rule.meta(rule.PROTOCOL), rule.payload(rule.TRANSPORT, 2, 2, 1))
        yield (rule.is_of(family), *elsewhere, *every, rule.lookup(f"ports{digit}", 0), to)


def _forward(guard: bool) -> Iterator[Rule]:
    yield (rule.meta(rule.IIFNAME), rule.judge_by("leaving"))
    yield (rule.meta(rule.OIFNAME), rule.judge_by("entering"))
    if guard:
        neither = [(rule.meta(key), rule.compare(_BRIDGE_KIND, equal=False)) for key in (rule.IIFKIND, rule.OIFKIND)]
        yield (*neither[0], *neither[1], rule.judge(DROP))


def _postrouting() -> Iterator[Rule]:
    yield (rule.meta(rule.OIFNAME), rule.judge_by("arriving"))
    for family, _address, digit in _FAMILIES:
        yield (rule.is_of(family), rule.source(family), rule.judge_by(f"outside{digit}"))


def add_network(batch: Batch, network: Network) -> None:
    """What a network with a bridge has in the table, anew."""
    bridge = network.bridge
    key = rule.name_of(bridge)
    _chain(batch, f"to-{bridge}", entering(network))
    batch.add_elements("entering", [Element(key, chain=f"to-{bridge}")])
    if network.internal:
        _chain(batch, f"from-{bridge}", [(rule.oif(bridge, equal=False), rule.judge(DROP))])
        batch.add_elements("leaving", [Element(key, chain=f"from-{bridge}")])
        return
    _chain(batch, f"hair-{bridge}", _hairpin(network))
    batch.add_elements("arriving", [Element(key, chain=f"hair-{bridge}")])
    hidden = _hidden(network)
    if hidden:
        _chain(batch, f"masq-{bridge}", [(rule.oif(bridge, equal=False), rule.masquerade())])
    for subnet in hidden:
        batch.add_elements(f"outside{_digit(subnet)}", interval(subnet.subnet, f"masq-{bridge}"))


def delete_network(batch: Batch, network: Network) -> None:
    """The same, taken away."""
    bridge = network.bridge
    key = Element(rule.name_of(bridge))
    batch.delete_elements("entering", [key])
    batch.delete_chain(f"to-{bridge}")
    if network.internal:
        batch.delete_elements("leaving", [key])
        batch.delete_chain(f"from-{bridge}")
        return
    batch.delete_elements("arriving", [key])
    batch.delete_chain(f"hair-{bridge}")
    hidden = _hidden(network)
    for subnet in hidden:
        batch.delete_elements(f"outside{_digit(subnet)}", interval(subnet.subnet))
    if hidden:
        batch.delete_chain(f"masq-{bridge}")


def entering(network: Network) -> list[Rule]:
    """What may enter a network; its last rule drops the rest.

    A connection whose destination was changed came through a published port, of whatever network: nobody else's packets
    get in, even where a neighbour of the host sends them to the container's address.
    """
    rules: list[Rule] = [(rule.state(rule.ESTABLISHED_OR_RELATED), rule.judge(ACCEPT))]
    if network.icc:
        rules.append((rule.iif(network.bridge), rule.judge(ACCEPT)))
    if not network.internal:
        rules.append((rule.status(rule.DESTINATION_CHANGED), rule.judge(ACCEPT)))
        for family, _address, digit in _FAMILIES:
            rules += _direct(family, digit, network.gateway_mode_ipv4 if digit == 4 else network.gateway_mode_ipv6)
    return [*rules, (rule.judge(DROP),)]


def _direct(family: int, digit: int, mode: str) -> Iterator[Rule]:
    """Who may reach containers by their own addresses."""
    if mode == "nat-unprotected":
        yield (rule.is_of(family), rule.judge(ACCEPT))
    if mode == "routed":
        icmp = rule.compare(bytes((_ICMP[family],)))
        yield (rule.is_of(family), rule.meta(rule.PROTOCOL), icmp, rule.judge(ACCEPT))
        size = 1 if family == IPV4 else 4
        key = (rule.destination(family), rule.meta(rule.PROTOCOL, size), rule.payload(rule.TRANSPORT, 2, 2, size + 1))
        yield (rule.is_of(family), *key, rule.lookup(f"routed{digit}"), rule.judge(ACCEPT))


def _hairpin(network: Network) -> Iterator[Rule]:
    """A container that reaches its own network by a published port would be answered directly, and the host's loopback
    not at all."""
    yield (rule.is_of(IPV4), rule.source(IPV4), *_LOOPBACK, rule.masquerade())
    for subnet in network.subnets:
        family = IPV6 if subnet.is_ipv6 else IPV4
        start, mask = _bounds(subnet.subnet)
        inside = (rule.is_of(family), rule.source(family), rule.masked(mask), rule.compare(start))
        yield (*inside, rule.status(rule.DESTINATION_CHANGED), rule.masquerade())


def _hidden(network: Network) -> list[Subnet]:
    """The subnets whose packets leave the host with its address."""
    if not network.masquerade:
        return []
    routed = (network.gateway_mode_ipv4 == "routed", network.gateway_mode_ipv6 == "routed")
    return [subnet for subnet in network.subnets if not routed[subnet.is_ipv6]]


def ports(published: Iterable[PublishedPort], routed: Iterable[PublishedPort] = ()) -> dict[str, list[Element]]:
    """The elements of published ports, by map.

    Those whose host address is of another family than the container's, or ::1, have none: packets cannot be sent there.
    ``routed`` are ports of networks whose gateway mode is routed.
    """
    found: dict[str, list[Element]] = {}
    for port in published:
        if (":" in port.host_ip) != (":" in port.container_ip) or port.host_ip == "::1":
            continue
        digit = 6 if ":" in port.host_ip else 4
        key = _protocol(port.protocol) + _port(port.host_port)
        name = f"ports{digit}"
        if port.host_ip not in ("0.0.0.0", "::"):
            name, key = f"ports{digit}_at", _address(port.host_ip) + key
        value = _address(port.container_ip) + _port(port.container_port)
        found.setdefault(name, []).append(Element(key, value))
    for port in routed:
        name = "routed6" if ":" in port.container_ip else "routed4"
        key = _address(port.container_ip) + _protocol(port.protocol) + _port(port.container_port)
        found.setdefault(name, []).append(Element(key))
    return found


def interval(subnet: str, chain: str = "") -> list[Element]:
    """The two elements of a map with intervals that a subnet is: its first address, and the one after its last."""
    start, mask = _bounds(subnet)
    size = len(start)
    after = int.from_bytes(start, "big") + (1 << size * 8) - int.from_bytes(mask, "big")
    ends = [Element(after.to_bytes(size, "big"), end=True)] if after < 1 << size * 8 else []
    return [Element(start, chain=chain), *ends]


def _bounds(subnet: str) -> tuple[bytes, bytes]:
    address, _slash, length = subnet.partition("/")
    start = _address(address)
    bits = len(start) * 8
    mask = ((1 << int(length)) - 1) << bits - int(length)
    first = int.from_bytes(start, "big") & mask
    return first.to_bytes(len(start), "big"), mask.to_bytes(len(start), "big")


def _digit(subnet: Subnet) -> int:
    return 6 if subnet.is_ipv6 else 4


def _address(address: str) -> bytes:
    return inet_pton(AF_INET6 if ":" in address else AF_INET, address)


def _protocol(name: str) -> bytes:
    return bytes((_PROTOCOLS[name], 0, 0, 0))


def _port(number: int) -> bytes:
    return pack(">HH", number, 0)
