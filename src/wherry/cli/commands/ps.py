"""`wherry ps`."""

from __future__ import annotations

from wherry.cli.commands.images import CHECKS, FORMAT, filters
from wherry.cli.parser import Command

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wherry.cli.main import Call

__all__ = ["CHECKS", "COMMAND", "main"]

# fmt: off
COMMAND = Command(
    paths=("container ls", "container list", "container ps", "ps"),
    usage="[OPTIONS]",
    summary="List containers",
    description="Filters are **ancestor**, **before**, **exited**, **expose**, **health**, **id**, **is-task**, "
    "**label**, **name**, **network**, **publish**, **since**, **status** and **volume**.",
    most=0,
    options=(
        ("all", "a", "bool", "", "Show all containers (default shows just running)"),
        ("filter", "f", "filter", "", "Filter output based on conditions provided"),
        ("format", "", "string", "", FORMAT),
        ("last", "n", "int", "-1", "Show n last created containers (includes all states)"),
        ("latest", "l", "bool", "", "Show the latest created container (includes all states)"),
        ("no-trunc", "", "bool", "", "Don't truncate output"),
        ("quiet", "q", "bool", "", "Only display container IDs"),
        ("size", "s", "bool", "", "Display total file sizes"),
    ),
)
# fmt: on


def main(call: Call) -> int:
    """Lists containers."""
    import sys

    from wherry.cli.container_list import LISTING, fields, table
    from wherry.cli.format import show
    from wherry.engine.container_list import documents

    quiet, form = call.get("quiet", False), call.get("format", "")
    if quiet and form:
        print("WARNING: Ignoring custom format, because both --format and --quiet are set.", file=sys.stderr)
    last = 1 if call.get("latest") else call.get("last", -1)
    everything, size = call.get("all", False), call.get("size", False) or ".Size" in form
    found = call.verb(documents)(filters(call), everything=everything, last=last, size=size)
    rows = [fields(one, whole=call.get("no-trunc", False)) for one in found]
    show(LISTING, rows, "{{.ID}}" if quiet else form, table(size=call.get("size", False)))
    return 0
