"""`wherry container prune`."""

from __future__ import annotations

import sys

from wherry.cli.parser import Command

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wherry.cli.main import Call

# fmt: off
COMMAND = Command(
    paths=("container prune",),
    usage="[OPTIONS]",
    summary="Remove all stopped containers",
    most=0,
    options=(
        ("force", "f", "bool", "", "Do not prompt for confirmation"),
    ),
    unsupported=(("filter", "", "choose containers with 'wherry ps -aq --filter' and remove them with 'wherry rm'"),),
)
# fmt: on


def main(call: Call) -> int:
    """Removes every container that is not running."""
    from wherry.cli import units
    from wherry.engine.containers import list_containers, remove
    from wherry.errors import Conflict, NotFound

    if not call.get("force") and not _agreed("WARNING! This will remove all stopped containers."):
        return 0
    engine = call.engine()
    removed: list[str] = []
    freed = 0
    for row in list_containers(engine):
        if row.status not in ("created", "exited", "dead"):
            continue
        size, _files = engine.snapshotter.usage(row.id)
        try:
            remove(engine, row.id)
        except (Conflict, NotFound):
            continue  # started or removed meanwhile
        removed.append(row.id)
        freed += size
    if removed:
        print("Deleted Containers:", *removed, sep="\n", end="\n\n")
    print(f"Total reclaimed space: {units.size(freed, 4)}")
    return 0


def _agreed(warning: str) -> bool:
    print(f"{warning}\nAre you sure you want to continue? [y/N] ", end="", flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")
