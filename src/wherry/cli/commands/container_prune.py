"""`wherry container prune`."""

from __future__ import annotations

import sys

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
    most=0,
    options=(
        ("filter", "", "filter", "", 'Provide filter values (e.g. "until=<timestamp>")'),
        ("force", "f", "bool", "", "Do not prompt for confirmation"),
    ),
)
# fmt: on


def main(call: Call) -> int:
    """Removes every container that is not running."""
    from wherry.cli import units
    from wherry.engine.prune import prune

    wanted = filters(call)
    warning = "WARNING! This will remove all stopped containers."
    if wanted:
        shown = "\n".join([f"  - {name}={value}" for name in sorted(wanted) for value in wanted[name]])
        warning += f"\n\n  Items to be pruned will be filtered with:\n{shown}\n"
    if not call.get("force") and not _agreed(warning):
        return 0
    removed, freed = prune(call.engine(), wanted)
    if removed:
        print("Deleted Containers:", *removed, sep="\n", end="\n\n")
    print(f"Total reclaimed space: {units.size(freed, 4)}")
    return 0


def _agreed(warning: str) -> bool:
    print(f"{warning}\nAre you sure you want to continue? [y/N] ", end="", flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")
