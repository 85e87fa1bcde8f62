"""``docker attach``: join one's streams to a container that runs."""

from __future__ import annotations

from wherry.engine import events
from wherry.engine.containers import ALIVE, find, load
from wherry.engine.stop import call_monitor
from wherry.errors import Conflict
from wherry.monitor.client import Client, terminal_size
from wherry.monitor.streams import Streams

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wherry.engine.engine import Engine


def attach(engine: Engine, name: str, streams: Streams) -> tuple[int, bool]:
    """The container's exit status; and whether the person detached instead, with 0.

    ``streams`` says what is joined; whether it is a terminal is the container's to say.  Raises `NotFound`, `Conflict`
    for one that does not run.
    """
    row = find(engine, name)
    if row.status not in ALIVE:
        raise Conflict("cannot attach to a stopped container, start it first")
    if row.status == "paused":
        raise Conflict("cannot attach to a paused container, unpause it first")
    if row.status == "restarting":
        raise Conflict("cannot attach to a restarting container, wait until it is running")
    record = load(row)
    options = record.options
    streams = streams.replace(terminal=options.tty, stdin=streams.stdin if options.open_stdin else None)
    call = call_monitor(engine, row)
    if call is None:
        return find(engine, row.id).exit_code, False
    with call:
        wanted = {part: getattr(streams, part) is not None for part in ("stdin", "stdout", "stderr")}
        call.say({"attach": wanted})
        events.of_container(engine.db, record, "attach")
        size = terminal_size(streams.stdout, streams.stdin) if options.tty else None
        if size is not None:  # another size than the client's own, which follows: programs draw anew when it changes
            call.say({"resize": (size[0] + 1, size[1])})
        with Client(call.channel, streams) as client:
            outcome = client.relay()
    if outcome.exit_code is None:
        events.of_container(engine.db, record, "detach")
    return outcome.exit_code or 0, outcome.exit_code is None


def wants(engine: Engine, name: str) -> tuple[bool, bool]:
    """Whether a container has a terminal, and whether it takes input.  Raises `NotFound`."""
    options = load(find(engine, name)).options
    return options.tty, options.open_stdin


def resize(engine: Engine, name: str, size: tuple[int, int]) -> None:
    """Give the container's terminal ``size``: rows and columns.  Raises `NotFound`, `Conflict` when it does not run."""
    from wherry.engine.stop import ask

    row = find(engine, name)
    if row.status not in ALIVE or not ask(engine, row, {"resize": list(size)}):
        raise Conflict(f"container {row.id} is not running")
