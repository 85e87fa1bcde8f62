"""`wherry volume ls`."""

from __future__ import annotations

from wherry.cli.commands.images import CHECKS, FORMAT, filters
from wherry.cli.parser import Command

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wherry.cli.main import Call

__all__ = ["CHECKS", "COMMAND", "main"]

# fmt: off
COMMAND = Command(
    paths=("volume ls", "volume list"),
    usage="[OPTIONS]",
    summary="List volumes",
    description="Filters are **dangling**, **driver**, **label** and **name**.",
    most=0,
    options=(
        ("filter", "f", "filter", "", 'Provide filter values (e.g. "dangling=true")'),
        ("format", "", "string", "", FORMAT),
        ("quiet", "q", "bool", "", "Only display volume names"),
    ),
    unsupported=(("cluster", "", "wherry has no swarm, and so no cluster volumes"),),
)
# fmt: on


def main(call: Call) -> int:
    """Lists volumes."""
    from wherry.cli.format import show
    from wherry.cli.volume_list import LISTING, fields
    from wherry.engine.volume_objects import documents

    rows = [fields(one) for one in call.verb(documents)(filters(call))]
    show(LISTING, rows, "{{.Name}}" if call.get("quiet") else call.get("format", ""))
    return 0
