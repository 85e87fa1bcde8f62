"""`wherry network create`."""

from __future__ import annotations

import sys

from wherry.cli.parser import Command
from wherry.errors import InvalidArgument

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wherry.cli.main import Call

_SWARM = "wherry has no swarm"
# fmt: off
COMMAND = Command(
    paths=("network create",),
    usage="[OPTIONS] NETWORK",
    summary="Create a network",
    description="Drivers are **bridge**, **macvlan** and **ipvlan**. Options of bridge networks are those of Docker "
    "that begin with `com.docker.network.bridge.`: **name**, **enable_icc**, **enable_ip_masquerade**, "
    "**host_binding_ipv4**, **gateway_mode_ipv4** and **gateway_mode_ipv6**; of all `com.docker.network.driver.mtu` "
    "and `com.docker.network.container_iface_prefix`; of macvlan and ipvlan **parent** "
    "(an interface, or a VLAN that is made on one: `eth0.10`), **macvlan_mode**, **ipvlan_mode** and **ipvlan_flag**.",
    least=1,
    most=1,
    options=(
        ("attachable", "", "bool", "", "Enable manual container attachment"),
        ("aux-address", "", "map", "map[]", "Auxiliary IPv4 or IPv6 addresses used by Network driver"),
        ("driver", "d", "string", "bridge", "Driver to manage the Network"),
        ("gateway", "", "list", "", "IPv4 or IPv6 Gateway for the master subnet"),
        ("internal", "", "bool", "", "Restrict external access to the network"),
        ("ip-range", "", "list", "", "Allocate container ip from a sub-range"),
        ("ipam-driver", "", "string", "default", "IP Address Management Driver"),
        ("ipv4", "", "bool", "true", "Enable or disable IPv4 address assignment"),
        ("ipv6", "", "bool", "", "Enable or disable IPv6 address assignment"),
        ("label", "", "list", "", "Set metadata on a network"),
        ("opt", "o", "map", "map[]", "Set driver specific options"),
        ("subnet", "", "list", "", "Subnet in CIDR format that represents a network segment"),
    ),
    unsupported=(
        ("config-from", "", _SWARM),
        ("config-only", "", _SWARM),
        ("ingress", "", _SWARM),
        ("ipam-opt", "", "the only driver of addresses has no options"),
        ("scope", "", _SWARM),
    ),
    example="wherry network create --subnet 172.30.0.0/16 --gateway 172.30.0.1 back",
)
# fmt: on


def main(call: Call) -> int:
    """Makes a network and prints its id."""
    from wherry.container.parse_file import labels
    from wherry.engine.networks import create
    from wherry.network.firewall import obstacles
    from wherry.network.request import NetworkRequest, warnings

    if call.get("ipam-driver", "default") not in ("", "default"):
        raise InvalidArgument(f"the driver of addresses {call.get('ipam-driver')} does not exist", hint="use default")
    request = NetworkRequest(
        name=call.arguments[0],
        driver=call.get("driver", "bridge"),
        subnets=tuple(call.get("subnet", ())),
        ip_ranges=tuple(call.get("ip-range", ())),
        gateways=tuple(call.get("gateway", ())),
        aux_addresses=_pairs(call, "aux-address"),
        internal=call.get("internal", False),
        attachable=call.get("attachable", False),
        enable_ipv4=call.get("ipv4", True),
        enable_ipv6=call.get("ipv6", False),
        options=_pairs(call, "opt"),
        labels=labels((), call.get("label", ())),
    )
    print(call.verb(create)(request))
    for line in warnings(request):
        print(f"WARNING: {line}", file=sys.stderr)
    if call.remote() is None and request.driver == "bridge":
        for line in obstacles():
            print(f"WARNING: {line} (see docs/networks.md)", file=sys.stderr)
    return 0


def _pairs(call: Call, option: str) -> tuple[tuple[str, str], ...]:
    """``name=value``; the last value of a name counts."""
    found: dict[str, str] = {}
    for text in call.get(option, ()):
        name, _equals, value = text.partition("=")
        found[name] = value
    return tuple(found.items())
