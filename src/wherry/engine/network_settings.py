"""``NetworkSettings`` of ``docker inspect`` (Engine API 1.48), and the ports that `ps` and `port` show."""

from __future__ import annotations

from wherry.container.modes import container_of
from wherry.errors import NotFound
from wherry.network.model import Endpoint, endpoint_from, from_row, settings_from
from wherry.store import networks

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

    from wherry.container.record import ContainerRecord
    from wherry.container.state import State
    from wherry.engine.engine import Engine
    from wherry.network.model import EndpointSettings, Network
    from wherry.store.networks import EndpointRow


def describe(engine: Engine, record: ContainerRecord, state: State) -> dict[str, Any]:
    """The networks of a container as they are now; addresses only while it runs."""
    shown = places(engine, networks.endpoints_of(engine.db, record.id), lambda: record)
    first = shown.get("bridge", {})  # whatever else it is connected to
    has_own = state.running and not container_of(record.options.network_mode)
    return {
        "Bridge": "",
        "SandboxID": record.id if has_own else "",
        "SandboxKey": f"/proc/{state.pid}/ns/net" if has_own else "",
        "Ports": ports(engine, record, state),
        "HairpinMode": False,
        "LinkLocalIPv6Address": "",
        "LinkLocalIPv6PrefixLen": 0,
        "SecondaryIPAddresses": None,
        "SecondaryIPv6Addresses": None,
        "EndpointID": first.get("EndpointID", ""),
        "Gateway": first.get("Gateway", ""),
        "GlobalIPv6Address": first.get("GlobalIPv6Address", ""),
        "GlobalIPv6PrefixLen": first.get("GlobalIPv6PrefixLen", 0),
        "IPAddress": first.get("IPAddress", ""),
        "IPPrefixLen": first.get("IPPrefixLen", 0),
        "IPv6Gateway": first.get("IPv6Gateway", ""),
        "MacAddress": first.get("MacAddress", ""),
        "Networks": shown,
    }


def places(
    engine: Engine,
    rows: Iterable[EndpointRow],
    record: Callable[[], ContainerRecord],
    seen: dict[str, Network | None] | None = None,
) -> dict[str, dict[str, Any]]:
    """What a container is in each of its networks, by name: Docker's ``EndpointSettings``.

    ``record`` gives the container's where it is needed; ``seen`` keeps the networks, by id, for the next container of a
    list.
    """
    seen = {} if seen is None else seen
    shown: dict[str, dict[str, Any]] = {}
    for row in rows:
        if row.network_id not in seen:
            seen[row.network_id] = _network(engine, row.network_id)
        network = seen[row.network_id]
        if network is not None:
            shown[network.name] = _place(network, record, row)
    return shown


def _network(engine: Engine, identity: str) -> Network | None:
    try:
        return from_row(networks.find(engine.db, identity))
    except NotFound:
        return None  # removed while the container was stopped


def _place(network: Network, record: Callable[[], ContainerRecord], row: EndpointRow) -> dict[str, Any]:
    settings = settings_from(row.settings)
    own = endpoint_from(row.record) if row.active else Endpoint("", network.id, row.container_id)
    ipv4, _, length4 = own.ipv4.partition("/")
    ipv6, _, length6 = own.ipv6.partition("/")
    named = network.driver not in ("host", "null") and network.name != "bridge"
    return {
        "IPAMConfig": _ipam(settings),
        "Links": (list(settings.links) or None) if network.name != "bridge" else None,  # those are HostConfig's
        "Aliases": list(settings.aliases) or None,
        "MacAddress": own.mac or settings.mac,
        "DriverOpts": dict(settings.driver_options) or None,
        "GwPriority": settings.gateway_priority,
        "NetworkID": network.id,
        "EndpointID": own.id,
        "Gateway": own.gateway,
        "IPAddress": ipv4,
        "IPPrefixLen": int(length4 or 0),
        "IPv6Gateway": own.gateway6,
        "GlobalIPv6Address": ipv6,
        "GlobalIPv6PrefixLen": int(length6 or 0),
        "DNSNames": dns_names(record(), settings) if named else None,
    }


def _ipam(settings: EndpointSettings) -> dict[str, Any] | None:
    found: dict[str, Any] = {"IPv4Address": settings.ipv4, "IPv6Address": settings.ipv6}
    found["LinkLocalIPs"] = list(settings.link_local)
    given = {key: value for key, value in found.items() if value}
    return given or None


def dns_names(record: ContainerRecord, settings: EndpointSettings) -> list[str]:
    """What a container is called in a network of its user's: its name, aliases, short id, host name."""
    names = [record.name, *settings.aliases, record.short_id]
    if record.options.hostname:
        names.append(record.options.hostname)
    return list(dict.fromkeys(names))


def ports(engine: Engine, record: ContainerRecord, state: State) -> dict[str, list[dict[str, str]] | None]:
    """Exposed ports, and where each is published; nothing while the container does not run."""
    if not state.running:
        return {}
    found: dict[str, list[dict[str, str]] | None] = {}
    if record.options.network_mode != "host" and not container_of(record.options.network_mode):
        found = dict.fromkeys(record.options.exposed_ports)
    for row in networks.ports_of(engine.db, record.id):
        own = f"{row.container_port}/{row.protocol}"
        found[own] = [*(found.get(own) or ()), {"HostIp": row.host_ip, "HostPort": str(row.host_port)}]
    return found
