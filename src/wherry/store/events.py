"""What happened, in the order in which it was committed: the rows behind ``docker events``.

A row is written in the transaction that changes the state, so an event is there exactly when what it tells of is.
Writers take turns (`wherry.store.db.Transaction`): numbers grow in the order in which rows become visible, and who
has read up to a number has missed nothing before it.  A trigger removes old rows (docs/decisions/0095-events.md).
"""

from __future__ import annotations

from time import time_ns

from wherry.fastjson import dumps, loads
from wherry.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from wherry.store.db import Database, Row


class Event(Record):
    """``time`` is epoch nanoseconds; ``kind`` and ``action`` are Docker's words, ``actor`` the id or name."""

    number: int
    time: int
    kind: str
    action: str
    actor: str
    attributes: dict[str, str]


def record(db: Database, kind: str, action: str, actor: str, attributes: Mapping[str, str]) -> None:
    """Writes down that ``action`` was done to ``actor``; part of the caller's transaction where there is one."""
    db.execute(
        "INSERT INTO events (time, kind, action, actor, attributes) VALUES (?, ?, ?, ?, ?)",
        (time_ns(), kind, action, actor, dumps(attributes)),
    )


def record_container(
    db: Database, action: str, identity: str, image: str, labels: Mapping[str, str], more: Mapping[str, str]
) -> None:
    """The same of a container, with the attributes that Docker gives it; its name is the one that it has now."""
    row = db.row("SELECT name FROM containers WHERE id = ?", (identity,))
    named = {"name": row[0]} if row else {}
    of_image = {"image": image} if image else {}
    record(db, "container", action, identity, {**labels, **of_image, **named, **more})


def after(db: Database, number: int, *, settled: bool = False) -> list[Event]:
    """The events with greater numbers, in order.

    ``settled`` waits for a writer that is at it: whatever a file of the database showed before the call is then read.
    """
    query = "SELECT id, time, kind, action, actor, attributes FROM events WHERE id > ? ORDER BY id"
    if not settled:
        return [_event(row) for row in db.rows(query, (number,))]
    with db.transaction():
        return [_event(row) for row in db.rows(query, (number,))]


def newest(db: Database) -> int:
    """The number of the last event, 0 when there is none."""
    row = db.row("SELECT max(id) FROM events")
    return (row[0] or 0) if row else 0


def _event(row: Row) -> Event:
    return Event(row[0], row[1], row[2], row[3], row[4], loads(row[5]))
