"""What `wherry system check` looks for in the kernel: control groups, mounts and networks that were left, and ids."""

from __future__ import annotations

import os

from wherry.engine import bridges, connections, parents
from wherry.engine.containers import ALIVE, monitor_lock
from wherry.engine.problem import Problem
from wherry.errors import Forbidden, NotSupported
from wherry.linux import links
from wherry.linux.netlink import Socket
from wherry.network.model import from_row
from wherry.store import containers
from wherry.store import networks as store_networks

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from wherry.engine.engine import Engine

_PARENT = "wherry"


def cgroups(engine: Engine) -> Iterator[Problem]:
    """Control groups of containers of this store that do not run: others may have theirs beside them."""
    rows = containers.list_all(engine.db)
    ours = {row.id for row in rows if row.status not in ALIVE}
    ours.update(actor for (actor,) in engine.db.rows("SELECT DISTINCT actor FROM events WHERE kind = 'container'"))
    ours -= {row.id for row in rows if row.status in ALIVE}
    found: dict[str, str] = {}
    for mount, parent in _parents(engine):
        try:
            names = os.listdir(parent)
        except OSError:
            continue
        for name in names:
            path = f"{parent}/{name}"
            if name in ours and os.path.isdir(path):
                found[name] = path.removeprefix(mount)
    for name, path in sorted(found.items()):
        lock = monitor_lock(engine, name)
        if lock.try_acquire():
            lock.release(remove=True)
            yield Problem(f"control group of a container that does not run: {name}", _remove, (engine, name, path))


def _parents(engine: Engine) -> list[tuple[str, str]]:
    """Where this user's groups are: the hierarchy, and the directory in it."""
    layout = engine.host.cgroups
    if not engine.rootless:
        mounts = {*layout.hierarchies(), layout.unified}
        return [(mount, f"{mount}/{_PARENT}") for mount in sorted(mounts) if mount]
    base = layout.delegated()
    return [(layout.unified, f"{layout.unified}{base.rstrip('/')}/{_PARENT}")] if base is not None else []


def _remove(engine: Engine, identity: str, path: str) -> None:
    from wherry.linux import cgroup

    with monitor_lock(engine, identity):
        group = cgroup.open_cgroup(engine.host.cgroups, path)
        group.kill()
        group.remove()


def mounts(engine: Engine) -> Iterator[Problem]:
    """Mounts in the directories of containers: every container has its own in a mount namespace that ends with it."""
    layout = engine.layout
    places = (f"{layout.containers}/", f"{layout.run_containers}/")
    with open("/proc/self/mountinfo") as file:
        points = [line.split()[4].replace("\\040", " ") for line in file]
    for point in reversed(points):
        if point.startswith(places):
            identity = point.partition("/containers/")[2].partition("/")[0]
            lock = monitor_lock(engine, identity)
            if lock.try_acquire():
                lock.release(remove=True)
                yield Problem(f"a mount that a container left: {point}", _unmount, (point,))


def _unmount(point: str) -> None:
    from wherry.linux import mount

    mount.unmount(point, mount.MNT_DETACH)


def ids(engine: Engine) -> Iterator[Problem]:
    """Files of containers that do not belong to the container's range of ids."""
    if engine.rootless:
        return
    for row in containers.list_all(engine.db):
        upper = f"{engine.layout.container(row.id)}/upper"
        try:
            owner = os.stat(upper).st_uid
        except OSError:
            continue
        if row.id_base and not row.id_base <= owner < row.id_base + containers.ID_COUNT:
            yield Problem(f"container {row.name} has the ids from {row.id_base}, but its files belong to {owner}")


def places(engine: Engine) -> Iterator[Problem]:
    """Running containers that somebody was about to connect to a network, or to disconnect, when he was killed."""
    for row in connections.left(engine):
        container = containers.get(engine.db, row.container_id).name
        network = store_networks.find(engine.db, row.network_id).name
        yield Problem(
            f"container {container} is half in network {network}; mended, it is not connected to it",
            connections.finish_left,
            (engine, row.container_id),
        )


def networks(engine: Engine) -> Iterator[Problem]:
    """Rules and bridges of networks that the database does not know, as after the loss of one."""
    if engine.rootless:
        return
    with bridges.alone(engine):
        unknown = _unknown(engine)
    for name in unknown:
        yield Problem(f"rules of a network that is gone: {name}", _remove_network, (engine, name))
    for name in parents.forgotten(engine):
        yield Problem(f"the interface of a network that is gone: {name}", _remove_parent, (engine, name))


def _unknown(engine: Engine) -> list[str]:
    """Bridges that the store's own table has rules for, and the store no network."""
    try:
        found = bridges.firewall(engine).bridges()
    except (Forbidden, NotSupported):
        return []
    return sorted(set(found) - _known(engine))


def _known(engine: Engine) -> set[str]:
    return {from_row(row).bridge for row in store_networks.list_all(engine.db)}


def _remove_network(engine: Engine, name: str) -> None:
    """Their containers have ended: while one ran, its monitor would have kept the database from being replaced."""
    with bridges.alone(engine), Socket() as host:
        if name not in _known(engine):
            link = links.find(host, name)
            if link is not None and link.kind == "bridge":
                host.do(links.delete(name))
            bridges.rebuild(engine)


def _remove_parent(engine: Engine, name: str) -> None:
    with bridges.alone(engine), Socket() as host:
        parents.remove(engine, host, name)
