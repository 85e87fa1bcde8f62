"""The other direction of `wherry.monitor.rest`: what it has pickled, loaded into the process that rested."""

from __future__ import annotations

import _pickle

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from wherry.monitor.keep import Keeper


def load(memory: int, live: dict[str, Any]) -> Keeper:
    """The keeper, with what it is to call again in the loop that goes on; ``live`` are the objects that are here.

    The file ``memory`` is closed.
    """

    class Unpickler(_pickle.Unpickler):
        def persistent_load(self, name: str) -> object:
            return live[name]

    keeper: Keeper
    with open(memory, "rb") as file:
        keeper, others, alarms, changes = Unpickler(file).load()
    supervisor = live["supervisor"]
    supervisor.others, supervisor.alarms = others, alarms
    supervisor.changes.update(changes)
    keeper.awake()
    return keeper
