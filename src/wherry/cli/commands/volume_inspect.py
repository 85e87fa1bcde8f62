"""`wherry volume inspect`."""

from __future__ import annotations

from wherry.cli.commands.image_inspect import FORMAT
from wherry.cli.parser import Command

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wherry.cli.main import Call

# fmt: off
COMMAND = Command(
    paths=("volume inspect",),
    usage="[OPTIONS] VOLUME [VOLUME...]",
    summary="Display detailed information on one or more volumes",
    least=1,
    options=(("format", "f", "string", "", FORMAT),),
)
# fmt: on


def main(call: Call) -> int:
    """Prints Docker's JSON of volumes."""
    from wherry.cli.inspection import show
    from wherry.engine.volume_objects import inspect

    return show(call.arguments, call.verb(inspect), call.get("format", ""))
