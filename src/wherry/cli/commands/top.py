"""`wherry top`."""

from __future__ import annotations

from wherry.cli.parser import Command
from wherry.cli.quote import harmless

_LEAST, _GAP = 20, 3  # columns, as the docker client has them

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wherry.cli.main import Call

# fmt: off
COMMAND = Command(
    paths=("container top", "top"),
    usage="CONTAINER [ps OPTIONS]",
    summary="Display the running processes of a container",
    interspersed=False,
    least=1,
)
# fmt: on


def main(call: Call) -> int:
    """Prints the container's part of what ps(1) prints."""
    from wherry.engine.top import top

    name, *options = call.arguments
    titles, rows = call.verb(top)(name, options)
    widths = [max(_LEAST, *(len(line[column]) + _GAP for line in (titles, *rows))) for column in range(len(titles) - 1)]
    for line in (titles, *rows):
        cells = [cell.ljust(width) for cell, width in zip(line, widths, strict=False)]
        print(harmless("".join(cells) + line[-1]))
    return 0
