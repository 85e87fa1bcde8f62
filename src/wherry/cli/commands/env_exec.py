"""`wherry env exec`."""

from __future__ import annotations

import os

from wherry.cli import env_container
from wherry.cli.commands import exec as exec_command
from wherry.cli.commands.exec import CHECKS
from wherry.cli.parser import Command, UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wherry.cli.main import Call

__all__ = ["CHECKS", "COMMAND", "main"]

# fmt: off
COMMAND = Command(
    paths=("env exec",),
    usage="[OPTIONS] [FOLDER|CONTAINER] -- COMMAND [ARG...]",
    summary="Execute a command in the running container of an environment",
    description="The container is the one that `wherry env run`, `env shell` or `env notebook` started last for the "
    "folder, by default for this one, and that still runs. Otherwise as `wherry exec`; input and the terminal are "
    "joined where there are any.",
    interspersed=False,
    keeps_dashes=True,
    least=1,
    options=exec_command.COMMAND.options,
)
# fmt: on


def main(call: Call) -> int:
    """Runs a command in a container; its exit status is the command's."""
    from wherry.env.use import running

    wanted, command = env_container.split(call.arguments)
    if not command:
        raise UsageError("wherry: 'wherry env exec' requires a command\n\nUsage:  wherry env exec " + COMMAND.usage, 1)
    if not call.get("detach", False):
        call.values.setdefault("interactive", True)
        call.values.setdefault("tty", call.values["interactive"] and os.isatty(0) and os.isatty(1))
    call.arguments = [running(call.engine(), wanted), *command]
    return exec_command.main(call)
