"""Telling what happens: one line in each verb, inside the transaction that changes the state.

Reading them is `wherry.engine.event_stream`'s.
"""

from __future__ import annotations

from wherry.store import containers
from wherry.store.events import record, record_container

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wherry.container.record import ContainerRecord
    from wherry.container.state import State
    from wherry.store.db import Database

__all__ = ["ended", "forget_container", "of_container", "of_image", "of_volume", "record", "started"]


def of_container(db: Database, container: ContainerRecord, action: str, **more: str) -> None:
    """``action`` was done to a container, whose row is (still) there.  ``more`` are attributes of this action."""
    record_container(db, action, container.id, container.options.image, dict(container.options.labels), more)


def started(db: Database, container: ContainerRecord, *, attached: bool) -> None:
    """A container runs; ``attached``: somebody's streams were joined to it before."""
    if attached:
        of_container(db, container, "attach")
    for mount in container.mounts:
        if mount.type == "volume":
            writable = "true" if mount.rw else "false"
            more = {"destination": mount.destination, "read/write": writable, "propagation": mount.propagation}
            of_volume(db, mount.name, "mount", driver=mount.driver, container=container.id, **more)
    of_container(db, container, "start")


def ended(db: Database, container: ContainerRecord, state: State, *, stopped: bool) -> None:
    """A container has ended as ``state`` says; ``stopped``: because it was told to."""
    if state.oom_killed:
        of_container(db, container, "oom")
    seconds = max(state.finished_at - state.started_at, 0) // 1_000_000_000
    of_container(db, container, "die", exitCode=str(state.exit_code), execDuration=str(seconds))
    for mount in container.mounts:
        if mount.type == "volume":
            of_volume(db, mount.name, "unmount", driver=mount.driver, container=container.id)
    if stopped:
        of_container(db, container, "stop")


def forget_container(db: Database, container: ContainerRecord) -> None:
    """The container's row goes, with its name and ids, and that is told; nothing happens when it has gone."""
    with db.transaction():
        if db.row("SELECT 1 FROM containers WHERE id = ?", (container.id,)) is not None:
            of_container(db, container, "destroy")
            containers.delete(db, container.id)


def of_image(db: Database, image_id: str, action: str, name: str = "", *, actor: str = "") -> None:
    """``action`` was done to an image whose row is (still) there.  ``actor`` stands for the id where Docker has a
    name, as for a pull."""
    from wherry.oci.image import parse
    from wherry.store import images

    row = images.get(db, image_id)
    labels = dict(parse(row.config.encode()).labels) if row else {}
    record(db, "image", action, actor or image_id, {**labels, "name": name or image_id})


def of_volume(db: Database, name: str, action: str, *, driver: str = "", **more: str) -> None:
    """``action`` was done to a volume."""
    record(db, "volume", action, name, {**more, "driver": driver or "local"})
