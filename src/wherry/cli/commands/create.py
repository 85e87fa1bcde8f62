"""`wherry create`."""

from __future__ import annotations

from wherry.cli.commands.run import warn, when_pulling
from wherry.cli.container_options import CHECKS, OPTIONS, UNSUPPORTED, build
from wherry.cli.parser import Command
from wherry.errors import WherryError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wherry.cli.main import Call

__all__ = ["CHECKS", "COMMAND", "main"]

# fmt: off
COMMAND = Command(
    paths=("container create", "create"),
    usage="[OPTIONS] IMAGE [COMMAND] [ARG...]",
    summary="Create a new container",
    description="Makes a container from an image without starting it and prints its id. "
    "The options are those of **wherry run**.",
    interspersed=False,
    least=1,
    options=(
        *OPTIONS,
        ("pull", "", "string", "missing", 'Pull image before creating ("always", "missing", "never")'),
    ),
    unsupported=UNSUPPORTED,
)
# fmt: on


def main(call: Call) -> int:
    """Makes a container and prints its id; a wrong option is 125 as for `run`, what fails later 1 as in Docker."""
    from wherry.engine.run import make

    options = build(call)
    warn(options)
    create = call.verb(make)
    try:
        identity = create(options, when_pulling(call))
    except WherryError as error:
        if error.exit_code == WherryError.exit_code:
            error.exit_code = 1
        raise
    print(identity)
    return 0
