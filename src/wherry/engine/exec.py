"""``docker exec``: another process in a running container.

Its parent is a monitor of its own, forked first of all as for a run (docs/decisions/0070-monitor.md): so it goes on
when the command line is gone.  While the monitor loads the runtime, the process is described here, from what the
container was made of and from its users as they are now.  Nothing is kept of it; it ends with its container at the
latest.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]

from wherry.errors import WherryError
from wherry.monitor.main import Job, Monitor

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from wherry.container.exec_options import ExecOptions
    from wherry.container.facts import Identity
    from wherry.container.record import ContainerRecord
    from wherry.engine.engine import Engine
    from wherry.monitor.main import Owner
    from wherry.monitor.streams import Streams
    from wherry.store.containers import ContainerRow


def exec_in(engine: Engine, name: str, options: ExecOptions, streams: Streams) -> int:
    """Run a command in the container ``name`` and stay with it; its exit status, or 0 when the person detached.

    With ``options.detach`` it returns as soon as the command runs.  Raises `NotFound`, `Conflict` when the container
    is not running or is paused, `CommandNotFound` and `CannotInvoke` when the command cannot be started.
    """
    monitor = begin_exec(engine, name, options)
    if options.detach:
        _await_start(monitor)
        return 0
    from wherry.engine.run import stay

    if streams.terminal:
        _signal.signal(_signal.SIGTERM, _leave)
        _signal.signal(_signal.SIGHUP, _leave)
    return stay(monitor, streams)


def begin_exec(engine: Engine, name: str, options: ExecOptions, exec_id: str = "") -> Monitor:
    """Have a command's monitor start it; how that goes, and its output, come on the monitor's channel.

    ``exec_id`` is that of one that `wherry.engine.execs` has made.  Raises `NotFound`, `Conflict`.
    """
    with _new_monitor(engine) as monitor:
        from wherry.engine.containers import load  # the monitor has no use for it

        row = find_running(engine, name)
        try:
            details = describe(engine, load(row), row.pid, options)
        except WherryError:
            find_running(engine, row.id)  # if it was removed meanwhile, that is what there is to say
            raise
        directory = ""
        if exec_id:
            _note_start(engine, details, exec_id)
            details["exec_id"], directory = exec_id, engine.layout.exec(exec_id)
        title = f"{engine.layout.run_container(row.id)}/exec"
        monitor.begin(Job(options.tty, options.attach_stdin and not options.detach, None, details, title, directory))
    return monitor


def _note_start(engine: Engine, details: dict[str, Any], exec_id: str) -> None:
    from wherry.store import events, execs

    with engine.db.transaction():
        execs.begin(engine.db, exec_id)
        action, image, labels = f"exec_start: {details['command']}", details["image"], details["labels"]
        events.record_container(engine.db, action, details["id"], image, labels, {"execID": exec_id})


def _leave(number: int, _frame: object) -> None:
    """End as the signal would end us, but with the terminal's mode put back."""
    raise SystemExit(128 + number)


def _new_monitor(engine: Engine) -> Monitor:
    def own(details: dict[str, Any]) -> Owner:
        from wherry.engine.execution import Execution

        return Execution(engine, details)

    def load() -> None:
        from wherry.engine.execution import load

        load(engine)

    return Monitor(own, load)


def find_running(engine: Engine, name: str) -> ContainerRow:
    """The container ``name`` if a process can be started in it.  Raises `NotFound`, `Conflict`."""
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


def describe(engine: Engine, record: ContainerRecord, pid: int, options: ExecOptions) -> dict[str, Any]:
    """What `wherry.engine.execution.Execution` is told; ``pid`` is the container's first process.

    ``born`` is when the container's first process began: with its pid, that is who it is.
    """
    from wherry.errors import CannotInvoke, Conflict, InvalidArgument
    from wherry.fastjson import JSONError, loads
    from wherry.linux.process import start_time

    born = start_time(pid)
    try:
        with open(f"{engine.layout.run_container(record.id)}/config.json", "rb") as file:
            spec = loads(file.read())
    except (OSError, JSONError):
        spec = None
    if not born or spec is None:
        raise Conflict(f"container {record.id} is not running")
    try:
        process = _process(engine, record, options, spec)
    except InvalidArgument as error:
        raise CannotInvoke(error.message, hint=error.hint) from None
    spec = {"linux": spec["linux"]}
    return {
        "id": record.id,
        "pid": pid,
        "born": born,
        "spec": spec,
        "process": process,
        "image": record.options.image,
        "labels": dict(record.options.labels),
        "command": f"{process['args'][0]} {' '.join(process['args'][1:])}",
    }


def _process(engine: Engine, record: ContainerRecord, options: ExecOptions, spec: dict[str, Any]) -> dict[str, Any]:
    import os

    from wherry.container.exec_options import process

    return process(
        spec,
        record.options,
        options,
        _identity(engine, record, options, spec),
        hostname=os.uname().nodename,
        every=_every(engine) if options.privileged else (),
    )


def _identity(engine: Engine, record: ContainerRecord, options: ExecOptions, spec: dict[str, Any]) -> Identity:
    """By the container's /etc/passwd and /etc/group as they are now."""
    from wherry.container import lookup, users
    from wherry.engine.lower import open_running

    with open_running(engine, record) as lower:
        layers = (f"{engine.layout.container(record.id)}/upper", *lower)
        found = users.resolve(
            options.user or record.options.user,
            record.options.group_add,
            lookup.read(layers, "etc/passwd", users.MAX_FILE) or b"",
            lookup.read(layers, "etc/group", users.MAX_FILE) or b"",
        )
    mapped = sum(one["size"] for one in spec["linux"].get("gidMappings") or ())
    if engine.rootless and mapped == 1 and found.groups == (found.gid,):
        found = found.replace(groups=())  # setgroups(2) is denied where only one group is mapped
    return found


def _every(engine: Engine) -> tuple[str, ...]:
    from wherry.container.capabilities import choose
    from wherry.linux import capabilities

    available = engine.host.bounding & capabilities.ALL
    return choose((), (), privileged=True, available=tuple(capabilities.names(available)))


def _await_start(monitor: Monitor) -> None:
    """Raises what kept the command from starting."""
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
