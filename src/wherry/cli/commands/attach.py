"""`wherry attach`."""

from __future__ import annotations

import os

from wherry.cli.parser import Command, UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wherry.cli.main import Call
    from wherry.monitor.streams import Streams

# fmt: off
COMMAND = Command(
    paths=("container attach", "attach"),
    usage="[OPTIONS] CONTAINER",
    summary="Attach local standard input, output, and error streams to a running container",
    least=1,
    most=1,
    options=(
        ("detach-keys", "", "string", "", "Override the key sequence for detaching a container"),
        ("no-stdin", "", "bool", "", "Do not attach STDIN"),
        ("sig-proxy", "", "bool", "true", "Proxy all received signals to the process"),
    ),
)
# fmt: on


def main(call: Call) -> int:
    """Joins the terminal, or a script's pipes, to a container; its exit status is the container's."""
    from wherry.engine.attach import attach

    join, name = call.verb(attach), call.arguments[0]
    wanted = streams(call, stdin=not call.get("no-stdin", False))
    check_terminal(call, name, wanted)
    status, detached = join(name, wanted)
    if detached:
        raise UsageError("read escape sequence", 1)
    return status


def streams(call: Call, *, stdin: bool) -> Streams:
    """What of ours is joined to the container; the container says whether it has input, and a terminal."""
    from wherry.monitor.streams import Streams

    found = Streams(0 if stdin else None, 1, 2, False, call.get("sig-proxy", True))
    if "detach-keys" in call.values:
        from wherry.container.keys import detach_keys

        found = found.replace(detach_keys=detach_keys(call.values["detach-keys"]))
    return found


def check_terminal(call: Call, name: str, wanted: Streams) -> None:
    """A container's terminal is typed at from a terminal."""
    from wherry.engine.attach import wants

    terminal, takes_input = call.verb(wants)(name)
    if wanted.stdin is not None and terminal and takes_input and not os.isatty(wanted.stdin):
        raise UsageError("the input device is not a TTY", 1)
