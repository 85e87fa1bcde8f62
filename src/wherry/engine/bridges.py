"""Bridges and firewall rules come with the first container that needs them and go after the last.

The bridge of a network that somebody created is there until the network is removed, as Docker's are.  That of the
default network outlives its last container by a moment, because the next one may come, and removing a bridge takes the
kernel tens of milliseconds.

Who makes or removes a bridge holds the store's lock of networks alone; who starts a container shares it until its
addresses are in the database, so no bridge goes under a container that is being made
(docs/decisions/0101-bridges-come-and-go.md).
"""

from __future__ import annotations

import os
import time

from wherry.engine.places import DEFAULT, has_idle_bridge
from wherry.errors import Forbidden, NotFound, NotSupported, WherryError
from wherry.linux.netlink import Socket
from wherry.network import bridge
from wherry.network.firewall import Firewall, table_name
from wherry.network.model import Network, PublishedPort, Subnet, from_row, to_json
from wherry.store import networks
from wherry.store.locks import Lock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from wherry.engine.engine import Engine
    from wherry.engine.netns import Netns

DEFAULT_ROOT = "/var/lib/wherry"
CHILDREN = ("macvlan", "ipvlan")  # the drivers whose interfaces lie on one of the host's
_HOST_LOCK = "/run/wherry-networks.lock"  # `host_lock`, of whatever store


def save(engine: Engine, network: Network) -> None:
    """Write back what a network has become."""
    networks.update(engine.db, network.id, to_json(network, "id", "name", "created"))


def alone(engine: Engine) -> Lock:
    """The lock of whoever makes or removes bridges of this store."""
    return Lock(f"{engine.layout.locks}/networks")


class hold:  # noqa: N801 - read as a verb: `with hold(engine, ids) as networks`
    """The networks with these ids, by id, with their bridges there, and kept there until the context ends.

    One that was removed is missing.  Raises what keeps a bridge from being made.
    """

    def __init__(self, engine: Engine, ids: Iterable[str]) -> None:
        self._engine = engine
        self._ids = tuple(ids)
        self._lock = Lock(f"{engine.layout.locks}/networks", shared=True)

    def __enter__(self) -> dict[str, Network]:
        with Socket() as host:
            while True:
                self._lock.acquire()
                try:
                    found = self._load()
                    missing = [one for one in found.values() if not _is_ready(self._engine, host, one)]
                except BaseException:
                    self._lock.release()
                    raise
                if not missing:
                    return found
                self._lock.release()
                with alone(self._engine):
                    for network in missing:
                        bring_up(self._engine, host, network.id)

    def _load(self) -> dict[str, Network]:
        found: dict[str, Network] = {}
        for identity in self._ids:
            try:
                found[identity] = from_row(networks.find(self._engine.db, identity))
            except NotFound:
                continue
        return found

    def __exit__(self, *_error: object) -> None:
        self._lock.release()


def _is_ready(engine: Engine, host: Socket, network: Network) -> bool:
    if network.driver == "bridge":
        return bool(network.bridge and network.subnets and bridge.is_up(host, network))
    if network.driver not in CHILDREN:
        return True
    from wherry.engine import parents

    return parents.is_ready(engine, host, network)


def bring_up(engine: Engine, host: Socket, network_id: str) -> Network:
    """Make a network's bridge, or the parent of its interfaces, unless it is there; the caller holds `alone`.

    Raises `Conflict` when its subnet or its name is in use by something else on this host, `StorageFull` when every
    subnet is.
    """
    network = from_row(networks.find(engine.db, network_id))
    if _is_ready(engine, host, network):
        return network
    if network.driver != "bridge":
        with host_lock(engine):
            make(engine, host, network)
        return network
    if network.name == DEFAULT:
        network = _default(engine, network)
    if bridge.is_ours(network):
        bridge.remove(host, network)  # one that a process was killed over
    with host_lock(engine):
        used = bridge.taken(host)
        if network.name == DEFAULT:
            network = _choose(engine, network, used)
        else:
            bridge.check_free(network.subnets, used)
        save(engine, network)  # first: whoever is killed then leaves a bridge that is known
        make(engine, host, network)
    return network


def make(engine: Engine, host: Socket, network: Network) -> None:
    """Make what a network has on the host: a bridge whose subnets are known to be free, or the parent of interfaces."""
    if network.driver != "bridge":
        from wherry.engine import parents

        parents.make(engine, host, network)
        return
    bridge.forward(_marker(engine), ipv6=network.enable_ipv6)
    bridge.make(host, network)


def remove(engine: Engine, host: Socket, network: Network) -> None:
    """Remove that again, when the network's row is gone; a parent only if it was made here and for nobody else."""
    if network.driver == "bridge":
        bridge.remove(host, network)
        firewall(engine).remove(network)
        if not networks.in_use(engine.db):
            rebuild(engine)
    elif network.driver in CHILDREN:
        from wherry.engine import parents

        parents.remove(engine, host, network.lower)


def default_name(engine: Engine, network: Network) -> str:
    """The name that the default bridge has, or will have."""
    return bridge.name_for(network.id, is_default=engine.paths.root == DEFAULT_ROOT)


def _default(engine: Engine, network: Network) -> Network:
    """The default network, as it is configured now."""
    from wherry.network.addresses import Range, first_host
    from wherry.network.config import load

    config = load(engine.paths.config)
    subnets = network.subnets
    if config.bip:
        own = Range(config.bip)
        gateway = config.bip.partition("/")[0]
        subnets = (Subnet(own.text, gateway if gateway != own.text.partition("/")[0] else first_host(own.text)),)
    if subnets:
        subnets = (subnets[0].replace(ip_range=config.fixed_cidr), *subnets[1:])
    return network.replace(
        bridge=default_name(engine, network),
        subnets=subnets,
        mtu=config.mtu,
        icc=config.icc,
        host_binding=config.ip,
    )


def _choose(engine: Engine, network: Network, used: list[str]) -> Network:
    """The default network with its own subnet where that is still free, else with another."""
    from wherry.errors import Conflict
    from wherry.network.addresses import first_host, free_subnet
    from wherry.network.config import load

    config = load(engine.paths.config)
    used = used + subnets_of(engine, without=network.id)
    if network.subnets:
        try:
            bridge.check_free(network.subnets, used)
            return network
        except Conflict:
            if config.bip:
                raise
    subnet = free_subnet(config.pools, used)
    return network.replace(subnets=(Subnet(subnet, first_host(subnet)),))


def default_subnets(engine: Engine, used: list[str]) -> list[str]:
    """What is left to the default network, which takes its subnet when it is first used: Docker's has the first one."""
    network = _default(engine, from_row(networks.find(engine.db, DEFAULT)))
    if network.subnets:
        return [one.subnet for one in network.subnets]
    try:
        return [one.subnet for one in _choose(engine, network, used).subnets]
    except WherryError:
        return []  # every subnet is in use; told when the default network is to be made


def subnets_of(engine: Engine, *, without: str = "") -> list[str]:
    """The subnets of this store's networks, up or not."""
    rows = [row for row in networks.list_all(engine.db) if row.id != without]
    return [subnet.subnet for row in rows for subnet in from_row(row).subnets]


def host_lock(engine: Engine) -> Lock:
    """The lock of whoever chooses subnets on this host, or notes whose a parent is; of somebody who is not root, for
    this store, whose bridges are not the host's."""
    return Lock(f"{engine.layout.locks}/subnets" if engine.rootless else _HOST_LOCK)


class where:  # noqa: N801 - read as an adverb: `with where(engine) as there`
    """In this context network code works where the store's bridges are: on the host, or without root in the store's own
    network namespace, which is made if need be; unless ``make``, the context tells whether it is there."""

    def __init__(self, engine: Engine, *, make: bool = True) -> None:
        self._engine = engine
        self._make = make
        self._netns: Netns | None = None

    def __enter__(self) -> bool:
        if not self._engine.rootless:
            return True
        from wherry.engine import netns

        self._netns = netns.join(self._engine) if self._make else netns.reach(self._engine)
        if self._netns is None:
            netns.tidy(self._engine)
            return False
        self._netns.__enter__()
        return True

    def __exit__(self, *_error: object) -> None:
        if self._netns is not None:
            self._netns.__exit__()
            self._netns.close()


def _marker(engine: Engine) -> str:
    return f"{engine.layout.run}/forwarding-was-off"


def firewall(engine: Engine) -> Firewall:
    """The store's table of rules."""
    return Firewall(table_name(engine.paths.root), guard=os.path.exists(_marker(engine)))


def open_firewall(engine: Engine, used: Sequence[Network], ports: Sequence[PublishedPort]) -> None:
    """Let the packets of these networks and ports through; their rows are committed."""
    rules = firewall(engine)
    for network in used:
        if network.driver != "bridge":
            continue
        if not rules.up(network, [port for port in ports if port.network_id == network.id]):
            rebuild(engine)
            break
    _forget(ports)


def _forget(ports: Iterable[PublishedPort]) -> None:
    """Who has been sending to a UDP port meets its new rules, too."""
    datagrams = [port for port in ports if port.protocol == "udp"]
    if datagrams:
        from wherry.network import conntrack

        conntrack.forget(datagrams)


def restore(engine: Engine, container_id: str) -> None:
    """Make the rules anew unless the networks of a running container have theirs; of several who notice, one does."""

    def missing() -> bool:
        rows = [
            networks.find(engine.db, one.network_id)
            for one in networks.endpoints_of(engine.db, container_id)
            if one.active
        ]
        return any(one.bridge and not rules.has(one) for one in map(from_row, rows))

    rules = firewall(engine)
    if missing():
        with engine.db.transaction():
            if missing():
                rebuild(engine)


def rebuild(engine: Engine) -> None:
    """Make the rules anew, for all that runs."""
    with engine.db.transaction():
        ids = {network_id for network_id, _container in networks.in_use(engine.db)}
        used = [from_row(row) for row in networks.list_all(engine.db) if row.id in ids]
        ports = [PublishedPort(**row.as_dict()) for row in networks.ports(engine.db)]
        firewall(engine).rebuild([network for network in used if network.bridge], ports)


def tidy(engine: Engine) -> None:
    """Make the rules anew after somebody was killed who may have been about to take some away: an address that another
    container gets must not come with the ports of the one before."""
    if not any(from_row(row).bridge for row in networks.list_all(engine.db)):
        return
    try:
        with where(engine, make=False) as there:
            if there:
                rebuild(engine)
    except (Forbidden, NotSupported):
        return  # there are none, then


def close_firewall(engine: Engine, network: Network, ports: Iterable[PublishedPort]) -> None:
    """Take published ports back; their rows are gone."""
    ports = tuple(ports)
    firewall(engine).withdraw(network, ports)
    _forget(ports)


def check_ports(engine: Engine, protocol: str, addresses: Iterable[str], port: int) -> None:
    """Raises `Conflict` when another container has a port; clears up after those that were killed with their monitors,
    whose ports are free."""
    from wherry.engine.containers import find

    for address in addresses:
        for row in networks.conflicting(engine.db, protocol, address, port):
            try:
                find(engine, row.container_id)
            except NotFound:
                continue
        if networks.conflicting(engine.db, protocol, address, port):
            raise networks.allocated(address, port)


def linger(engine: Engine, used: Sequence[Network]) -> None:
    """After a container's end: when nobody uses one of its networks any more, wait a moment and clear up.

    One process at a time waits.  Whoever ends while it does leaves the clearing up to it.
    """
    while any(networks.active_count(engine.db, one.id) == 0 for one in used if one.bridge):
        lock = Lock(f"{engine.layout.locks}/networks-idle")
        if not lock.try_acquire():
            return
        try:
            _sleep(engine)
            settle(engine)
        finally:
            lock.release(remove=True)
        if not has_idle_bridge(engine):
            return


def _sleep(engine: Engine) -> None:
    from wherry.network.config import NetworkConfig, load

    try:
        seconds = load(engine.paths.config).keep_bridge
    except (OSError, WherryError):  # told when a network is made
        seconds = NetworkConfig().keep_bridge
    time.sleep(seconds)


def settle(engine: Engine) -> None:
    """Remove the default bridge when nobody uses it, and the rules of networks that nobody uses."""
    with alone(engine), Socket() as host:
        row = networks.find(engine.db, DEFAULT)
        network = from_row(row)
        if network.bridge and not networks.active_count(engine.db, row.id):
            bridge.remove(host, network)
        rebuild(engine)


def settle_unless_somebody_does(engine: Engine) -> None:
    """`settle`, for a process that was killed before it could."""
    lock = Lock(f"{engine.layout.locks}/networks-idle")
    if lock.try_acquire():
        try:
            settle(engine)
        finally:
            lock.release(remove=True)
