"""``docker start``: a container's record is given to its monitor, which makes a process of it."""

from __future__ import annotations

from wherry.monitor.main import Job, Monitor

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from wherry.container.record import ContainerRecord
    from wherry.engine.engine import Engine
    from wherry.monitor.main import Owner
    from wherry.monitor.streams import Streams

    Attach = tuple[bool, bool, bool] | None


def new_monitor(engine: Engine, network: str = "") -> Monitor:
    """Fork the monitor of a container to come; it gets ready while the container is created.

    ``network`` is the container's network mode, as far as it is known.
    """

    def own(details: dict[str, Any]) -> Owner:
        from wherry.engine.life import Life

        return Life(engine, details)

    def load() -> None:
        from wherry.engine.life import load

        load(engine, network)

    engine.will_fork()
    return Monitor(own, load)


def begin(
    engine: Engine,
    record: ContainerRecord,
    monitor: Monitor,
    *,
    attach: Attach,
    new: bool,
    clients: tuple[tuple[int, Attach], ...] = (),
) -> None:
    """Hand a container over; what becomes of it is told on the monitor's channel, to which ``attach`` joins its
    streams (None: only what happens is told).  ``new``: it was created a moment ago.  ``clients`` are more of the kind,
    by descriptors that stay the caller's."""
    options = record.options
    monitor.begin(
        Job(
            terminal=options.tty,
            open_stdin=options.open_stdin,
            stdin_once=options.stdin_once,
            log=_log(engine, record),
            title=engine.layout.run_container(record.id),
            directory=engine.layout.run_container(record.id),
            attach=attach,
            others=tuple([wanted for _fd, wanted in clients]),
            details={
                "record": record.to_json(),
                "id_base": record.id_base,
                "new": new,
                "attached": attach is not None or any(wanted is not None for _fd, wanted in clients),
            },
        ),
        [fd for fd, _wanted in clients],
    )


def _log(engine: Engine, record: ContainerRecord) -> dict[str, Any] | None:
    """What the monitor is told about the log; one for all the times that the container runs."""
    directory, options = engine.layout.container(record.id), record.options
    if options.log_driver or options.log_opts:
        from wherry.container.logging import settings

        return settings(record, directory)
    return {"driver": "json-file", "path": f"{directory}/{record.id}-json.log"}


def wait_started(monitor: Monitor) -> None:
    """Return when the container runs.  Raises what kept it from that."""
    from wherry.errors import WherryError
    from wherry.monitor.call import Call
    from wherry.monitor.protocol import raise_error

    with Call(monitor.channel) as call:
        message = call.hear()
    if message is None:
        raise WherryError("the container's monitor ended unexpectedly", hint="see `wherry ps -a`")
    if "error" in message:
        raise_error(message)


def start(engine: Engine, name: str, clients: tuple[tuple[int, Attach], ...] = ()) -> None:
    """Start a container that was created or has ended; nothing happens to one that runs.

    ``clients`` are ends of socket pairs, attached or (None) waiting from its first instruction.

    Raises `NotFound`, `Conflict` for one that is paused, and what keeps it from starting.
    """
    from wherry.errors import NotModified

    try:
        with new_monitor(engine) as monitor:
            begin(engine, _startable(engine, name), monitor, attach=None, new=False, clients=clients)
            wait_started(monitor)
    except NotModified:
        pass


def start_attached(engine: Engine, name: str, streams: Streams) -> int:
    """Start a container with the caller's streams joined to its; its exit status, 0 when the person detached.

    One that is running already is only attached to.  Raises what `start` does.
    """
    from wherry.engine.run import stay, told_detached
    from wherry.errors import NotModified

    try:
        with new_monitor(engine) as monitor:
            record = _startable(engine, name)
            terminal = record.options.tty
            stdin = streams.stdin if record.options.open_stdin else None
            joined = streams.replace(terminal=terminal, sig_proxy=streams.sig_proxy and not terminal, stdin=stdin)
            attach = (stdin is not None, streams.stdout is not None, streams.stderr is not None)
            begin(engine, record, monitor, attach=attach, new=False)
            return stay(monitor, joined, lambda: told_detached(engine, record.id))
    except NotModified:
        from wherry.engine.attach import attach as attach_to

        return attach_to(engine, name, streams)[0]


def _startable(engine: Engine, name: str) -> ContainerRecord:
    from wherry.engine.containers import find, load
    from wherry.errors import Conflict, NotModified

    row = find(engine, name)
    if row.status == "paused":
        raise Conflict("cannot start a paused container, try unpause instead")
    if row.status in ("running", "restarting"):
        raise NotModified(f"container {row.id} is already running")
    return load(row)
