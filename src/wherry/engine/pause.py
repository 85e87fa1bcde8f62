"""``docker pause`` and ``unpause``: all processes of a container are frozen by its control group."""

from __future__ import annotations

from wherry.engine.containers import ALIVE, find
from wherry.engine.stop import ask
from wherry.errors import Conflict

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wherry.engine.engine import Engine


def pause(engine: Engine, name: str) -> None:
    """Raises `NotFound`, `Conflict` for one that is not running or paused already, `NotSupported` without a freezer."""
    row = find(engine, name)
    if row.status == "paused":
        raise Conflict(f"container {row.id} is already paused")
    if row.status == "restarting":
        raise Conflict(f"container {row.id} is restarting, wait until the container is running")
    if row.status not in ALIVE or not ask(engine, row, {"pause": True}):
        raise Conflict(f"container {row.id} is not running")


def unpause(engine: Engine, name: str) -> None:
    """Raises `NotFound`, `Conflict` for one that is not paused."""
    row = find(engine, name)
    if row.status != "paused" or not ask(engine, row, {"unpause": True}):
        raise Conflict(f"container {row.id} is not paused")
