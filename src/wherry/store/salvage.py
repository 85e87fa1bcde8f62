"""Getting out of a damaged database what can still be read."""

from __future__ import annotations

import os

from wherry.store.db import Database
from wherry.store.sqlite import sqlite3

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_PARTS = ("", "-wal", "-shm")


def salvage(path: str, aside: str) -> int:
    """Put a new database in the place of the one at ``path``, with every row that can be read; how many those are.

    The damaged one is moved to the directory ``aside``.  The caller makes sure that nobody else has it open.
    """
    fresh = f"{path}.new"
    for part in _PARTS:
        _unlink(fresh + part)
    new = Database(fresh)
    tables = [str(name) for (name,) in new.rows("SELECT name FROM sqlite_master WHERE type = 'table'")]
    count = 0
    for table in tables:
        columns = [str(row[1]) for row in new.rows(f"PRAGMA table_info({table})")]
        found = _rows(path, table, columns)
        marks = ", ".join("?" * len(columns))
        with new.transaction():
            for row in found:
                count += new.execute(f"INSERT OR IGNORE INTO {table} VALUES ({marks})", row)
    new.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    new.close()
    for part in _PARTS:
        if os.path.exists(path + part):
            os.rename(path + part, f"{aside}/{os.path.basename(path)}{part}")
    os.rename(fresh, path)
    for part in _PARTS[1:]:
        _unlink(fresh + part)
    return count


def _unlink(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass


def _rows(path: str, table: str, columns: list[str]) -> list[tuple[Any, ...]]:
    """What can be read of a table, from its beginning and from its end up to where the damage is."""
    found: dict[tuple[Any, ...], None] = {}
    for order in ("ASC", "DESC"):
        try:
            connection = sqlite3.connect(path, isolation_level=None)
            try:
                have = {str(row[1]) for row in connection.execute(f"PRAGMA table_info({table})").fetchall()}
                if not have.issuperset(columns[:1]):
                    return []
                names = ", ".join([name if name in have else f"NULL AS {name}" for name in columns])
                cursor = connection.execute(f"SELECT {names} FROM {table} ORDER BY {columns[0]} {order}")
                while (row := cursor.fetchone()) is not None:
                    found[row] = None
                return list(found)
            finally:
                connection.close()
        except sqlite3.Error:
            continue
    return list(found)
