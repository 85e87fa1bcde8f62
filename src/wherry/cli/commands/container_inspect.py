"""`wherry container inspect`."""

from __future__ import annotations

from wherry.cli.commands.image_inspect import FORMAT
from wherry.cli.parser import Command

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wherry.cli.main import Call

# fmt: off
COMMAND = Command(
    paths=("container inspect",),
    usage="[OPTIONS] CONTAINER [CONTAINER...]",
    summary="Display detailed information on one or more containers",
    least=1,
    options=(
        ("format", "f", "string", "", FORMAT),
        ("size", "s", "bool", "", "Display total file sizes"),
    ),
)
# fmt: on


def main(call: Call) -> int:
    """Prints Docker's JSON of containers."""
    from wherry.cli.inspection import show
    from wherry.engine.containers import inspect

    look, size = call.verb(inspect), call.get("size", False)
    return show(call.arguments, lambda name: look(name, size=size), call.get("format", ""))
