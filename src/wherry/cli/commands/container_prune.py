"""`wherry container prune`."""

from __future__ import annotations

from wherry.cli.commands.images import CHECKS, filters
from wherry.cli.parser import Command

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wherry.cli.main import Call

__all__ = ["CHECKS", "COMMAND", "main"]

# fmt: off
COMMAND = Command(
    paths=("container prune",),
    usage="[OPTIONS]",
    summary="Remove all stopped containers",
    description="Filters are **until**, **label** and **label!**.",
    most=0,
    options=(
        ("filter", "", "filter", "", 'Provide filter values (e.g. "until=<timestamp>")'),
        ("force", "f", "bool", "", "Do not prompt for confirmation"),
    ),
)
# fmt: on


def main(call: Call) -> int:
    """Removes every container that is not running."""
    from wherry.cli import pruned
    from wherry.cli.confirm import agreed
    from wherry.engine.prune import prune

    wanted = filters(call)
    if not agreed(call, "WARNING! This will remove all stopped containers."):
        return 0
    removed, freed = call.verb(prune)(wanted)
    pruned.show([("Containers", removed)], freed)
    return 0
