"""`wherry system prune`."""

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
    paths=("system prune",),
    usage="[OPTIONS]",
    summary="Remove unused data",
    description="Filters are **until**, **label** and **label!**.",
    most=0,
    options=(
        ("all", "a", "bool", "", "Remove all unused images not just dangling ones"),
        ("filter", "", "filter", "", 'Provide filter values (e.g. "label=<key>=<value>")'),
        ("force", "f", "bool", "", "Do not prompt for confirmation"),
        ("volumes", "", "bool", "", "Prune anonymous volumes"),
    ),
)
# fmt: on


def main(call: Call) -> int:
    """Removes what is in nobody's use."""
    from wherry.cli import pruned
    from wherry.cli.confirm import agreed
    from wherry.engine.prune import prune_system

    wanted, everything, volumes = filters(call), call.get("all", False), call.get("volumes", False)
    if volumes and "until" in wanted:
        raise InvalidArgument('ERROR: The "until" filter is not supported with "--volumes"')
    if not agreed(call, _warning(wanted, everything, volumes)):
        return 0
    found = call.verb(prune_system)(wanted, everything=everything, volumes=volumes)
    parts = [("Containers", found.containers), ("Networks", found.networks), ("Volumes", found.volumes)]
    pruned.show([*parts, ("Images", pruned.images(found.images))], found.freed)
    return 0


def _warning(wanted: dict[str, list[str]], everything: bool, volumes: bool) -> str:
    lines = ["WARNING! This will remove:", "  - all stopped containers"]
    lines.append("  - all networks not used by at least one container")
    if volumes:
        lines.append("  - all anonymous volumes not used by at least one container")
    which = "images without at least one container associated to them" if everything else "dangling images"
    lines += [f"  - all {which}", "  - all build cache" if everything else "  - unused build cache", ""]
    if wanted:
        lines.append("  Items to be pruned will be filtered with:")
        lines += sorted(f"  - {name}={value}" for name, values in wanted.items() for value in values)
        lines.append("")
    return "\n".join(lines)
