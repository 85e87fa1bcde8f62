"""What networks, endpoints and published ports are: frozen values, made from rows of the database.

Names of interfaces are unique on the host, whatever store they belong to, so whatever is keyed by the name of a bridge
can live beside other stores' in one table.
"""

from __future__ import annotations

from wherry import fastjson
from wherry.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from wherry.store.networks import NetworkRow

    Pairs = tuple[tuple[str, str], ...]

ANY_IPV4 = "0.0.0.0"
ANY_IPV6 = "::"


class Subnet(Record):
    """One range of addresses of a network, IPv4 or IPv6."""

    subnet: str  # "172.18.0.0/16", "fd00:1::/64"
    gateway: str = ""  # "172.18.0.1": the bridge's own address, or the router that macvlan and ipvlan use; "" for none
    ip_range: str = ""  # the part of the subnet that addresses are given from; "" for all of it
    aux_addresses: Pairs = ()  # (name, address) that are never given

    @property
    def is_ipv6(self) -> bool:
        """Which of the two families it is of."""
        return ":" in self.subnet

    @property
    def prefix_length(self) -> int:
        """The bits of the subnet."""
        return int(self.subnet.rpartition("/")[2])


class Network(Record):
    """A network of one store.  ``bridge`` is the bridge's interface name ("wherry0"), "" for drivers that have none.

    ``internal``: nothing is forwarded between it and any other interface, and its containers have no default route.
    ``icc`` False: its containers reach each other by published ports alone.  ``masquerade`` False: packets leave the
    host with the container's address.  ``host_binding`` is the address that ports are published on when ``--publish``
    names none ("0.0.0.0").  ``gateway_mode_*`` are "nat", "routed", "isolated" or "nat-unprotected"; "" is nat.
    """

    id: str  # 64 hexadecimal digits
    name: str
    driver: str = "bridge"  # "bridge", "macvlan", "ipvlan", "host", "null"
    bridge: str = ""
    subnets: tuple[Subnet, ...] = ()
    unused: tuple[Subnet, ...] = ()  # asked for, of a family that it does not have: shown, and given to nobody
    internal: bool = False
    attachable: bool = False
    ipam_options: bool = True  # false: shown as null, not as none
    configured: bool = False  # somebody chose its subnet, so addresses in it may be asked for
    enable_ipv4: bool = True
    enable_ipv6: bool = False
    icc: bool = True
    masquerade: bool = True
    host_binding: str = ANY_IPV4
    gateway_mode_ipv4: str = ""
    gateway_mode_ipv6: str = ""
    mtu: int = 0  # 0: the kernel's
    parent: str = ""  # the host's interface under macvlan and ipvlan, as asked for; see `lower`
    mode: str = ""  # macvlan's and ipvlan's
    flag: str = ""  # ipvlan's: "bridge", "private", "vepa"; "" is bridge
    container_prefix: str = "eth"  # interfaces of containers: eth0, eth1 …
    options: Pairs = ()  # as given with --opt
    labels: Pairs = ()
    created: int = 0  # epoch nanoseconds

    @property
    def ipv4(self) -> Subnet | None:
        """Its first IPv4 subnet."""
        return next((subnet for subnet in self.subnets if not subnet.is_ipv6), None)

    @property
    def ipv6(self) -> Subnet | None:
        """Its first IPv6 subnet."""
        return next((subnet for subnet in self.subnets if subnet.is_ipv6), None)

    @property
    def has_gateway(self) -> bool:
        """Whether its containers go out by way of a router; in layer 3 an ipvlan's own interface is the way."""
        return not (self.internal or (self.driver == "ipvlan" and self.mode.startswith("l3")))

    @property
    def lower(self) -> str:
        """The host's interface that macvlan and ipvlan lie on: the parent, or one of the network's own, with Docker's
        name for it."""
        return self.parent or f"d{self.driver[0]}-{self.id[:12]}"


class EndpointSettings(Record):
    """What was asked for when a container was connected to a network; it outlives the container's runs."""

    ipv4: str = ""
    ipv6: str = ""
    mac: str = ""
    aliases: tuple[str, ...] = ()
    links: tuple[str, ...] = ()  # "container:alias"
    link_local: tuple[str, ...] = ()  # more addresses, of the link alone
    driver_options: Pairs = ()
    gateway_priority: int = 0  # the network with the highest has the default route


class Endpoint(Record):
    """A container's place in a network, as long as the container runs.

    Addresses carry their prefix ("172.18.0.2/16"), gateways do not; "" is none.  ``interface`` is the name inside the
    container, ``host_interface`` that of the other end, on the bridge.
    """

    id: str
    network_id: str
    container_id: str
    interface: str = "eth0"
    host_interface: str = ""
    mac: str = ""  # "02:42:ac:12:00:02"
    ipv4: str = ""
    ipv6: str = ""
    gateway: str = ""
    gateway6: str = ""
    gateway_priority: int = 0
    aliases: tuple[str, ...] = ()
    names: tuple[str, ...] = ()  # that the name server knows besides the container's name and aliases
    link_local: tuple[str, ...] = ()  # more addresses, with prefixes
    sysctls: Pairs = ()  # of the interface: "net/ipv4/conf/eth0/log_martians" and its value


class PublishedPort(Record):
    """A port of a container that the host answers on.

    ``host_ip`` is "0.0.0.0" or "::" for every address of the host of that family; its family need not be that of
    ``container_ip``.
    """

    protocol: str  # "tcp", "udp", "sctp"
    host_ip: str
    host_port: int
    container_ip: str
    container_port: int
    bridge: str
    network_id: str
    container_id: str


def to_json(value: Record, *left_out: str) -> str:
    """One line of JSON with the fields that differ from their defaults."""
    document = {
        field: _plain(getattr(value, field))
        for field in value._fields
        if field not in left_out and getattr(value, field) != value._defaults.get(field)
    }
    return fastjson.dumps(document)


def from_row(row: NetworkRow) -> Network:
    """The network in a row.  Fields that this version does not know are left out: a newer one wrote them."""
    fields = _known(Network, row.record)
    for name in ("subnets", "unused"):
        found = fields.get(name, ())
        fields[name] = tuple(
            [Subnet(**{**one, "aux_addresses": _frozen(one.get("aux_addresses", []))}) for one in found]
        )
    return Network(**(fields | {"id": row.id, "name": row.name, "created": row.created}))


def endpoint_from(record: str) -> Endpoint:
    """The endpoint in a row, as `to_json` wrote it."""
    return Endpoint(**_known(Endpoint, record))


def settings_from(record: str) -> EndpointSettings:
    """The settings in a row."""
    return EndpointSettings(**_known(EndpointSettings, record))


def _known(cls: type[Record], record: str) -> dict[str, Any]:
    return {name: _frozen(value) for name, value in fastjson.loads(record).items() if name in cls._fields}


def _plain(value: Any) -> Any:
    if isinstance(value, Record):
        return {field: _plain(getattr(value, field)) for field in value._fields}
    return [_plain(item) for item in value] if isinstance(value, tuple) else value


def _frozen(value: Any) -> Any:
    return tuple([_frozen(item) for item in value]) if isinstance(value, list) else value
