"""`wherry network connect`."""

from __future__ import annotations

from wherry.cli.parser import Command
from wherry.container.parse_mount import csv_fields
from wherry.errors import InvalidArgument

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wherry.cli.main import Call

# fmt: off
COMMAND = Command(
    paths=("network connect",),
    usage="[OPTIONS] NETWORK CONTAINER",
    summary="Connect a container to a network",
    description="A running container gets an interface at once; any other gets it when it starts.",
    least=2,
    most=2,
    options=(
        ("alias", "", "strings", "", "Add network-scoped alias for the container"),
        ("driver-opt", "", "strings", "", "driver options for the network"),
        ("gw-priority", "", "int", "", "Highest gw-priority provides the default gateway. Accepts positive and "
         "negative values"),
        ("ip", "", "string", "", "IPv4 address (e.g., 172.30.100.104)"),
        ("ip6", "", "string", "", "IPv6 address (e.g., 2001:db8::33)"),
        ("link", "", "list", "", "Add link to another container"),
        ("link-local-ip", "", "strings", "", "Add a link-local address for the container"),
    ),
)
# fmt: on
CHECKS = {"alias": csv_fields, "driver-opt": csv_fields, "link-local-ip": csv_fields}


def main(call: Call) -> int:
    """Gives a container a place in a network."""
    from wherry.cli.container_network import link
    from wherry.container.options import NetworkOption
    from wherry.engine.connections import connect

    network, container = call.arguments
    options = []
    for text in _each(call, "driver-opt"):
        name, equals, value = text.partition("=")
        if not equals:
            raise InvalidArgument("invalid key/value pair format in driver options")
        options.append((name.strip(), value.strip()))
    option = NetworkOption(
        network,
        aliases=_each(call, "alias"),
        ipv4=call.get("ip", ""),
        ipv6=call.get("ip6", ""),
        links=tuple([link(text) for text in call.get("link", ())]),
        link_local=_each(call, "link-local-ip"),
        driver_options=tuple(options),
        gateway_priority=call.get("gw-priority", 0),
    )
    call.verb(connect)(option, container)
    return 0


def _each(call: Call, option: str) -> tuple[str, ...]:
    """An option's values, of which one time may give several."""
    return tuple([text for several in call.get(option, ()) for text in several])
