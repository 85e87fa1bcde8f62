"""`wherry rename`."""

from __future__ import annotations

from wherry.cli.parser import Command

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wherry.cli.main import Call

# fmt: off
COMMAND = Command(
    paths=("container rename", "rename"),
    usage="CONTAINER NEW_NAME",
    summary="Rename a container",
    least=2,
    most=2,
)
# fmt: on


def main(call: Call) -> int:
    """Gives a container another name."""
    from wherry.engine.rename import rename

    call.verb(rename)(call.arguments[0].strip(), call.arguments[1].strip())
    return 0
