"""Putting right what processes that were killed left behind.

A container's row is written before its directories and its lock's file, and removed before them: each of those without
a row is garbage.  Its monitor's lock tells whether somebody is still busy with it.  The directory in the run root goes
last but for the lock, so whatever else is left (a cgroup, changes on disk) can be found from it.
"""

from __future__ import annotations

import os

from wherry.engine.containers import monitor_lock
from wherry.engine.places import active_endpoints, has_idle_bridge
from wherry.store import containers, networks

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wherry.container.record import ContainerRecord
    from wherry.engine.engine import Engine

ENDED = ("exited", "dead")
ID_LENGTH = 64


def sweep(engine: Engine, *, bridges: bool = True) -> int:
    """Remove the remains of containers that are gone; how many there were.  Cheap when there are none.

    ``bridges``: the default network's goes as well, if nobody uses it and nobody waits for somebody who might.
    """
    layout = engine.layout
    kept, running = set(os.listdir(layout.containers)), set(os.listdir(layout.run_containers))
    locks = {name for name in os.listdir(layout.locks) if len(name) == ID_LENGTH and name.isalnum()}
    if not kept and not running and not locks:
        _settle(engine, bridges)
        return 0
    status = containers.statuses(engine.db)  # read after the directories
    gone = (kept | running | locks) - status.keys()
    placed = {container for _network, container in networks.in_use(engine.db)}
    ended = {identity for identity in running if status.get(identity) in ENDED}
    for identity in running | placed:  # a monitor that was killed before it could say that the container runs
        before = status.get(identity)
        if identity in placed:
            begun = before == "created" or before in ENDED
        else:
            begun = before == "created" and os.path.exists(f"{layout.run_container(identity)}/config.json")
        if begun:
            ended.add(identity)
    count = 0
    for identity in gone | ended:
        lock = monitor_lock(engine, identity)
        if not lock.try_acquire():
            continue  # its monitor is at it
        try:
            remove_remains(engine, identity, everything=identity in gone)
            count += 1
        finally:
            lock.release(remove=True)
    if count:
        from wherry.engine.bridges import tidy

        tidy(engine)
    _settle(engine, bridges)
    return count


def _settle(engine: Engine, wanted: bool) -> None:
    if wanted and not engine.rootless and has_idle_bridge(engine):
        from wherry.engine.bridges import settle_unless_somebody_does

        settle_unless_somebody_does(engine)


def remove_ended(engine: Engine, record: ContainerRecord, *, gone: bool, noted: bool) -> None:
    """What the monitor of a container that has ended takes away: all of one that is ``gone``.

    Not ``noted``: the database does not know of the end, and who looks next finds in the run root what it was.
    """
    if record.mounts:
        from wherry.engine import local_driver

        local_driver.detach(engine, record)
    if noted and gone:
        from wherry.engine.clean import remove_container_files

        remove_container_files(engine, record)
    elif noted:
        remove_remains(engine, record.id, everything=False)


def remove_remains(engine: Engine, identity: str, *, everything: bool) -> None:
    """Remove what a container that does not run keeps below the run root, and with ``everything`` all of it.

    The caller holds its lock.
    """
    from wherry.engine.clean import as_owner, remove_group, remove_tree

    remove_group(engine, identity)
    if active_endpoints(engine, identity):
        from wherry.engine.network import undo

        undo(engine, identity)
    if everything:

        def remove() -> int:
            engine.snapshotter.remove_upper(identity)
            remove_tree(engine.layout.container(identity))
            return 0

        as_owner(engine, remove)
    remove_tree(engine.layout.run_container(identity))
