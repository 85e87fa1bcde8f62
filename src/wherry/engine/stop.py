"""``docker stop``, ``kill`` and ``restart``: the container's monitor is asked, and sees to it.

It goes on doing so when the command that asked is gone.
"""

from __future__ import annotations

import time

from wherry.container.record import ContainerRecord
from wherry.engine import events
from wherry.engine.containers import ALIVE, find, load
from wherry.errors import Conflict, NotFound, WherryError
from wherry.monitor.call import Call, connect
from wherry.monitor.protocol import raise_error

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any

    from wherry.engine.engine import Engine
    from wherry.store.containers import ContainerRow

STOP_SECONDS = 10
"""How long a container has to end by itself when nothing else was said."""

_SIGTERM, _SIGKILL = 15, 9
_ATTEMPTS = 100
_NAP = 0.02


def call_monitor(engine: Engine, row: ContainerRow) -> Call | None:
    """A conversation with the monitor of a container that ran a moment ago; None when it does not run any more."""
    for _ in range(_ATTEMPTS):
        channel = connect(engine.layout.run_container(row.id))
        if channel is not None:
            return Call(channel)
        try:
            if find(engine, row.id).status not in ALIVE:
                return None
        except NotFound:
            return None
        time.sleep(_NAP)  # its monitor is between telling of the end and noting it
    raise WherryError(f"the monitor of container {row.id[:12]} does not answer")


def ask(engine: Engine, row: ContainerRow, message: dict[str, Any]) -> bool:
    """Have a monitor carry out a command; False when the container has ended.  Raises what the monitor says."""
    call = call_monitor(engine, row)
    if call is None:
        return False
    with call:
        call.say(message)
        answer = call.hear()
    if answer is None or "exited" in answer:
        return False
    if "error" in answer:
        raise_error(answer)
    return True


def kill_row(engine: Engine, row: ContainerRow) -> None:
    """SIGKILL to a container; returns when its monitor has noted its end."""
    call = call_monitor(engine, row)
    if call is not None:
        with call:
            call.say({"signal": _SIGKILL})
            _hear_the_end(call)


def kill(engine: Engine, name: str, signal: int) -> None:
    """``docker kill``.  Raises `NotFound`, `Conflict` for one that is not running."""
    row = find(engine, name)
    if row.status not in ALIVE or not ask(engine, row, {"signal": signal}):
        raise Conflict(f"cannot kill container: {name}: container {row.id} is not running")


def stop(
    engine: Engine, names: Sequence[str], *, timeout: int | None = None, signal: int = 0
) -> Iterator[tuple[str, WherryError | None]]:
    """``docker stop`` of several at once: each name, in order, with what went wrong, once it has ended.

    ``timeout`` is in seconds, negative for ever; it and ``signal`` come from the container where they are not given.
    """
    stopping = [(name, _begin_stop(engine, name, timeout, signal, keep=False)) for name in names]
    for name, call in stopping:
        if isinstance(call, Call):
            with call:
                yield name, _hear_the_end(call)
        else:
            yield name, call


def _begin_stop(
    engine: Engine, name: str, timeout: int | None, signal: int, *, keep: bool
) -> Call | WherryError | None:
    try:
        row = find(engine, name)
        if row.status not in ALIVE:
            return None
        call = call_monitor(engine, row)
        if call is not None:
            record = load(row)
            request = {
                "signal": signal or stop_signal(record),
                "timeout": stop_timeout(record) if timeout is None else timeout,
                "keep": keep,
            }
            call.say({"stop": request})
        return call
    except WherryError as error:
        return error


def _hear_the_end(call: Call) -> WherryError | None:
    """Wait until the container has ended, or its monitor has."""
    while (message := call.hear()) is not None and "exited" not in message:
        if "error" in message:
            try:
                raise_error(message)
            except WherryError as error:
                return error
    return None


def restart(engine: Engine, name: str, *, timeout: int | None = None, signal: int = 0) -> None:
    """``docker restart``: stop what runs, start it; ``--rm`` does not remove it in between.

    Raises `NotFound`, and what keeps it from starting.
    """
    from wherry.engine.start import start

    identity = find(engine, name).id
    stopping = _begin_stop(engine, identity, timeout, signal, keep=True)
    if isinstance(stopping, WherryError):
        raise stopping
    if stopping is not None:
        with stopping:
            error = _hear_the_end(stopping)
        if error is not None:
            raise error
    start(engine, identity)
    events.of_container(engine.db, load(find(engine, identity)), "restart")


def stop_signal(record: ContainerRecord) -> int:
    """The signal that asks the container to end: its option's, its image's, SIGTERM."""
    if not record.options.stop_signal:
        return _SIGTERM
    from wherry.container.parse import signal

    return signal(record.options.stop_signal)


def stop_timeout(record: ContainerRecord) -> int:
    """Seconds between that signal and SIGKILL."""
    given = record.options.stop_timeout
    return STOP_SECONDS if given is None else given
