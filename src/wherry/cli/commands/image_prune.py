"""`wherry image prune`."""

from __future__ import annotations

from wherry.cli.commands.images import CHECKS, filters
from wherry.cli.parser import Command

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wherry.cli.main import Call

__all__ = ["CHECKS", "COMMAND", "main"]

# fmt: off
COMMAND = Command(
    paths=("image prune",),
    usage="[OPTIONS]",
    summary="Remove unused images",
    description="Filters are **until**, **label**, **label!** and **dangling**.",
    most=0,
    options=(
        ("all", "a", "bool", "", "Remove all unused images, not just dangling ones"),
        ("filter", "", "filter", "", 'Provide filter values (e.g. "until=<timestamp>")'),
        ("force", "f", "bool", "", "Do not prompt for confirmation"),
    ),
)
# fmt: on


def main(call: Call) -> int:
    """Removes images without a tag, or all that no container was made from."""
    from wherry.cli import pruned
    from wherry.cli.confirm import agreed
    from wherry.engine.prune import prune_images

    wanted, everything = filters(call), call.get("all", False)
    which = "images without at least one container associated to them" if everything else "dangling images"
    if not agreed(call, f"WARNING! This will remove all {which}."):
        return 0
    removed, freed = call.verb(prune_images)(wanted, everything=everything)
    pruned.show([("Images", pruned.images(removed))], freed)
    return 0
