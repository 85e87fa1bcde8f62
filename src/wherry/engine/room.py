"""What makes room works on a full disk, too: see `wherry.store.reserve`."""

from __future__ import annotations

from wherry.errors import StorageFull
from wherry.store import reserve

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeVar

    from wherry.engine.engine import Engine

    Result = TypeVar("Result")


def writing(engine: Engine, step: Callable[[], Result]) -> Result:
    """Carry out a step that changes everything or nothing; if there is no space, once more with the reserve's.

    Raises what the step does.
    """
    try:
        return step()
    except StorageFull:
        if not reserve.spend(engine.layout):
            raise
        return step()


def made(engine: Engine) -> None:
    """There may be room again: keep a part of it."""
    reserve.keep(engine.layout)
