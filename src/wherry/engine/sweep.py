"""Putting right what processes that were killed left behind.

A container's row is written before its directories and removed before them, so a directory without a row is garbage;
its monitor's lock tells whether somebody is still busy with it.  The directory in the run root goes last, so whatever
else is left (a cgroup, changes on disk) can be found from it.
"""

from __future__ import annotations

import os

from wherry.engine.clean import as_owner, remove_group, remove_tree
from wherry.engine.containers import monitor_lock
from wherry.engine.places import has_idle_bridge
from wherry.store import containers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wherry.engine.engine import Engine

ENDED = ("exited", "dead")


def sweep(engine: Engine) -> int:
    """Remove the remains of containers that are gone; how many there were.  Cheap when there are none."""
    layout = engine.layout
    if not engine.rootless and has_idle_bridge(engine):
        from wherry.engine.bridges import settle_unless_somebody_does

        settle_unless_somebody_does(engine)
    kept, running = set(os.listdir(layout.containers)), set(os.listdir(layout.run_containers))
    if not kept and not running:
        return 0
    status = {row.id: row.status for row in containers.list_all(engine.db)}  # read after the directories
    gone = (kept | running) - status.keys()
    ended = {identity for identity in running if status.get(identity) in ENDED}
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
    return count


def remove_remains(engine: Engine, identity: str, *, everything: bool) -> None:
    """Remove what a container that does not run keeps below the run root, and with ``everything`` all of it.

    The caller holds its lock.
    """
    remove_group(engine, identity)
    if everything:

        def remove() -> int:
            engine.snapshotter.remove_upper(identity)
            remove_tree(engine.layout.container(identity))
            return 0

        as_owner(engine, remove)
    remove_tree(engine.layout.run_container(identity))
