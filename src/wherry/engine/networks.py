"""The networks themselves: made, listed, looked at, removed (Docker's ``network`` commands).

`wherry.engine.connections` connects running containers; `wherry.engine.bridges` has what is on the host.
"""

from __future__ import annotations

import os
import time

from wherry.container.inspect import rfc3339
from wherry.engine import bridges, events, room
from wherry.engine.places import DEFAULT
from wherry.engine.prune import allowed, keeps, until
from wherry.errors import Conflict, Forbidden, InvalidArgument, NotFound, NotSupported
from wherry.linux.netlink import Socket
from wherry.network import bridge, usermode
from wherry.network.addresses import first_host, free_subnet, private_ipv6
from wherry.network.config import load
from wherry.network.drivers import configured, options_of
from wherry.network.model import Network, Subnet, endpoint_from, from_row, to_json
from wherry.network.request import NetworkRequest, check_name, subnets
from wherry.store import networks

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

    from wherry.engine.engine import Engine

    Filters = Mapping[str, Sequence[str]]

FILTERS = ("dangling", "driver", "id", "label", "name", "scope", "type")


def create(engine: Engine, request: NetworkRequest) -> str:
    """Make a network, and its bridge; its id.  Nothing is left when something fails.

    Raises `InvalidArgument`, `Conflict` for a name or a subnet that is taken, `StorageFull` when every pool is used up,
    `NotSupported` for what this host cannot do.
    """
    check_name(request.name)
    if request.name in (*networks.BUILT_IN, "default"):
        raise Forbidden(f"operation is not permitted on predefined {request.name} network")
    network = _asked(request)
    if engine.rootless:
        _check_rootless(engine, network)
    with bridges.alone(engine), bridges.host_lock(engine), Socket() as host:
        _check_parent(engine, network)
        used = bridge.taken(host) if network.driver == "bridge" else []
        if engine.rootless:
            used += usermode.SUBNETS
        network = _with_subnets(engine, network, used)
        with engine.db.transaction():
            networks.create(
                engine.db,
                networks.NetworkRow(
                    network.id, network.name, to_json(network, "id", "name", "created"), network.created
                ),
            )
            _told(engine, network, "create")
        try:
            if not engine.rootless:  # else its first container has it made
                bridges.make(engine, host, network)
        except BaseException:
            with engine.db.transaction():
                networks.delete(engine.db, network.id)
                _told(engine, network, "destroy")
            raise
    return network.id


def _check_rootless(engine: Engine, network: Network) -> None:
    """Somebody who is not root has bridges, by a program, and finds out here whether the names of two are one."""
    if network.driver != "bridge":
        raise NotSupported(
            f"networks of the driver {network.driver} need root: they change interfaces of the host",
            hint="leave out --driver, for a bridge",
        )
    if usermode.find() is None:
        raise usermode.needed()
    if any(from_row(row).bridge == network.bridge for row in networks.list_all(engine.db)):
        raise Conflict(f"an interface named {network.bridge} is there already")


def _asked(request: NetworkRequest) -> Network:
    identity = os.urandom(32).hex()
    if request.driver in bridges.CHILDREN and not dict(request.options).get("parent"):
        request = request.replace(internal=True)  # as in Docker: it leads nowhere
    asked_for = subnets(request)
    found = tuple([one for one in asked_for if request.uses(one.subnet)])
    asked = Network(
        id=identity,
        name=request.name,
        driver=request.driver,
        bridge=bridge.name_for(identity, is_default=False) if request.driver == "bridge" else "",
        subnets=found,
        unused=tuple([one for one in asked_for if one not in found]),
        internal=request.internal,
        attachable=request.attachable,
        ipam_options=request.ipam_options,
        configured=bool(asked_for),
        enable_ipv4=request.enable_ipv4,
        enable_ipv6=request.enable_ipv6,
        options=request.options,
        labels=request.labels,
        created=time.time_ns(),
    )
    return configured(asked)


def _with_subnets(engine: Engine, network: Network, used: list[str]) -> Network:
    """The network with a subnet for each of its families; those asked for must be free."""
    own = bridges.subnets_of(engine)
    try:
        bridge.check_free(network.subnets, [*used, *own])
    except Conflict as error:
        raise Conflict(f"invalid pool request: {error.message}", hint=error.hint) from None
    found = list(network.subnets)
    if network.enable_ipv4 and network.ipv4 is None:
        pools = load(engine.paths.config).pools
        kept = bridges.default_subnets(engine, [*used, *own])
        text = free_subnet([pool for pool in pools if ":" not in pool.base], [*used, *own, *kept])
        found.append(Subnet(text, first_host(text)))
    if network.enable_ipv6 and network.ipv6 is None:
        text = private_ipv6(network.id)
        found.append(Subnet(text, first_host(text)))
    if not found:
        raise InvalidArgument("IPv4 or IPv6 must be enabled")
    return network.replace(subnets=tuple(found))


def _check_parent(engine: Engine, network: Network) -> None:
    """Which networks may share a parent (Docker's rule): those of macvlan, unless one of them has all of it."""
    if network.driver not in bridges.CHILDREN:
        return
    for other in map(from_row, networks.list_all(engine.db)):
        alone = network.driver == "ipvlan" or "passthru" in (network.mode, other.mode)
        if other.driver == network.driver and other.lower == network.lower and alone:
            raise Conflict(
                f"network {other.name} is already using parent interface {network.lower}",
                hint="give each its own, which may be a VLAN (--opt parent=eth0.10)",
            )


def _told(engine: Engine, network: Network, action: str, **more: str) -> None:
    events.record(engine.db, "network", action, network.id, {**more, "name": network.name, "type": network.driver})


def find(engine: Engine, text: str) -> Network:
    """The network of this name, id or beginning of an id.  Raises `NotFound`, `InvalidArgument`."""
    return from_row(networks.find(engine.db, text))


def remove(engine: Engine, text: str) -> None:
    """Remove a network that no running container uses.  Raises `NotFound`, `Forbidden`."""
    network = find(engine, text)
    if network.name in networks.BUILT_IN:
        raise Forbidden(f"{network.name} is a pre-defined network and cannot be removed")
    _bury_the_dead(engine, network)
    with bridges.where(engine, make=False) as there, bridges.alone(engine), Socket() as host:
        room.writing(engine, lambda: _forget(engine, network))
        if there:
            bridges.remove(engine, host, network)
    room.made(engine)


def _forget(engine: Engine, network: Network) -> None:
    with engine.db.transaction():
        active = [row for row in networks.endpoints_in(engine.db, network.id) if row.active]
        if active:
            names = [_container_name(engine, row.container_id) for row in active]
            shown = ", ".join([f'name:"{name}" id:"{row.id[:12]}"' for name, row in zip(names, active, strict=True)])
            raise Forbidden(
                f"error while removing network: network {network.name} has active endpoints ({shown})",
                hint="disconnect or stop the containers first",
            )
        networks.delete(engine.db, network.id)
        _told(engine, network, "destroy")


def _bury_the_dead(engine: Engine, network: Network) -> None:
    """Containers that were killed with their monitors use nothing."""
    from wherry.engine.containers import find as find_container

    for row in networks.endpoints_in(engine.db, network.id):
        if row.active:
            try:
                find_container(engine, row.container_id)
            except NotFound:
                continue


def _container_name(engine: Engine, identity: str) -> str:
    row = engine.db.row("SELECT name FROM containers WHERE id = ?", (identity,))
    return str(row[0]) if row else identity[:12]


def inspect(engine: Engine, text: str) -> dict[str, Any]:
    """Docker's JSON of a network (Engine API 1.48, ``GET /networks/{id}``)."""
    network = find(engine, text)
    return describe(engine, network) | {"Containers": _containers(engine, network)}


def describe(engine: Engine, network: Network) -> dict[str, Any]:
    """The same without its containers, as lists have it."""
    if network.name == DEFAULT and not network.subnets:
        network = network.replace(bridge=bridges.default_name(engine, network))
    return {
        "Name": network.name,
        "Id": network.id,
        "Created": rfc3339(network.created),
        "Scope": "local",
        "Driver": network.driver,
        "EnableIPv4": network.enable_ipv4,
        "EnableIPv6": network.enable_ipv6,
        "IPAM": {
            "Driver": "default",
            "Options": {} if network.ipam_options and network.name not in networks.BUILT_IN else None,
            "Config": [_ipam(one) for one in (*network.subnets, *network.unused)]
            or ([] if network.driver == "bridge" else None),
        },
        "Internal": network.internal,
        "Attachable": network.attachable,
        "Ingress": False,
        "ConfigFrom": {"Network": ""},
        "ConfigOnly": False,
        "Containers": {},
        "Options": dict(options_of(network)),
        "Labels": dict(network.labels),
    }


def _ipam(subnet: Subnet) -> dict[str, Any]:
    shown: dict[str, Any] = {"Subnet": subnet.subnet}
    if subnet.ip_range:
        shown["IPRange"] = subnet.ip_range
    if subnet.gateway:
        shown["Gateway"] = subnet.gateway
    if subnet.aux_addresses:
        shown["AuxiliaryAddresses"] = dict(subnet.aux_addresses)
    return shown


def _containers(engine: Engine, network: Network) -> dict[str, dict[str, str]]:
    _bury_the_dead(engine, network)
    found: dict[str, dict[str, str]] = {}
    for row in networks.endpoints_in(engine.db, network.id):
        own = endpoint_from(row.record) if row.active else None
        if own is None and not (network.driver in ("host", "null") and _is_running(engine, row.container_id)):
            continue
        found[row.container_id] = {
            "Name": _container_name(engine, row.container_id),
            "EndpointID": row.id,
            "MacAddress": own.mac if own else "",
            "IPv4Address": own.ipv4 if own else "",
            "IPv6Address": own.ipv6 if own else "",
        }
    return found


def _is_running(engine: Engine, identity: str) -> bool:
    from wherry.engine.containers import ALIVE
    from wherry.engine.containers import find as find_container

    try:
        return find_container(engine, identity).status in ALIVE
    except NotFound:
        return False


def select(engine: Engine, filters: Filters) -> list[Network]:
    """The networks that pass ``filters``, by name.  Raises `InvalidArgument`."""
    allowed(filters, FILTERS)
    for text in filters.get("type", ()):
        if text not in ("builtin", "custom"):
            raise InvalidArgument(f"invalid filter 'type={text}'")
    for text in filters.get("dangling", ()):
        if text not in ("true", "false", "1", "0"):
            raise InvalidArgument(f"invalid filter 'dangling={text}'")
    found = [from_row(row) for row in networks.list_all(engine.db)]
    return [network for network in found if _passes(engine, network, filters)]


def documents(engine: Engine, filters: Filters) -> list[dict[str, Any]]:
    """Docker's JSON of the networks that pass ``filters``, by name.  Raises `InvalidArgument`."""
    return [describe(engine, one) for one in select(engine, filters)]


def _passes(engine: Engine, network: Network, filters: Filters) -> bool:
    checks: dict[str, Callable[[str], bool]] = {
        "driver": lambda text: text == network.driver,
        "id": lambda text: text in network.id,
        "name": lambda text: text in network.name,
        "scope": lambda text: text == "local",
        "type": lambda text: (text == "builtin") == (network.name in networks.BUILT_IN),
        "dangling": lambda text: (text in ("true", "1")) == is_dangling(engine, network),
    }
    if not all(has_label(network, text) for text in filters.get("label", ())):
        return False
    return all(any(check(text) for text in filters[name]) for name, check in checks.items() if name in filters)


def is_dangling(engine: Engine, network: Network) -> bool:
    """Whether no running container uses it, and it can go."""
    return network.name not in networks.BUILT_IN and not networks.active_count(engine.db, network.id)


def has_label(network: Network, text: str) -> bool:
    """Whether it has a label, ``name`` or ``name=value``."""
    name, equals, value = text.partition("=")
    return any(key == name and (not equals or found == value) for key, found in network.labels)


def prune(engine: Engine, filters: Filters) -> list[str]:
    """Remove every network that no running container uses; their names.  Takes away an idle default bridge as well."""
    allowed(filters, ("label", "label!", "until"))
    before = until(filters)
    removed: list[str] = []
    for row in networks.list_all(engine.db):
        network = from_row(row)
        if network.name in networks.BUILT_IN or (before and network.created >= before):
            continue
        if keeps(dict(network.labels), filters):
            continue
        try:
            remove(engine, network.id)
        except (Forbidden, NotFound):
            continue  # in use, or removed meanwhile
        removed.append(network.name)
    if not engine.rootless:
        bridges.settle(engine)
    room.writing(engine, lambda: events.record(engine.db, "network", "prune", "", {"reclaimed": "0"}))
    return removed
