"""Containers as they are listed, looked at and removed."""

from __future__ import annotations

import os
import time

from wherry.container.record import ContainerRecord, Glance
from wherry.errors import Conflict, Corrupt, NotFound, StorageFull
from wherry.fastjson import JSONError
from wherry.store import containers
from wherry.store.locks import Lock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from wherry.container.health import Health
    from wherry.container.state import State
    from wherry.engine.engine import Engine
    from wherry.store.containers import ContainerRow

ALIVE = ("running", "paused", "restarting")
_END = "ended"  # file in the container's directory of the run root
LOST = 255  # exit code of a container that ended with its machine
KILLED = 137  # exit code of a container whose monitor was killed: 128 + SIGKILL


def load(row: ContainerRow) -> ContainerRecord:
    """The record in a row.  Raises `Corrupt`."""
    try:
        return ContainerRecord.from_json(row.record, name=row.name, **_leased(row))
    except (JSONError, TypeError) as error:
        raise _unreadable(row, error) from None


def glance(row: ContainerRow) -> Glance:
    """What a list shows of a record.  Raises `Corrupt`."""
    try:
        return Glance.from_json(row.record)
    except (JSONError, TypeError) as error:
        raise _unreadable(row, error) from None


def _unreadable(row: ContainerRow, error: Exception) -> Corrupt:
    return Corrupt(f"the record of container {row.id[:12]} cannot be read: {error}")


def _leased(row: ContainerRow) -> dict[str, int]:
    """A leased range of ids is the row's; one that came with another container's namespaces is the record's."""
    return {"id_base": row.id_base} if row.id_base else {}


def state(row: ContainerRow) -> State:
    """Where a container is in its life, as its row says."""
    from wherry.container.state import State

    return State(
        status=row.status,
        pid=row.pid,
        exit_code=row.exit_code,
        error=row.error,
        oom_killed=bool(row.oom_killed),
        started_at=row.started_at,
        finished_at=row.finished_at,
        restart_count=row.restart_count,
        stopped=bool(row.stopped),
        health=row.health,
        boot=row.boot,
    )


def inspect(engine: Engine, name: str, *, size: bool = False) -> dict[str, Any]:
    """Docker's JSON of a container.  Raises `NotFound`, `InvalidArgument`."""
    from wherry.container.inspect import Places
    from wherry.container.inspect import inspect as describe
    from wherry.container.logging import path as log_path
    from wherry.engine import execs, links, network_settings
    from wherry.monitor.log_file import lost_lines
    from wherry.store import images

    row = find(engine, name)
    record = load(row)
    directory = engine.layout.container(row.id)
    mount = engine.mounts(record, row.id)
    lower = mount.below.source if mount.below else ":".join(mount.lower)
    used = written(engine, row.id) if size else 0
    image = images.get(engine.db, record.image_id) if size else None
    log = log_path(directory, row.id, record.options.log_driver)
    places = Places(
        links=links.described(engine, record),
        exec_ids=tuple(execs.unended(engine, row.id)),
        health=_health(engine, row),
        resolv_conf=f"{directory}/resolv.conf",
        hostname_file=f"{directory}/hostname",
        hosts=f"{directory}/hosts",
        log=log,
        log_lost=lost_lines(log) if log else 0,
        hostname=os.uname().nodename if "host" in (record.options.uts_mode, record.options.network_mode) else "",
        graph=(("LowerDir", lower), ("UpperDir", mount.upper), ("WorkDir", mount.work)),
        network=network_settings.describe(engine, record, state(row)),
        size_rw=used if size else None,
        size_root=used + (image.size if image else 0) if size else None,
    )
    return describe(record, state(row), places)


def written(engine: Engine, container_id: str) -> int:
    """Bytes in the files that a container has written or changed."""
    from wherry.engine.unpack import in_store

    return in_store(engine, lambda: engine.snapshotter.usage(container_id)[0])


def _health(engine: Engine, row: ContainerRow) -> Health:
    from wherry.container.health import Health
    from wherry.engine.health import load

    return load(engine.db, row.id) if row.health else Health()


def monitor_lock(engine: Engine, container_id: str, waiting: Callable[[], None] | None = None) -> Lock:
    """The lock that a container's monitor holds for as long as it lives."""
    return Lock(engine.layout.lock(container_id), waiting=waiting)


def find(engine: Engine, name: str) -> ContainerRow:
    """The container with this id, name or beginning of an id, as it is now.  Raises `NotFound`, `InvalidArgument`."""
    return _refreshed(engine, containers.get(engine.db, name))


def list_containers(engine: Engine) -> list[ContainerRow]:
    """Every container as it is now, the newest first."""
    from wherry.engine.sweep import sweep

    sweep(engine)
    found = []
    for row in containers.list_all(engine.db):
        try:
            found.append(_refreshed(engine, row))
        except NotFound:
            continue  # removed meanwhile, or by the sweep
    return found


def _refreshed(engine: Engine, row: ContainerRow) -> ContainerRow:
    """A row that says running is true only while a monitor lives; what one left behind is put right here."""
    if row.status not in ALIVE:
        return row
    lock = monitor_lock(engine, row.id)
    if not lock.try_acquire():
        return row
    try:
        row = containers.get(engine.db, row.id)
        if row.status in ALIVE:
            try:
                bury(engine, row)
            except StorageFull:  # it cannot be noted now, but it can be told
                return row.replace(**_end_of(engine, row))
        return containers.get(engine.db, row.id)
    finally:
        lock.release(remove=True)


def bury(engine: Engine, row: ContainerRow) -> None:
    """The monitor was killed, and its container with it (PR_SET_PDEATHSIG), or the machine: say so and clear up.

    The caller holds the container's lock."""
    record = load(row)
    end = _end_of(engine, row)
    code = end["exit_code"]
    from wherry.engine import events
    from wherry.engine.clean import remove_container_files, remove_group, remove_tree
    from wherry.engine.network import undo

    undo(engine, row.id)
    remove_group(engine, row.id, record.options.cgroup_parent)
    if record.mounts:
        from wherry.engine import local_driver

        local_driver.detach(engine, record)
    if record.options.auto_remove:
        with engine.db.transaction():
            events.of_container(engine.db, record, "die", exitCode=str(code))
            events.forget_container(engine.db, record)
        remove_container_files(engine, record)
        return
    with engine.db.transaction():
        containers.update(engine.db, row.id, **end)
        events.of_container(engine.db, record, "die", exitCode=str(code))
    remove_tree(engine.layout.run_container(row.id))


def note_end(engine: Engine, container_id: str, state: State) -> None:
    """Write down beside the database how a container ended, for `bury`; nothing when even that cannot be done."""
    from wherry.fastjson import dumps

    end = {"exit_code": state.exit_code, "finished_at": state.finished_at, "oom_killed": int(state.oom_killed)}
    try:
        with open(f"{engine.layout.run_container(container_id)}/{_END}", "w") as file:
            file.write(dumps({**end, "stopped": int(state.stopped)}))
    except OSError:
        return


def _end_of(engine: Engine, row: ContainerRow) -> dict[str, Any]:
    """The row's fields: the exit code, as Docker has it, and the reason."""
    from wherry.fastjson import loads
    from wherry.linux.process import boot_id

    end: dict[str, Any] = {"status": "exited", "pid": 0, "health": "unhealthy" if row.health else ""}
    if row.boot and row.boot != boot_id():
        return end | {"exit_code": LOST, "error": "the machine was restarted", "finished_at": time.time_ns()}
    try:
        with open(f"{engine.layout.run_container(row.id)}/{_END}") as file:
            noted = loads(file.read())
        return end | {name: int(noted[name]) for name in ("exit_code", "finished_at", "oom_killed", "stopped")}
    except (OSError, JSONError, KeyError, TypeError, ValueError):
        return end | {"exit_code": KILLED, "error": "the container's monitor was killed", "finished_at": time.time_ns()}


def remove(engine: Engine, name: str, *, force: bool = False, volumes: bool = False) -> str:
    """``docker rm``; gives back the name.  Raises `NotFound`, `Conflict` for a running one without ``force``.

    The container's lock is held meanwhile: nobody can start what is being removed.
    """
    from wherry.engine.clean import remove_container_files
    from wherry.engine.sweep import sweep

    row = find(engine, name)
    lock = _lock_ended(engine, row, force)
    try:
        try:
            record = load(containers.get(engine.db, row.id))
        except NotFound:  # --rm: its monitor removed it; or somebody else did
            if not force:
                raise
            return name
        from wherry.engine import events, room

        room.writing(engine, lambda: events.forget_container(engine.db, record))
        left = record if volumes else record.replace(mounts=())
        room.writing(engine, lambda: remove_container_files(engine, left))
        room.made(engine)
    finally:
        lock.release(remove=True)
    sweep(engine)
    return name


_KILL_SECONDS = 10


def _lock_ended(engine: Engine, row: ContainerRow, force: bool) -> Lock:
    """The lock of a container that is not running, held; with ``force``, one that runs is killed."""
    lock = monitor_lock(engine, row.id)
    killed = False
    delay, deadline = 0.001, time.monotonic() + _KILL_SECONDS
    while not lock.try_acquire():
        if row.status in ALIVE and not force:
            raise Conflict(f'cannot remove container "/{row.name}": container is {_how_to_remove(row.status)}')
        if row.status in ALIVE and not killed:
            from wherry.engine.stop import kill_row

            kill_row(engine, row)
            killed = True
        elif time.monotonic() > deadline:
            raise Conflict(f'cannot remove container "/{row.name}": another command is using it')
        time.sleep(delay)
        delay = min(
            delay * 1.1, 0.02
        )  # its monitor is about to let go: not much longer than a tenth of what that takes
        try:
            row = containers.get(engine.db, row.id)
        except NotFound:
            continue  # its files are being removed: what is left is seen when the lock is free
    return lock


def _how_to_remove(status: str) -> str:
    if status == "paused":
        return "paused and must be unpaused first"
    return f"{status}: stop the container before removing or force remove"
