"""`wherry volume prune`."""

from __future__ import annotations

from wherry.cli.commands.images import CHECKS, filters
from wherry.cli.parser import Command
from wherry.errors import InvalidArgument

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wherry.cli.main import Call

__all__ = ["CHECKS", "COMMAND", "main"]

# fmt: off
COMMAND = Command(
    paths=("volume prune",),
    usage="[OPTIONS]",
    summary="Remove unused local volumes",
    description="Filters are **label**, **label!** and **all**.",
    most=0,
    options=(
        ("all", "a", "bool", "", "Remove all unused volumes, not just anonymous ones"),
        ("filter", "", "filter", "", 'Provide filter values (e.g. "label=<label>")'),
        ("force", "f", "bool", "", "Do not prompt for confirmation"),
    ),
)
# fmt: on


def main(call: Call) -> int:
    """Removes volumes that no container has."""
    from wherry.cli import pruned
    from wherry.cli.confirm import agreed
    from wherry.engine.volume_objects import prune

    wanted, everything = filters(call), call.get("all", False)
    if "all" in wanted:
        if everything:
            raise InvalidArgument("conflicting options: cannot specify both --all and --filter all=1")
        everything = any(text.lower() in ("1", "t", "true") for text in wanted.pop("all"))
    which = "local volumes" if everything else "anonymous local volumes"
    warning = f"WARNING! This will remove {'all ' if everything else ''}{which} not used by at least one container."
    if not agreed(call, warning):
        return 0
    removed, freed = call.verb(prune)(wanted, everything=everything)
    pruned.show([("Volumes", removed)], freed)
    return 0
