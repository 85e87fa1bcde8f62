"""``docker update``: other limits and another restart policy for a container, whether it runs or not."""

from __future__ import annotations

import time

from wherry.container.options import ContainerOptions
from wherry.container.update import changed, check, limits
from wherry.engine import events
from wherry.engine.containers import ALIVE, find, load, monitor_lock
from wherry.engine.create import machine_limits
from wherry.engine.stop import ask
from wherry.errors import Conflict, WherryError
from wherry.store import containers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wherry.container.record import ContainerRecord
    from wherry.container.update import ContainerUpdate
    from wherry.engine.engine import Engine
    from wherry.store.containers import ContainerRow

_PATIENCE = 10.0
_NAP = 0.02


def update(engine: Engine, name: str, wanted: ContainerUpdate) -> None:
    """Raises `NotFound`, `InvalidArgument` for what cannot be asked, `Conflict` for what this container cannot be."""
    asked = ContainerOptions(nano_cpus=wanted.nano_cpus, cpuset_cpus=wanted.cpuset_cpus, cpuset_mems=wanted.cpuset_mems)
    row = find(engine, name)
    check(wanted, ContainerOptions(), **machine_limits(asked))
    until = time.monotonic() + _PATIENCE
    try:
        while not (_change_running if row.status in ALIVE else _change_stopped)(engine, row, wanted):
            if time.monotonic() > until:
                raise Conflict("another command is using it")
            time.sleep(_NAP)
            row = find(engine, row.id)
    except WherryError as error:
        error.message = f"Cannot update container {row.id}: {error.message}"
        raise


def _change_running(engine: Engine, row: ContainerRow, wanted: ContainerUpdate) -> bool:
    """Its monitor sets the limits and keeps the record; False when it has ended meanwhile."""
    record = _changed(row, wanted)
    found = limits(wanted, record.options)
    return ask(engine, row, {"update": {"record": record.to_json(), "resources": found}})


def _change_stopped(engine: Engine, row: ContainerRow, wanted: ContainerUpdate) -> bool:
    """False when somebody else has hold of it."""
    lock = monitor_lock(engine, row.id)
    if not lock.try_acquire():
        return False
    try:
        row = containers.get(engine.db, row.id)
        if row.status in ALIVE:
            return False
        record = _changed(row, wanted)
        with engine.db.transaction():
            containers.update(engine.db, row.id, record=record.to_json())
            events.of_container(engine.db, record, "update")
        return True
    finally:
        lock.release(remove=True)


def _changed(row: ContainerRow, wanted: ContainerUpdate) -> ContainerRecord:
    record = load(row)
    return record.replace(options=changed(record.options, wanted))
