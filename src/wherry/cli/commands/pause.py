"""`wherry pause`."""

from __future__ import annotations

from wherry.cli.each import each
from wherry.cli.parser import Command

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wherry.cli.main import Call

# fmt: off
COMMAND = Command(
    paths=("container pause", "pause"),
    usage="CONTAINER [CONTAINER...]",
    summary="Pause all processes within one or more containers",
    least=1,
)
# fmt: on


def main(call: Call) -> int:
    """Freezes containers."""
    from wherry.engine.pause import pause

    return each(call.arguments, call.verb(pause))
