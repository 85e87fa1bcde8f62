"""`wherry unpause`."""

from __future__ import annotations

from wherry.cli.each import each
from wherry.cli.parser import Command

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wherry.cli.main import Call

# fmt: off
COMMAND = Command(
    paths=("container unpause", "unpause"),
    usage="CONTAINER [CONTAINER...]",
    summary="Unpause all processes within one or more containers",
    least=1,
)
# fmt: on


def main(call: Call) -> int:
    """Lets frozen containers go on."""
    from wherry.engine.pause import unpause

    return each(call.arguments, call.verb(unpause))
