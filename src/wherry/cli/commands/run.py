"""`wherry run`: the path that is measured.  The options are a table here, their values become `ContainerOptions`."""

from __future__ import annotations

import os
import sys

from wherry.cli.container_options import CHECKS, OPTIONS, UNSUPPORTED, build
from wherry.cli.parser import Command, UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wherry.cli.main import Call
    from wherry.container.options import ContainerOptions
    from wherry.engine.progress import Progress

__all__ = ["CHECKS", "COMMAND", "main"]

# fmt: off
COMMAND = Command(
    paths=("container run", "run"),
    usage="[OPTIONS] IMAGE [COMMAND] [ARG...]",
    summary="Create and run a new container from an image",
    interspersed=False,
    least=1,
    options=(
        *OPTIONS,
        ("detach", "d", "bool", "", "Run container in background and print container ID"),
        ("detach-keys", "", "string", "", "Override the key sequence for detaching a container"),
        ("pull", "", "string", "missing", 'Pull image before running ("always", "missing", "never")'),
        ("sig-proxy", "", "bool", "true", "Proxy received signals to the process"),
    ),
    unsupported=UNSUPPORTED,
)
# fmt: on


def main(call: Call) -> int:
    """Runs a container; in the foreground, its exit status is the container's."""
    options = build(call)
    if options.network_mode == "host":
        warn(options)
    if call.get("detach"):
        from wherry.engine.run import run_detached

        print(call.verb(run_detached)(options, when_pulling(call)))
        return 0
    check_terminal(options)
    from wherry.engine.run import run
    from wherry.monitor.streams import Streams

    streams = Streams(
        0 if options.attach_stdin else None,
        1 if options.attach_stdout else None,
        2 if options.attach_stderr else None,
        options.tty,
        call.get("sig-proxy", True),
    )
    if "detach-keys" in call.values:
        from wherry.container.keys import detach_keys

        streams = streams.replace(detach_keys=detach_keys(call.values["detach-keys"]))
    return call.verb(run)(options, streams, when_pulling(call))


def warn(options: ContainerOptions) -> None:
    """Say what has no effect."""
    from wherry.container.modes import warnings

    for text in warnings(options):
        print(f"WARNING: {text}", file=sys.stderr)


def when_pulling(call: Call) -> Progress:
    """Progress on standard error; what it needs is loaded when there is something to show, which is seldom."""
    return _WhenPulling(bool(call.get("quiet")))  # type: ignore[return-value]


class _WhenPulling:
    def __init__(self, quiet: bool) -> None:
        self._quiet = quiet

    def __getattr__(self, name: str) -> object:
        from wherry.cli.progress import open_progress

        opened = open_progress(quiet=self._quiet, stream=sys.stderr)
        for method in ("start", "advance", "done", "message"):
            setattr(self, method, getattr(opened, method))
        return getattr(opened, name)


def check_terminal(options: ContainerOptions) -> None:
    """A terminal for the container needs one here, when input comes from here."""
    if options.tty and options.attach_stdin and not os.isatty(0):
        raise UsageError("the input device is not a TTY", 1)
