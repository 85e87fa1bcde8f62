"""`wherry wait`."""

from __future__ import annotations

from wherry.cli.each import each
from wherry.cli.parser import Command

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wherry.cli.main import Call

# fmt: off
COMMAND = Command(
    paths=("container wait", "wait"),
    usage="CONTAINER [CONTAINER...]",
    summary="Block until one or more containers stop, then print their exit codes",
    least=1,
)
# fmt: on


def main(call: Call) -> int:
    """Prints exit codes."""
    from wherry.engine.wait import wait

    return each(call.arguments, call.verb(wait))
