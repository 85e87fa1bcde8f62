"""`wherry exec`."""

from __future__ import annotations

import os

from wherry.cli.parser import Command, UsageError
from wherry.errors import CannotInvoke, CommandNotFound, InvalidArgument

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wherry.cli.main import Call

__all__ = ["CHECKS", "COMMAND", "main"]

# fmt: off
COMMAND = Command(
    paths=("container exec", "exec"),
    usage="[OPTIONS] CONTAINER COMMAND [ARG...]",
    summary="Execute a command in a running container",
    description="The command is in all namespaces and the control group of the container, with its system call "
    "filter, its capabilities and its limits. It ends with the container at the latest. With **-d** it goes on when "
    "this command ends; without, too, when this command is killed: signals are not forwarded.",
    interspersed=False,
    least=2,
    options=(
        ("detach", "d", "bool", "", "Detached mode: run command in the background"),
        ("detach-keys", "", "string", "", "Override the key sequence for detaching a container"),
        ("env", "e", "list", "", "Set environment variables"),
        ("env-file", "", "list", "", "Read in a file of environment variables"),
        ("interactive", "i", "bool", "", "Keep STDIN open even if not attached"),
        ("privileged", "", "bool", "", "Give extended privileges to the command"),
        ("tty", "t", "bool", "", "Allocate a pseudo-TTY"),
        ("user", "u", "string", "", 'Username or UID (format: "<name|uid>[:<group|gid>]")'),
        ("workdir", "w", "string", "", "Working directory inside the container"),
    ),
)
# fmt: on


def _variable(text: str) -> str:
    if text[:1] in ("", "="):
        raise InvalidArgument(f"invalid environment variable: {text}")
    return text


CHECKS = {"env": _variable}


def main(call: Call) -> int:
    """Runs a command in a container; its exit status is the command's."""
    from wherry.container.exec_options import ExecOptions
    from wherry.engine.exec import exec_in
    from wherry.monitor.streams import Streams

    name, *command = call.arguments
    detach, tty = call.get("detach", False), call.get("tty", False)
    attach = call.get("interactive", False) and not detach
    if tty and attach and not os.isatty(0):
        raise UsageError("the input device is not a TTY", 1)
    streams = Streams(0 if attach else None, 1, 2, tty, False)
    if "detach-keys" in call.values:
        from wherry.container.keys import detach_keys

        streams = streams.replace(detach_keys=detach_keys(call.values["detach-keys"]))
    options = ExecOptions(
        cmd=tuple(command),
        attach_stdin=attach,
        attach_stdout=not detach,
        attach_stderr=not detach,
        tty=tty,
        detach=detach,
        env=_environment(call),
        user=call.get("user", ""),
        working_dir=call.get("workdir", ""),
        privileged=call.get("privileged", False),
        console_size=_console_size() if tty else (0, 0),
    )
    try:
        return call.verb(exec_in)(name, options, streams)
    except (CannotInvoke, CommandNotFound) as error:
        if detach:  # no status of a command is waited for: Docker's client has only an error to tell
            error.exit_code = 1
        raise


def _console_size() -> tuple[int, int]:
    from wherry.monitor.client import terminal_size

    return terminal_size(1, 0) or (0, 0)


def _environment(call: Call) -> tuple[str, ...]:
    if not ("env" in call.values or "env-file" in call.values):
        return ()
    from wherry.cli.container_values import read_variables
    from wherry.container.parse_file import environment

    files = [(path, read_variables(path)) for path in call.get("env-file", ())]
    return environment(files, call.get("env", ()), call.environ())
