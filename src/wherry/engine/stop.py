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
    call = begin(engine, row, message)
    if call is not None:
        call.channel.close()
    return call is not None


def begin(engine: Engine, row: ContainerRow, message: dict[str, Any]) -> Call | None:
    """`ask`, and the conversation, which goes on until the caller ends it."""
    while True:
        call = call_monitor(engine, row)
        if call is None:
            return None
        call.say(message)
        answer = call.hear()
        if answer is not None and "done" in answer:
            return call
        call.channel.close()
        if answer is not None and answer.get("restarting"):
            continue  # it ended before its monitor heard of us, and goes on
        if answer is None or "exited" in answer:
            return None
        raise_error(answer)


def kill_row(engine: Engine, row: ContainerRow) -> None:
    """SIGKILL to a container; returns when its monitor has noted its end."""
    again = True
    while again:
        call = call_monitor(engine, row)
        if call is None:
            return
        with call:
            call.say({"signal": _SIGKILL})
            again = _hear_the_end(call)


def kill(engine: Engine, name: str, signal: int) -> None:
    """``docker kill``; with SIGKILL it has ended on return.

    Raises `NotFound`, `Conflict` for one that is not running.
    """
    row = find(engine, name)
    if row.status in ALIVE and signal == _SIGKILL:
        kill_row(engine, row)
    elif row.status not in ALIVE or not ask(engine, row, {"signal": signal}):
        raise Conflict(f"cannot kill container: {name}: container {row.id} is not running")


def stop(
    engine: Engine,
    names: Sequence[str],
    *,
    timeout: int | None = None,
    signal: int = 0,
    shutdown: bool = False,
) -> Iterator[tuple[str, WherryError | None]]:
    """``docker stop`` of several at once: each name, in order, with what went wrong, once it has ended.

    ``timeout`` is in seconds, negative for ever; it and ``signal`` come from the container where they are not given.
    With ``shutdown`` nobody asked for it but the machine, and `wherry boot` starts them again.
    """
    stopping = [(name, _Stopping(engine, name, timeout, signal, shutdown=shutdown)) for name in names]
    for name, one in stopping:
        try:
            one.finish()
        except WherryError as error:
            yield name, error
        else:
            yield name, None


class _Stopping:
    """A container that has been asked to end; what goes wrong is raised when it is waited for."""

    def __init__(
        self,
        engine: Engine,
        name: str,
        timeout: int | None,
        signal: int,
        *,
        keep: bool = False,
        shutdown: bool = False,
    ) -> None:
        self._asked = {"keep": keep, "shutdown": shutdown}
        self._timeout, self._signal = timeout, signal
        self._engine = engine
        self._name = name
        self._error: WherryError | None = None
        self._call = self._begin()

    def _begin(self) -> Call | None:
        timeout = self._timeout
        try:
            row = find(self._engine, self._name)
            self._name = row.id
            call = call_monitor(self._engine, row) if row.status in ALIVE else None
            if call is not None:
                record = load(row)
                request = {
                    **self._asked,
                    "signal": self._signal or stop_signal(record),
                    "timeout": stop_timeout(record) if timeout is None else timeout,
                }
                call.say({"stop": request})
            return call
        except WherryError as error:
            self._error = error
            return None

    def finish(self) -> str:
        """Returns the container's id when it has ended.  Raises what kept it from that."""
        while self._call is not None:
            with self._call:
                again = _hear_the_end(self._call)
            self._call = self._begin() if again else None
        if self._error is not None:
            raise self._error
        return self._name


def _hear_the_end(call: Call) -> bool:
    """Wait until the container has ended, or its monitor has; whether it is going to be started again: it had ended
    by itself before its monitor heard of us.  Raises what the monitor says."""
    while (message := call.hear()) is not None and "exited" not in message:
        if "error" in message:
            raise_error(message)
    return message is not None and bool(message.get("restarting"))


def restart(engine: Engine, name: str, *, timeout: int | None = None, signal: int = 0) -> None:
    """``docker restart``: stop what runs, start it; ``--rm`` does not remove it in between.

    Raises `NotFound`, and what keeps it from starting.
    """
    from wherry.engine.start import start

    identity = _Stopping(engine, name, timeout, signal, keep=True).finish()
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
