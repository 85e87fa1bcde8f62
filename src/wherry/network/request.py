"""From what ``network create`` is asked for to the subnets of a network.  Pure.

Which range, gateway and auxiliary address belongs to which subnet is found out as Docker's client does
(docker/cli ``command/network/create.go``, ``consolidateIpam``), in its words.
"""

from __future__ import annotations

from wherry.errors import InvalidArgument
from wherry.network.addresses import Range, first_host, normal
from wherry.network.model import Subnet
from wherry.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wherry.network.model import Pairs


class NetworkRequest(Record):
    """``network create``, already typed (Docker API: ``NetworkCreateRequest``)."""

    name: str
    driver: str = "bridge"
    subnets: tuple[str, ...] = ()
    ip_ranges: tuple[str, ...] = ()
    gateways: tuple[str, ...] = ()
    aux_addresses: Pairs = ()
    internal: bool = False
    attachable: bool = False
    enable_ipv4: bool = True
    enable_ipv6: bool = False
    options: Pairs = ()
    labels: Pairs = ()
    ipam_options: bool = True  # whether there are any, if only none

    def uses(self, subnet: str) -> bool:
        """Whether the network has the family of a subnet that was asked for; if not, it does without (Docker)."""
        return self.enable_ipv6 if ":" in subnet else self.enable_ipv4


def subnets(request: NetworkRequest) -> tuple[Subnet, ...]:
    """The subnets asked for, each with its own.  Raises `InvalidArgument`."""
    given = request.subnets
    if len(given) < len(request.ip_ranges) or len(given) < len(request.gateways):
        raise InvalidArgument("every ip-range or gateway must have a corresponding subnet")
    found: dict[str, Subnet] = {}
    for text in given:
        own = Range(text)
        if (
            request.uses(text)
            and own.text != text.lower()
            and normal(text.partition("/")[0]) != own.text.partition("/")[0]
        ):
            raise InvalidArgument(f"invalid network config:\ninvalid subnet {text}: it should be {own.text}")
        if any(own.overlaps(Range(other)) for other in found):
            raise InvalidArgument("multiple overlapping subnet configuration is not supported")
        found[own.text] = Subnet(own.text)
    for text in request.ip_ranges:
        part = Range(text)
        home = _home(
            found, [name for name in found if part.within(Range(name))], f"no matching subnet for range {text}"
        )
        if home.ip_range:
            raise InvalidArgument(
                f"cannot configure multiple ranges ({text}, {home.ip_range}) on the same subnet ({home.subnet})"
            )
        found[home.subnet] = home.replace(ip_range=part.text)
    for text in request.gateways:
        home = _home(found, _holders(found, text), f"no matching subnet for gateway {text}")
        if home.gateway:
            raise InvalidArgument(
                f"cannot configure multiple gateways ({text}, {home.gateway}) for the same subnet ({home.subnet})"
            )
        found[home.subnet] = home.replace(gateway=normal(text))
    for name, text in request.aux_addresses:
        home = _home(found, _holders(found, text), f"no matching subnet for aux-address {text}")
        found[home.subnet] = home.replace(aux_addresses=(*home.aux_addresses, (name, normal(text))))
    return tuple([_with_gateway(request, one) if request.uses(one.subnet) else one for one in found.values()])


def warnings(request: NetworkRequest) -> tuple[str, ...]:
    """What of the request has no effect."""
    return tuple(
        [
            f"the subnet {text} is not used: {'IPv6' if ':' in text else 'IPv4'} is not enabled for this network"
            for text in request.subnets
            if not request.uses(text)
        ]
    )


def _holders(found: dict[str, Subnet], address: str) -> list[str]:
    return [name for name in found if Range(name).holds(address)]


def _home(found: dict[str, Subnet], names: list[str], message: str) -> Subnet:
    if not names:
        raise InvalidArgument(message)
    return found[names[0]]


def _with_gateway(request: NetworkRequest, subnet: Subnet) -> Subnet:
    """Its first address (of the range, where there is one) unless one was named; macvlan and ipvlan without a way out
    need none."""
    if subnet.gateway:
        return subnet
    taken = {address for _name, address in subnet.aux_addresses}
    first = first_host(subnet.subnet)
    if first in taken:
        raise InvalidArgument(f"the gateway {first} is an auxiliary address too", hint="name another --gateway")
    if request.internal and request.driver != "bridge":
        return subnet
    return subnet.replace(gateway=first)


def check_name(name: str) -> None:
    """Raises `InvalidArgument` for what cannot name a network: Docker takes whatever is not blank, but what a terminal
    would obey is no name."""
    if not name.strip():
        raise InvalidArgument("invalid name: name is empty")
    if not name.isprintable():
        raise InvalidArgument("invalid name: it has characters that cannot be printed")
