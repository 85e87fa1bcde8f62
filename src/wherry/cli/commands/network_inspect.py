"""`wherry network inspect`."""

from __future__ import annotations

from wherry.cli.commands.image_inspect import FORMAT
from wherry.cli.parser import Command

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wherry.cli.main import Call

# fmt: off
COMMAND = Command(
    paths=("network inspect",),
    usage="[OPTIONS] NETWORK [NETWORK...]",
    summary="Display detailed information on one or more networks",
    least=1,
    options=(
        ("format", "f", "string", "", FORMAT),
        ("verbose", "v", "bool", "", "Verbose output for diagnostics"),
    ),
)
# fmt: on


def main(call: Call) -> int:
    """Prints Docker's JSON of networks.  ``--verbose`` is about swarm's services, which there are none of."""
    from wherry.cli.inspection import show
    from wherry.engine.networks import inspect

    return show(call.arguments, call.verb(inspect), call.get("format", ""))
