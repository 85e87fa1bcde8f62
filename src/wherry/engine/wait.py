"""``docker wait``: until a container has ended, or is gone (Engine API, *Wait for a container*, ``condition``)."""

from __future__ import annotations

import time

from wherry.engine.containers import ALIVE, find
from wherry.engine.stop import call_monitor
from wherry.errors import InvalidArgument, NotFound

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wherry.engine.engine import Engine
    from wherry.store.containers import ContainerRow

NOT_RUNNING, NEXT_EXIT, REMOVED = "not-running", "next-exit", "removed"
_NAP = 0.05  # between two looks at a container that has no monitor to wait for


def wait(engine: Engine, name: str, condition: str = NOT_RUNNING) -> int:
    """The exit status, once ``condition`` is so.

    ``not-running`` is so for a container that does not run; for one that does, at its next end, though it is started
    again.  ``next-exit`` waits for an end even when it does not run now, or for its removal.  Raises `NotFound`,
    `InvalidArgument`.
    """
    if condition not in (NOT_RUNNING, NEXT_EXIT, REMOVED):
        raise InvalidArgument(f'invalid condition: "{condition}"')
    first = row = find(engine, name)
    code = row.exit_code
    while True:
        if row.status in ALIVE:
            ended = _next_end(engine, row)
            if ended is not None:
                code = ended
                if condition != REMOVED:
                    return code
        elif condition == NOT_RUNNING:
            return row.exit_code
        else:
            if condition == NEXT_EXIT and row.finished_at != first.finished_at:
                return row.exit_code
            time.sleep(_NAP)
        try:
            row = find(engine, row.id)
        except NotFound:
            return code


def _next_end(engine: Engine, row: ContainerRow) -> int | None:
    """The exit status of a container that runs; None when it had ended before its monitor heard of us."""
    call = call_monitor(engine, row)
    if call is None:
        return None
    with call:
        call.say({"wait": True})
        while (message := call.hear()) is not None:
            if "exited" in message:
                return int(message["exited"])
    return None
