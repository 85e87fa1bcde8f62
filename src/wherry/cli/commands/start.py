"""`wherry start`."""

from __future__ import annotations

from wherry.cli.main import fail
from wherry.cli.parser import Command, UsageError
from wherry.errors import WherryError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wherry.cli.main import Call

# fmt: off
COMMAND = Command(
    paths=("container start", "start"),
    usage="[OPTIONS] CONTAINER [CONTAINER...]",
    summary="Start one or more stopped containers",
    least=1,
    options=(
        ("attach", "a", "bool", "", "Attach STDOUT/STDERR and forward signals"),
        ("detach-keys", "", "string", "", "Override the key sequence for detaching a container"),
        ("interactive", "i", "bool", "", "Attach container's STDIN"),
    ),
    unsupported=(
        ("checkpoint", "", "there are no checkpoints"),
        ("checkpoint-dir", "", "there are no checkpoints"),
    ),
)
# fmt: on


def main(call: Call) -> int:
    """Starts containers; attached to one, its exit status is the container's."""
    if call.get("attach") or call.get("interactive"):
        return _attached(call)
    from wherry.engine.start import start

    begin = call.verb(start)
    failed = []
    for name in call.arguments:
        try:
            begin(name)
        except WherryError as error:
            fail(error)
            failed.append(name)
        else:
            print(name, flush=True)
    if failed:
        raise UsageError(f"wherry: failed to start containers: {', '.join(failed)}", 1)
    return 0


def _attached(call: Call) -> int:
    if len(call.arguments) > 1:
        raise UsageError("wherry: you cannot start and attach multiple containers at once", 1)
    from wherry.cli.commands.attach import check_terminal, streams
    from wherry.engine.start import start_attached

    begin = call.verb(start_attached)
    wanted = streams(call, stdin=call.get("interactive", False))
    check_terminal(call, call.arguments[0], wanted)
    try:
        return begin(call.arguments[0], wanted)
    except WherryError as error:
        return fail(error)
