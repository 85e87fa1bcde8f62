"""Which ports of the host a container gets, and where they lead."""

from __future__ import annotations

import os

from wherry.errors import NotSupported
from wherry.network import ports
from wherry.network.model import ANY_IPV4, ANY_IPV6, PublishedPort

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from wherry.container.record import ContainerRecord
    from wherry.engine.engine import Engine
    from wherry.monitor.ondemand import OnDemand
    from wherry.network.endpoint import Place
    from wherry.network.model import Endpoint
    from wherry.network.ports import Held

_IPV6 = "/proc/net/if_inet6"  # is there where the kernel has IPv6, and it is not disabled as a whole


def wanted_ports(record: ContainerRecord) -> list[ports.Wanted]:
    """What ``--publish`` and ``--publish-all`` ask for."""
    options = record.options
    if not (options.port_bindings or options.publish_all):
        return []
    found = []
    for binding in options.port_bindings:
        port, _, protocol = binding.port.partition("/")
        low, dash, high = binding.host_port.partition("-")
        first = int(low or 0)
        found.append(ports.Wanted(protocol or "tcp", int(port), binding.host_ip, first, int(high) if dash else first))
    if options.publish_all:
        bound = {binding.port for binding in options.port_bindings}
        for exposed in options.exposed_ports:
            port, _, protocol = exposed.partition("/")
            if exposed not in bound:
                found.append(ports.Wanted(protocol or "tcp", int(port)))
    return found


def host_addresses(wanted: ports.Wanted, place: Place, relayed: bool) -> tuple[str, ...]:
    """Where a port is to be taken: as asked, else where the network says, in both families.

    An IPv6 address leads to a container that has none where bytes can be ``relayed``.
    """
    if wanted.host_ip:
        return (wanted.host_ip,)
    default = place.network.host_binding
    if default not in ("", ANY_IPV4, ANY_IPV6):
        return (default,)
    if place.endpoint.ipv6 or (relayed and wanted.protocol != "sctp" and os.path.exists(_IPV6)):
        return (ANY_IPV4, ANY_IPV6)
    return (ANY_IPV4,)


def is_relayed(address: str, own: Endpoint) -> bool:
    """Whether the kernel does not lead from this address of the host to a container, but a process can."""
    return ":" in address and (address == "::1" or not own.ipv6)


def check_reach(wanted: ports.Wanted, hosts: Sequence[str], place: Place) -> None:
    """Raises `NotSupported` for addresses of the host from which nothing leads to this container."""
    for address in hosts:
        if is_relayed(address, place.endpoint):
            if wanted.protocol != "sctp":
                continue
            raise NotSupported(
                f"{wanted.protocol} ports cannot be published on {address}: the kernel does not forward from there",
                hint="use an IPv4 address of this host, or a network with IPv6 and another address than ::1",
            )
        if not (place.endpoint.ipv6 if ":" in address else place.endpoint.ipv4):
            family = "IPv6" if ":" in address else "IPv4"
            raise NotSupported(
                f"ports cannot be published on {address}: the container has no {family} address",
                hint=f"use a network with {family}, or another address of this host",
            )


def published(wanted: ports.Wanted, host_ip: str, port: int, place: Place, container_id: str) -> PublishedPort:
    """The port as the firewall and `ps` know it; to the container's address of the same family where it has one."""
    own = place.endpoint
    address = (own.ipv6 or own.ipv4) if ":" in host_ip else (own.ipv4 or own.ipv6)
    return PublishedPort(
        protocol=wanted.protocol,
        host_ip=host_ip,
        host_port=port,
        container_ip=address.partition("/")[0],
        container_port=wanted.port,
        bridge=place.network.bridge,
        network_id=place.network.id,
        container_id=container_id,
    )


def _serve(listeners: Sequence[tuple[int, tuple[str, int]]]) -> None:
    from wherry.network import relay

    relay.serve(listeners)


def relay(
    engine: Engine,
    held: Sequence[Held],
    taken: Sequence[PublishedPort],
    is_relayed: Callable[[str], bool],
    serve: Callable[..., None] = _serve,
    *given: object,
) -> OnDemand | None:
    """What copies bytes from addresses that packets are not led from; None when there is none such."""
    listeners = []
    for one in held:
        for address, socket in one.sockets:
            if socket is None or one.wanted.protocol == "sctp":
                continue
            if not (is_relayed(address) or address == ANY_IPV6):  # to which ::1 belongs
                continue
            for port in taken:
                if (port.protocol, port.host_ip, port.host_port) == (one.wanted.protocol, address, one.port):
                    if port.protocol == "tcp":
                        ports.listen(socket)
                    listeners.append((os.dup(socket.fileno()), (port.container_ip, port.container_port)))
    if not listeners:
        return None
    from wherry.monitor.ondemand import OnDemand

    return OnDemand("relay of ports", [fd for fd, _target in listeners], serve, (listeners, *given), engine.will_fork)
