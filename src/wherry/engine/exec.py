"""``docker exec``: another process in a running container.

Its parent is a monitor of its own, forked first of all as for a run (docs/decisions/0070-monitor.md): so it goes on
when the command line is gone.  Nothing of it is kept anywhere; it ends with its container at the latest.
"""

from __future__ import annotations

from wherry.monitor.main import Job, Monitor

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from wherry.container.exec_options import ExecOptions
    from wherry.engine.engine import Engine
    from wherry.monitor.client import Streams
    from wherry.monitor.main import Owner
    from wherry.store.containers import ContainerRow


def exec_in(engine: Engine, name: str, options: ExecOptions, streams: Streams) -> int:
    """Run a command in the container ``name`` and stay with it; its exit status, or 0 when the person detached.

    With ``options.detach`` it returns as soon as the command runs.  Raises `NotFound`, `Conflict` when the container
    is not running or is paused, `CommandNotFound` and `CannotInvoke` when the command cannot be started.
    """
    with _new_monitor(engine) as monitor:
        row = _running(engine, name)
        details = {"id": row.id, "pid": row.pid, "born": _born(row), "record": row.record, "exec": options.as_dict()}
        monitor.begin(Job(options.tty, options.attach_stdin and not options.detach, "", details))
    if options.detach:
        _await_start(monitor)
        return 0
    from wherry.engine.run import stay

    return stay(monitor, streams)


def _new_monitor(engine: Engine) -> Monitor:
    def own(details: dict[str, Any]) -> Owner:
        from wherry.engine.execution import Execution

        return Execution(engine, details)

    def load() -> None:
        from wherry.engine.execution import load

        load(engine)

    return Monitor(own, load)


def _running(engine: Engine, name: str) -> ContainerRow:
    from wherry.engine.containers import find
    from wherry.errors import Conflict

    row = find(engine, name)
    if row.status == "paused":
        raise Conflict(f"container {name} is paused, unpause the container before exec")
    if row.status == "restarting":
        raise Conflict(f"container {name} is restarting, wait until the container is running")
    if row.status != "running":
        raise Conflict(f"container {row.id} is not running")
    return row


def _born(row: ContainerRow) -> str:
    """When the container's first process began: with its pid, that is who it is."""
    from wherry.errors import Conflict
    from wherry.linux.process import start_time

    born = start_time(row.pid)
    if not born:
        raise Conflict(f"container {row.id} is not running")
    return born


def _await_start(monitor: Monitor) -> None:
    """Raises what kept the command from starting."""
    from wherry.errors import WherryError
    from wherry.monitor.protocol import CONTROL, Decoder, parse_control, raise_error

    decoder = Decoder()
    while data := monitor.channel.recv(1 << 16):
        for kind, payload in decoder.feed(data):
            message = parse_control(payload) if kind == CONTROL else {}
            if "error" in message:
                raise_error(message)
            if "started" in message:
                return
    raise WherryError("the command's monitor ended unexpectedly")
