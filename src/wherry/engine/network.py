"""The networks of one container while it runs: addresses, ports, interfaces, and their undoing.

A `Sandbox` lives in the container's monitor.  `prepare` takes what only one can have, in one transaction; `connect`
makes the interfaces and rules once the container's process is there; `release` gives back what others may want at once,
and `clean` what nobody waits for.  A sandbox that is gone leaves rows that `wherry.engine.networks.settle` finds.
"""

from __future__ import annotations

import os

from wherry.engine import bridges
from wherry.engine.names import needs_server, rewrite, server
from wherry.engine.places import active_endpoints, has_idle_bridge
from wherry.engine.publishing import check_reach, host_addresses, is_relayed, published, relay, wanted_ports
from wherry.errors import Conflict, NotFound, WherryError
from wherry.linux.netlink import Socket
from wherry.network import addresses, endpoint, ports
from wherry.network.endpoint import Place
from wherry.network.model import (
    Endpoint,
    Network,
    PublishedPort,
    endpoint_from,
    from_row,
    settings_from,
    to_json,
)
from wherry.store import networks
from wherry.store.events import record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from wherry.container.record import ContainerRecord
    from wherry.engine.engine import Engine
    from wherry.monitor.ondemand import OnDemand
    from wherry.monitor.supervise import Supervisor
    from wherry.network.firewall import RulesWatch
    from wherry.network.model import EndpointSettings
    from wherry.network.ports import Held, Wanted
    from wherry.runtime.child import Child
    from wherry.store.db import Database
    from wherry.store.networks import EndpointRow


class Sandbox:
    """See the module."""

    resolver = ""  # that the network brings along
    namespaces: tuple[str, ...] = ("net",)
    early = True  # `connect` needs no more of the process than these

    def __init__(self, engine: Engine, record: ContainerRecord) -> None:
        self._engine = engine
        self._record = record
        self._held: list[Held] = []
        self._interfaces: list[Endpoint] = []
        self._released = False
        self._names: OnDemand | None = None
        self._relay: OnDemand | None = None
        self._watched: RulesWatch | None = None
        self._supervisor: Supervisor | None = None
        self._pid = 0
        self.places: tuple[Place, ...] = ()
        self.ports: tuple[PublishedPort, ...] = ()

    def prepare(self) -> None:
        """Make the bridges, take addresses and ports.  Raises what keeps the container from them; then it has none."""
        db, record = self._engine.db, self._record
        rows = networks.endpoints_of(db, record.id)
        if not rows:
            return
        with bridges.hold(self._engine, [row.network_id for row in rows]) as found:
            try:
                with db.transaction():
                    self.places = allocate(self._engine, record, rows, found)
                    self._take_ports()
                    for place in self.places:
                        tell(db, record.id, place.network, "connect")
            except BaseException:
                self._let_go()
                raise

    def _take_ports(self) -> None:
        place = gateways(self.places)[0] or gateways(self.places)[1]
        wanted = wanted_ports(self._record)
        if place is None or place.network.driver != "bridge" or not wanted:
            return
        for one in wanted:
            hosts = host_addresses(one, place, relayed=True)
            self._check_reach(one, hosts, place)
            if one.first and one.first == one.last:
                bridges.check_ports(self._engine, one.protocol, hosts, one.first)
            self._held.append(ports.hold(one, hosts))
        self._publish(place)

    def connect(self, process: Child) -> None:
        """Make the interfaces in the network namespace of the container's process, and let packets through."""
        kept = process.kept.pop("net", -1)
        namespace = f"/proc/self/fd/{kept}" if kept >= 0 else f"/proc/{process.pid}/ns/net"
        try:
            if self.places:
                self._connect(namespace)
        finally:
            if kept >= 0:
                os.close(kept)  # else the interfaces would not go with the container

    def _connect(self, namespace: str) -> None:
        with Socket() as host:
            endpoint.plug(namespace, self.places, gateways(self.places), host)
        if needs_server(self._record, self.networks):
            self._names = self._server(namespace)
        bridges.open_firewall(self._engine, self.networks, self.ports)

    def watch(self, pid: int, supervisor: Supervisor) -> None:
        """While it runs: answer for names, and make the rules anew when somebody flushed them."""
        for one in (self._names, self._relay):
            if one is not None:
                one.attach(supervisor)
        self._pid, self._supervisor = pid, supervisor
        supervisor.changes["networks"] = self._changed
        self._watch_rules()

    def _watch_rules(self) -> None:
        """Networks without a bridge have none."""
        if self._watched is None and self._supervisor is not None and any(one.bridge for one in self.networks):
            self._watched = bridges.firewall(self._engine).watch(self._restore_rules)
            self._supervisor.watch(self._watched.fd, self._watched.look)

    def _restore_rules(self) -> None:
        bridges.restore(self._engine, self._record.id)

    def _changed(self) -> None:
        """It was connected to a network, or disconnected: it may find names now."""
        self.places = current(self._engine, self._record.id)
        used = self.networks
        self._watch_rules()
        self._move_ports()
        if self._names is None and needs_server(self._record, used):
            self._names = self._server(f"/proc/{self._pid}/ns/net")
            if self._supervisor is not None:
                self._names.attach(self._supervisor)
        rewrite(self._engine, self._record, used)

    def _move_ports(self) -> None:
        """Published ports belong to the network with the way out, whichever that is now; without one there are none."""
        place = gateways(self.places)[0] or gateways(self.places)[1]
        network = place.network if place is not None and place.network.driver == "bridge" else None
        old = self.ports
        if (network.id if network is not None else "") == (old[0].network_id if old else ""):
            return
        if old:
            with self._engine.db.transaction():
                networks.remove_ports(self._engine.db, self._record.id, old[0].network_id)
            former = from_row(networks.find(self._engine.db, old[0].network_id))
            bridges.close_firewall(self._engine, former, old)
        if place is None or network is None:
            self._let_go()
            return
        try:
            with self._engine.db.transaction():
                if self._held:
                    self._publish(place)
                else:
                    self._take_ports()
        except WherryError:  # somebody has them by now, or they cannot be there
            self._let_go()
            return
        bridges.open_firewall(self._engine, [network], self.ports)

    def _publish(self, place: Place) -> None:
        """The ports that are held, at the container's addresses in this place."""
        own = place.endpoint
        taken = [
            published(held.wanted, address, held.port, place, self._record.id)
            for held in self._held
            for address, _socket in held.sockets
            if (own.ipv6 or (own.ipv4 and held.wanted.protocol != "sctp") if ":" in address else own.ipv4)
        ]
        networks.add_ports(self._engine.db, [networks.PortRow(**port.as_dict()) for port in taken])
        self.ports = tuple(taken)
        if self._relay is not None:
            self._relay.close()
        self._relay = relay(
            self._engine, self._held, taken, lambda address: self._is_relayed(address, own), *self._serving
        )
        if self._relay is not None and self._supervisor is not None:
            self._relay.attach(self._supervisor)

    def _check_reach(self, wanted: Wanted, hosts: Sequence[str], place: Place) -> None:
        check_reach(wanted, hosts, place)

    @staticmethod
    def _is_relayed(address: str, own: Endpoint) -> bool:
        return is_relayed(address, own)

    @property
    def _serving(self) -> tuple[Any, ...]:
        """What `relay` is to call in the process that copies, if it is something special."""
        return ()

    def _server(self, namespace: str) -> OnDemand:
        from wherry.network import names

        with endpoint.Inside(namespace):
            return server(self._engine, self._record, names.listen())

    @property
    def networks(self) -> list[Network]:
        """What it is connected to from the start."""
        return [place.network for place in self.places]

    def release(self) -> None:
        """Its addresses and ports are free for others; the rows of the ports go first, then their rules."""
        if self._released or not (self.places or self._watched):
            return
        self._released = True
        if self._names is not None:
            self._names.close()
        if self._watched is not None and self._supervisor is not None:
            self._supervisor.unwatch(self._watched.fd)
            self._watched.close()
        taken = self.ports
        self._interfaces = active_endpoints(self._engine, self._record.id)
        left = [row.network_id for row in networks.endpoints_of(self._engine.db, self._record.id) if row.active]
        with self._engine.db.transaction():
            networks.deactivate(self._engine.db, self._record.id)
            for identity in left:
                tell(self._engine.db, self._record.id, from_row(networks.find(self._engine.db, identity)), "disconnect")
        if taken:
            (network,) = [one for one in self.networks if one.id == taken[0].network_id]
            bridges.close_firewall(self._engine, network, taken)
        self._let_go()

    def _let_go(self) -> None:
        if self._relay is not None:
            self._relay.close()
            self._relay = None
        for held in self._held:
            for _address, socket in held.sockets:
                if socket is not None:
                    socket.close()
        self._held.clear()
        self.ports = ()

    def clean(self) -> None:
        """Remove interfaces that others keep from ending with the namespace, and bridges that nobody uses."""
        self.unplug()
        if self.places:
            bridges.linger(self._engine, [place.network for place in self.places])

    def unplug(self) -> None:
        """Remove the interfaces of the life that has ended; most have gone with their namespace."""
        if self._interfaces:
            with Socket() as host:
                for one in self._interfaces:
                    endpoint.unplug(one, host)
            self._interfaces = []

    @property
    def addresses(self) -> tuple[str, ...]:
        """Its own addresses, without prefixes, in the order of its networks."""
        found = [text for place in self.places for text in (place.endpoint.ipv4, place.endpoint.ipv6) if text]
        return tuple([text.partition("/")[0] for text in found])

    @property
    def gateway(self) -> str:
        """The host's address on its network, or ""."""
        place = gateways(self.places)[0]
        return place.endpoint.gateway if place is not None else ""


def tell(db: Database, container_id: str, network: Network, action: str) -> None:
    """A container was connected to a network, or disconnected."""
    record(db, "network", action, network.id, {"container": container_id, "name": network.name, "type": network.driver})


def undo(engine: Engine, container_id: str) -> None:
    """What a sandbox would have done at the end of a container whose monitor was killed."""
    if engine.rootless:
        networks.deactivate(engine.db, container_id)
        bridges.tidy(engine)
        return
    rows = [row for row in networks.endpoints_of(engine.db, container_id) if row.active]
    if not rows:
        bridges.tidy(engine)  # it may have been about to take its ports back
        return
    taken = [PublishedPort(**row.as_dict()) for row in networks.ports_of(engine.db, container_id)]
    networks.deactivate(engine.db, container_id)
    for identity in {port.network_id for port in taken}:
        network = from_row(networks.find(engine.db, identity))
        bridges.close_firewall(engine, network, [port for port in taken if port.network_id == identity])
    with Socket() as host:
        for row in rows:
            endpoint.unplug(endpoint_from(row.record), host)
    if has_idle_bridge(engine):
        bridges.settle_unless_somebody_does(engine)


def allocate(
    engine: Engine, record: ContainerRecord, rows: Sequence[EndpointRow], found: dict[str, Network]
) -> tuple[Place, ...]:
    """Give the endpoints in ``rows`` addresses and interface names; within a transaction."""
    places: list[Place] = []
    names = {one.interface for one in active_endpoints(engine, record.id)}
    for row in rows:
        network = found.get(row.network_id)
        if network is None:
            raise NotFound("network", row.network_id, f"network {row.network_id} not found")
        if network.driver in ("host", "null"):
            networks.activate(engine.db, row.id, "", "", to_json(Endpoint(row.id, network.id, record.id)))
            continue
        settings = settings_from(row.settings)
        interface = _interface(network, settings, names)
        names.add(interface)
        made = _endpoint(engine, record, network, row, settings, interface)
        networks.activate(engine.db, row.id, made.ipv4.partition("/")[0], made.ipv6.partition("/")[0], to_json(made))
        places.append(Place(network, made))
    return tuple(places)


def _interface(network: Network, settings: EndpointSettings, names: set[str]) -> str:
    """What the interface is called: as asked, else the first that is free of eth0, eth1 …"""
    if settings.driver_options:
        from wherry.network.endpoint_options import interface_name

        asked = interface_name(settings)
        if asked in names:
            raise Conflict(f"the container has an interface named {asked} already", hint="ask for another ifname")
        if asked:
            return asked
    number = 0
    while f"{network.container_prefix}{number}" in names:
        number += 1
    return f"{network.container_prefix}{number}"


def _more(settings: EndpointSettings, interface: str) -> dict[str, Any]:
    """What is seldom asked for."""
    if not (settings.driver_options or settings.link_local):
        return {}
    from wherry.network import endpoint_options

    return {
        "sysctls": endpoint_options.sysctls(settings, interface),
        "link_local": endpoint_options.link_local(settings),
    }


def _endpoint(
    engine: Engine,
    record: ContainerRecord,
    network: Network,
    row: EndpointRow,
    settings: EndpointSettings,
    interface: str,
) -> Endpoint:
    taken = networks.addresses_in(engine.db, network.id)
    ipv4, ipv6 = network.ipv4, network.ipv6
    four = addresses.free_address(ipv4, taken, settings.ipv4) if ipv4 is not None else ""
    six = addresses.free_address(ipv6, taken, settings.ipv6) if ipv6 is not None else ""
    return Endpoint(
        id=row.id,
        network_id=network.id,
        container_id=record.id,
        interface=interface,
        host_interface=f"wv{os.urandom(5).hex()}" if network.driver == "bridge" else "",
        mac="" if network.driver == "ipvlan" else settings.mac or addresses.mac_of(four),
        ipv4=f"{four}/{ipv4.prefix_length}" if ipv4 is not None else "",
        ipv6=f"{six}/{ipv6.prefix_length}" if ipv6 is not None else "",
        gateway="" if ipv4 is None or not network.has_gateway else ipv4.gateway,
        gateway6="" if ipv6 is None or not network.has_gateway else ipv6.gateway,
        gateway_priority=settings.gateway_priority,
        aliases=settings.aliases,
        names=(record.short_id, record.options.hostname) if record.options.hostname else (record.short_id,),
        **_more(settings, interface),
    )


def current(engine: Engine, container_id: str) -> tuple[Place, ...]:
    """What a running container is in its networks now."""
    found = []
    for row in networks.endpoints_of(engine.db, container_id):
        if row.active and row.active != networks.LEAVING:
            found.append(Place(from_row(networks.find(engine.db, row.network_id)), endpoint_from(row.record)))
    return tuple(found)


def gateways(places: Sequence[Place]) -> tuple[Place | None, Place | None]:
    """Who has the default routes, IPv4 and IPv6: the highest priority, then the first by name."""
    order = sorted(places, key=lambda place: (-place.endpoint.gateway_priority, place.network.name))
    usable = [place for place in order if not place.network.internal]
    return (
        next((place for place in usable if place.endpoint.ipv4), None),
        next((place for place in usable if place.endpoint.ipv6), None),
    )
