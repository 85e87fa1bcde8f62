"""What the health checks of containers have found, beside the status that is in a container's own row.

A row goes with its container's (a trigger sees to it).
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wherry.store.db import Database


def put(db: Database, container_id: str, streak: int, log: str) -> None:
    """Keep failures since the last success, and the last results as JSON text."""
    db.execute("INSERT OR REPLACE INTO health VALUES (?, ?, ?)", (container_id, streak, log))


def get(db: Database, container_id: str) -> tuple[int, str]:
    """What was `put` last, or none of it."""
    found = db.row("SELECT streak, log FROM health WHERE id = ?", (container_id,))
    return (found[0], found[1]) if found is not None else (0, "[]")
