"""Which networks a new container is to have a place in, decided when it is created."""

from __future__ import annotations

import os

from wherry.container.modes import container_of
from wherry.container.options import NetworkOption
from wherry.errors import InvalidArgument, NotSupported
from wherry.network.model import EndpointSettings, endpoint_from, from_row, to_json
from wherry.store import networks

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wherry.container.options import ContainerOptions
    from wherry.engine.engine import Engine
    from wherry.network.model import Endpoint, Network
    from wherry.store.networks import EndpointRow

DEFAULT = "bridge"
NONE = "none"
_OWN = ("", "wherry")  # runtimes that give the network program what it needs


def with_default(engine: Engine, options: ContainerOptions) -> ContainerOptions:
    """Options that name their network: without ``--network`` it is "bridge", but "none" for somebody who is not root
    where there is no program for it."""
    if options.network_mode in ("", "default"):
        mode = NONE if engine.rootless and not _has_user_network(options) else DEFAULT
        named = tuple([one.replace(name=mode) if one.name in ("", DEFAULT) else one for one in options.networks])
        return options.replace(network_mode=mode, networks=named)
    return options


def decide(engine: Engine, options: ContainerOptions) -> list[tuple[str, EndpointSettings]]:
    """(network id, settings) for every place.  Raises `NotFound` for a network, `InvalidArgument` for settings that it
    cannot fulfil, `NotSupported` without root."""
    mode = options.network_mode
    if container_of(mode):
        return []
    said = {one.name: one for one in options.networks}
    names = [mode, *[name for name in said if name != mode]]
    found: dict[str, tuple[str, EndpointSettings]] = {}
    for name in names:
        network = from_row(networks.find(engine.db, name))
        settings = settings_of(said.get(name, NetworkOption(name)))
        if engine.rootless:
            _check_rootless(network, settings, options)
        check(network, settings)
        settings = with_links(engine, network, settings)
        if network.id in found:
            raise InvalidArgument(f'network "{name}" is specified multiple times')
        found[network.id] = (network.id, settings)
    if engine.rootless and DEFAULT in names and len(names) > 1:
        raise alone()
    return list(found.values())


def with_links(engine: Engine, network: Network, settings: EndpointSettings) -> EndpointSettings:
    """The settings with the ids of those whom links of the default network name, who may be called otherwise later;
    elsewhere a name server finds them when asked.

    Raises `NotFound` for one that is not there.
    """
    if not settings.links or network.name != DEFAULT:
        return settings
    from wherry.engine.containers import find

    links = []
    for target, alias in [link.partition(":")[::2] for link in settings.links]:
        row = find(engine, target)
        links.append(f"{row.id}:{alias or row.name}")
    return settings.replace(links=tuple(links))


def alone() -> NotSupported:
    """What is said when the default network and another are to be one container's, without root."""
    return NotSupported(
        f"a container of the network {DEFAULT} cannot be in another one without root",
        hint="use networks that `network create` made, without the default one",
    )


def _has_user_network(options: ContainerOptions) -> bool:
    from wherry.network import usermode

    return options.runtime in _OWN and usermode.is_usable()


def _check_rootless(network: Network, settings: EndpointSettings, options: ContainerOptions) -> None:
    """Somebody who is not root has networks by a program, with our own runtime."""
    if network.driver in ("null", "host"):
        return
    if network.name == DEFAULT and (settings.link_local or settings.driver_options):
        raise NotSupported(
            "options of a container's place in the default network are not supported without root",
            hint="leave out driver-opt and link-local-ip, or use a network that `network create` made",
        )
    if options.runtime not in _OWN:
        raise NotSupported(
            f"network {network.name} is not supported without root under the runtime {options.runtime}",
            hint="use --network none or host, or leave out --runtime",
        )
    from wherry.network import usermode

    if usermode.find() is None:
        raise usermode.needed()


def settings_of(option: NetworkOption) -> EndpointSettings:
    """What an option asks for, with addresses as the kernel writes them."""
    if option == NetworkOption(option.name):
        return EndpointSettings()
    from wherry.network.addresses import normal

    return EndpointSettings(
        ipv4=normal(option.ipv4) if option.ipv4 else "",
        ipv6=normal(option.ipv6) if option.ipv6 else "",
        mac=option.mac,
        aliases=option.aliases,
        links=option.links,
        link_local=option.link_local,
        driver_options=option.driver_options,
        gateway_priority=option.gateway_priority,
    )


def check(network: Network, settings: EndpointSettings) -> None:
    """Raises `InvalidArgument`, in Docker's words, for what a container cannot ask of this network."""
    if network.driver in ("host", "null"):
        if settings.mac:
            raise InvalidArgument(f"conflicting options: mac-address and the network mode {network.name}")
        if settings.ipv4 or settings.ipv6:
            raise InvalidArgument("user specified IP address is supported on user defined networks only")
        if settings != EndpointSettings():
            raise InvalidArgument(f"conflicting options: addresses and names, and the network mode {network.name}")
        return
    if network.name == DEFAULT:
        if settings.aliases:
            raise InvalidArgument("network-scoped aliases are only supported for user-defined networks")
        if settings.ipv4 or settings.ipv6:
            raise InvalidArgument("user specified IP address is supported on user defined networks only")
    for address, what in ((settings.ipv4, "IPv4"), (settings.ipv6, "IPv6")):
        if not address:
            continue
        if (":" in address) != (what == "IPv6"):
            raise InvalidArgument(f"invalid {what} address: {address}")
        subnets = [one for one in (*network.subnets, *network.unused) if one.is_ipv6 == (what == "IPv6")]
        from wherry.network.addresses import Range

        if not network.configured:
            raise InvalidArgument(
                "user specified IP address is supported only when connecting to networks with user configured subnets",
                hint=f"create {network.name} with --subnet",
            )
        if not any(Range(one.subnet).holds(address) for one in subnets):
            raise InvalidArgument(
                f"no configured subnet or ip-range contain the IP address {address}",
                hint=f"network {network.name} has {', '.join([one.subnet for one in subnets]) or f'no {what} subnet'}",
            )
    if settings.link_local or settings.driver_options:
        from wherry.network import endpoint_options

        endpoint_options.check(network, settings)


def new_endpoint(network_id: str, container_id: str, settings: EndpointSettings) -> EndpointRow:
    """The row of a place."""
    return networks.EndpointRow(os.urandom(32).hex(), network_id, container_id, to_json(settings))


def has_idle_bridge(engine: Engine) -> bool:
    """Whether the default network's bridge is there for nobody."""
    network = from_row(networks.find(engine.db, DEFAULT))
    there = bool(network.bridge) and os.path.exists(f"/sys/class/net/{network.bridge}")
    return there and not networks.active_count(engine.db, network.id)


def active_endpoints(engine: Engine, container_id: str) -> list[Endpoint]:
    """What a running container is in its networks."""
    return [endpoint_from(row.record) for row in networks.endpoints_of(engine.db, container_id) if row.active]
