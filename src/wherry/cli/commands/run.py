"""`wherry run`: the path that is measured.  The options are a table here, their values become `ContainerOptions`."""

from __future__ import annotations

import os

from wherry.cli.container_options import CHECKS, OPTIONS, UNSUPPORTED, build
from wherry.cli.parser import Command, UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wherry.cli.main import Call
    from wherry.container.options import ContainerOptions

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
        ("detach-keys", "", "string", "", "Override the key sequence for detaching a container"),
        ("pull", "", "string", "missing", 'Pull image before running ("always", "missing", "never")'),
        ("sig-proxy", "", "bool", "true", "Proxy received signals to the process"),
    ),
    unsupported=(
        ("detach", "d", "this version runs containers in the foreground only"),
        *UNSUPPORTED,
    ),
)
# fmt: on


def main(call: Call) -> int:
    """Runs a container in the foreground; its exit status is the container's."""
    options = build(call)
    check_terminal(options)
    from wherry.engine.run import run

    return run(
        call.engine(),
        options,
        detach_keys=call.get("detach-keys", ""),
        sig_proxy=call.get("sig-proxy", True),
        progress=call.progress,
    )


def check_terminal(options: ContainerOptions) -> None:
    """A terminal for the container needs one here, when input comes from here."""
    if options.tty and options.attach_stdin and not os.isatty(0):
        raise UsageError("the input device is not a TTY", 1)
