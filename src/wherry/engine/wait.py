"""``docker wait``: until a container has ended."""

from __future__ import annotations

from wherry.engine.containers import ALIVE, find
from wherry.engine.stop import call_monitor

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wherry.engine.engine import Engine


def wait(engine: Engine, name: str) -> int:
    """The container's exit status, once it is not running.  Raises `NotFound`."""
    row = find(engine, name)
    while row.status in ALIVE:
        call = call_monitor(engine, row)
        if call is not None:
            with call:
                call.say({"wait": True})
                while (message := call.hear()) is not None:
                    if "exited" in message:
                        return int(message["exited"])
        row = find(engine, row.id)
    return row.exit_code
