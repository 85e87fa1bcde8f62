"""`wherry network prune`."""

from __future__ import annotations

from wherry.cli.commands.images import CHECKS, filters
from wherry.cli.parser import Command

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wherry.cli.main import Call

__all__ = ["CHECKS", "COMMAND", "main"]

# fmt: off
COMMAND = Command(
    paths=("network prune",),
    usage="[OPTIONS]",
    summary="Remove all unused networks",
    description="Filters are **label**, **label!** and **until**.",
    most=0,
    options=(
        ("filter", "", "filter", "", 'Provide filter values (e.g. "until=<timestamp>")'),
        ("force", "f", "bool", "", "Do not prompt for confirmation"),
    ),
)
# fmt: on


def main(call: Call) -> int:
    """Removes every network that no running container uses."""
    from wherry.cli.confirm import agreed
    from wherry.engine.networks import prune

    wanted = filters(call)
    if not agreed(call, "WARNING! This will remove all custom networks not used by at least one container."):
        return 0
    removed = call.verb(prune)(wanted)
    if removed:
        print("Deleted Networks:", *removed, sep="\n", end="\n\n")
    return 0
