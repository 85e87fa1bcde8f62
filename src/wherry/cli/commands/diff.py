"""`wherry diff`."""

from __future__ import annotations

import os

from wherry.cli.parser import Command
from wherry.cli.quote import harmless

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wherry.cli.main import Call

# fmt: off
COMMAND = Command(
    paths=("container diff", "diff"),
    usage="CONTAINER",
    summary="Inspect changes to files or directories on a container's filesystem",
    description="Each line is `A` (added), `C` (changed) or `D` (deleted) and a path.  What is in volumes and other "
    "mounts does not count, the directories that they are mounted on do.",
    least=1,
    most=1,
)
# fmt: on


def main(call: Call) -> int:
    """Lists what the container changed, in order of paths."""
    from wherry.engine.diff import diff

    for change in call.verb(diff)(call.arguments[0]):
        print(change.kind, harmless(os.fsdecode(change.path)))
    return 0
