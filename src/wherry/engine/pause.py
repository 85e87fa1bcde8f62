"""``docker pause`` and ``unpause``: all processes of a container are frozen by its control group."""

from __future__ import annotations

from wherry.engine.containers import ALIVE, find
from wherry.engine.stop import ask, begin
from wherry.errors import Conflict, NotSupported
from wherry.monitor.protocol import raise_error

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wherry.engine.engine import Engine
    from wherry.monitor.call import Call
    from wherry.store.containers import ContainerRow


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


class held:  # noqa: N801 - read as a participle: `with held(engine, row)`
    """Meanwhile the processes of a container that runs stand still, if that is ``wanted``; its monitor lets them go on
    when this process ends, however it does.  What somebody else has paused stays so.

    The context tells whether it may be taken to stand still: not where this user has no freezer.
    """

    def __init__(self, engine: Engine, row: ContainerRow, *, wanted: bool) -> None:
        self._engine = engine
        self._row = row
        self._wanted = wanted and row.status == "running"
        self._call: Call | None = None

    def __enter__(self) -> bool:
        if self._wanted:
            try:
                self._call = begin(self._engine, self._row, {"pause": True, "hold": True})
            except NotSupported:
                return False
            except Conflict:
                return find(self._engine, self._row.id).status == "paused"
        return True

    def __exit__(self, *_error: object) -> None:
        if self._call is not None:
            with self._call as call:
                call.say({"unpause": True, "hold": True})
                answer = call.hear()
            if answer is not None and "error" in answer:
                raise_error(answer)
