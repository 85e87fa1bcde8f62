"""``docker network connect`` and ``disconnect``: a container's places change while it runs, or before it does.

A running container's interface is made or removed here, not by its monitor, which looks in the database for what there
is to undo.  Whoever does holds a lock of the container's; an endpoint that is half connected while nobody does, because
a command was killed over it, is taken out by the next one (`finish_left`).
"""

from __future__ import annotations

from wherry.engine import bridges, places
from wherry.engine.containers import ALIVE, load
from wherry.engine.containers import find as find_container
from wherry.engine.network import allocate, current, gateways, tell
from wherry.engine.stop import ask
from wherry.errors import Conflict, Forbidden, NotFound, NotSupported
from wherry.linux import links
from wherry.linux.netlink import Socket
from wherry.network import endpoint
from wherry.network.endpoint import Inside
from wherry.network.model import PublishedPort, endpoint_from, from_row
from wherry.store import containers, networks
from wherry.store.locks import Lock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wherry.container.options import NetworkOption
    from wherry.container.record import ContainerRecord
    from wherry.engine.engine import Engine
    from wherry.network.model import Network
    from wherry.store.containers import ContainerRow
    from wherry.store.networks import EndpointRow


def connect(engine: Engine, option: NetworkOption, container: str) -> None:
    """Give a container a place in the network that ``option`` names.

    Raises `NotFound`, `Forbidden` when it is there already or cannot be in several networks, `InvalidArgument` for
    settings that the network cannot fulfil, and what keeps an interface from being made; then nothing has changed.
    """
    network = from_row(networks.find(engine.db, option.name))
    row = find_container(engine, container)
    record = load(row)
    settings = places.settings_of(option)
    _check_modes(engine, record, network)
    places.check(network, settings)
    settings = places.with_links(engine, network, settings)
    new = places.new_endpoint(network.id, record.id, settings)
    if row.status not in ALIVE or row.status == "restarting":
        _check_new(engine, record, network)
        networks.add_endpoint(engine.db, new)
        return
    with bridges.where(engine), _Changes(engine, row):
        _check_new(engine, record, network)
        _connect_running(engine, record, row, network, new)


def _check_new(engine: Engine, record: ContainerRecord, network: Network) -> None:
    if any(one.network_id == network.id for one in networks.endpoints_of(engine.db, record.id)):
        raise Forbidden(f"endpoint with name {record.name} already exists in network {network.name}")


def _check_modes(engine: Engine, record: ContainerRecord, network: Network) -> None:
    mode = record.options.network_mode
    if mode.startswith("container:"):
        raise Conflict(
            "container sharing network namespace with another container or host cannot be connected to any other "
            "network"
        )
    if mode == "host" or network.driver == "host":
        raise Conflict("container cannot be disconnected from host network or connected to host network")
    if engine.rootless and places.DEFAULT in (mode, network.name):
        raise places.alone()
    if mode == "none" or network.driver == "null":
        raise Conflict(
            "container cannot be connected to multiple networks with one of the networks in private (none) mode"
        )


def _connect_running(
    engine: Engine, record: ContainerRecord, row: ContainerRow, network: Network, new: EndpointRow
) -> None:
    namespace = f"/proc/{row.pid}/ns/net"
    try:
        with bridges.hold(engine, [network.id]) as found, engine.db.transaction():
            networks.add_endpoint(engine.db, new)
            (place,) = allocate(engine, record, [new], found)
            networks.change(engine.db, new.id, networks.JOINING)
        with Socket() as host:
            endpoint.plug(namespace, [place], (None, None), host)
        endpoint.reroute(namespace, gateways(current(engine, record.id)))
        bridges.open_firewall(engine, [place.network], ())
        if containers.get(engine.db, record.id).pid != row.pid:
            raise Conflict(f"container {record.id} ended meanwhile")
        tell(engine.db, record.id, network, "connect")
        ask(engine, row, {"changed": "networks"})
        networks.change(engine.db, new.id, 1)
    except BaseException:
        networks.remove_endpoint(engine.db, record.id, network.id)
        raise


class _Changes:
    """``with _Changes(engine, row):`` nobody else connects or disconnects this running container, and nothing is left
    of somebody who was killed while he did.  Raises `Conflict` when it does not run any more."""

    def __init__(self, engine: Engine, row: ContainerRow) -> None:
        self._engine = engine
        self._row = row
        self._lock = _lock(engine, row.id)

    def __enter__(self) -> None:
        try:
            self._lock.acquire()
        except FileNotFoundError:
            raise Conflict(f"container {self._row.id} is not running") from None
        try:
            _finish(self._engine, self._row)
        except BaseException:
            self._lock.release()
            raise

    def __exit__(self, *_error: object) -> None:
        self._lock.release()  # its file goes with the directory


def _lock(engine: Engine, container_id: str) -> Lock:
    return Lock(f"{engine.layout.run_container(container_id)}/networks")


def left(engine: Engine) -> list[EndpointRow]:
    """The endpoints of running containers over which somebody was killed."""
    found = []
    for identity in {row.container_id for row in networks.changing(engine.db)}:
        lock = _lock(engine, identity)
        try:
            if lock.try_acquire():
                found += [row for row in networks.endpoints_of(engine.db, identity) if row.active > 1]
                lock.release()
        except FileNotFoundError:
            continue  # it has ended
    return found


def finish_left(engine: Engine, container_id: str) -> None:
    """Take a running container out of the networks that it was half in."""
    row = find_container(engine, container_id)
    if row.status in ALIVE:
        with bridges.where(engine), _Changes(engine, row):
            return


def _finish(engine: Engine, row: ContainerRow) -> None:
    begun = [own for own in networks.endpoints_of(engine.db, row.id) if own.active > 1]
    for own in begun:
        _take_out(engine, row, from_row(networks.find(engine.db, own.network_id)), own)
    if begun:
        bridges.tidy(engine)


def disconnect(engine: Engine, name: str, container: str, *, force: bool = False) -> None:
    """Take a container out of a network.  Raises `NotFound`, `Conflict`.

    ``force``: no error for a container that is not there any more.
    """
    network = from_row(networks.find(engine.db, name))
    try:
        row = find_container(engine, container)
    except NotFound:
        if force:
            return
        raise
    record = load(row)
    if network.driver == "host" and record.options.network_mode == "host":
        raise Conflict("container cannot be disconnected from host network or connected to host network")
    own = [one for one in networks.endpoints_of(engine.db, record.id) if one.network_id == network.id]
    if not own:
        raise Forbidden(f"container {record.id} is not connected to network {network.name}")
    if own[0].active and row.status in ALIVE:
        if engine.rootless and network.name == places.DEFAULT:
            raise NotSupported(
                f"without root a container cannot be disconnected from the network {network.name} while it runs",
                hint="stop it first",
            )
        with bridges.where(engine), _Changes(engine, row):
            _take_out(engine, row, network, own[0])
    else:
        networks.remove_endpoint(engine.db, record.id, network.id)
    if places.has_idle_bridge(engine):
        bridges.settle_unless_somebody_does(engine)


def _take_out(engine: Engine, row: ContainerRow, network: Network, own: EndpointRow) -> None:
    """What is done already is not minded.  The caller holds the container's lock of changes."""
    if not networks.change(engine.db, own.id, networks.LEAVING):
        networks.remove_endpoint(engine.db, row.id, network.id)  # it has ended meanwhile, or somebody was quicker
        return
    _unplug(engine, row, network, own)
    tell(engine.db, row.id, network, "disconnect")
    ask(engine, row, {"changed": "networks"})
    endpoint.reroute(f"/proc/{row.pid}/ns/net", gateways(current(engine, row.id)))
    networks.remove_endpoint(engine.db, row.id, network.id)


def _unplug(engine: Engine, row: ContainerRow, network: Network, own: EndpointRow) -> None:
    taken = [PublishedPort(**port.as_dict()) for port in networks.ports_of(engine.db, row.id)]
    if any(port.network_id == network.id for port in taken):
        networks.remove_ports(engine.db, row.id, network.id)
        bridges.close_firewall(engine, network, [port for port in taken if port.network_id == network.id])
    there = endpoint_from(own.record)
    if there.host_interface:
        with Socket() as host:
            endpoint.unplug(there, host)
    else:
        with Inside(f"/proc/{row.pid}/ns/net") as inside:
            if links.find(inside.socket, there.interface) is not None:
                inside.socket.do(links.delete(there.interface))
