"""Commands in containers that were asked for by an id, from their making until a while after their end.

A row goes with its container's (a trigger sees to it).
"""

from __future__ import annotations

from wherry.errors import Conflict, NotFound
from wherry.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wherry.store.db import Database

KEPT_SECONDS = 300
"""How long one can ask for the exit status of a command that has ended (moby, daemon/exec.go)."""

_MOST = 10_000


class ExecRow(Record):
    """``asked`` is JSON text; ``exit_code`` is None until the end was written down; ``ended`` is in epoch seconds."""

    id: str
    container_id: str
    asked: str
    started: int = 0
    exit_code: int | None = None
    ended: int = 0


def insert(db: Database, row: ExecRow, now: int) -> None:
    """Adds one, and forgets those that have ended long ago.  Raises `Conflict` when there are too many."""
    with db.transaction():
        db.execute("DELETE FROM execs WHERE ended > 0 AND ended < ?", (now - KEPT_SECONDS,))
        count = db.row("SELECT count(*) FROM execs")
        if count is not None and count[0] >= _MOST:
            raise Conflict("too many commands were made and not started")
        db.execute("INSERT INTO execs VALUES (?, ?, ?, 0, NULL, 0)", (row.id, row.container_id, row.asked))


def get(db: Database, identity: str) -> ExecRow:
    """Raises `NotFound`."""
    found = db.row("SELECT * FROM execs WHERE id = ?", (identity,))
    if found is None:
        raise NotFound("exec instance", identity)
    return ExecRow(*found)


def begin(db: Database, identity: str) -> None:
    """It is going to be started, once.  Raises `NotFound`, `Conflict`."""
    with db.transaction():
        row = get(db, identity)
        if row.started:
            state = "is already running" if row.exit_code is None else "has already run"
            raise Conflict(f"exec command {identity} {state}")
        db.execute("UPDATE execs SET started = 1 WHERE id = ?", (identity,))


def end(db: Database, identity: str, exit_code: int, now: int) -> None:
    """It has ended; no error when it is forgotten already."""
    db.execute("UPDATE execs SET exit_code = ?, ended = ? WHERE id = ?", (exit_code, now, identity))


def unended(db: Database, container_id: str) -> list[ExecRow]:
    """The commands of a container whose end was not written down, in no order."""
    query = "SELECT * FROM execs WHERE container_id = ? AND exit_code IS NULL"
    return [ExecRow(*found) for found in db.rows(query, (container_id,))]
