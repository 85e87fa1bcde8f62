"""`wherry system df`."""

from __future__ import annotations

from wherry.cli.commands.images import FORMAT
from wherry.cli.parser import Command

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wherry.cli.main import Call

# fmt: off
COMMAND = Command(
    paths=("system df",),
    usage="[OPTIONS]",
    summary="Show disk usage",
    description="The size of images is that of their layers unpacked, each counted once, without compressed blobs, "
    "which have a line of their own with --verbose. "
    "A volume that is a bind or a mount of something else counts as nothing.",
    most=0,
    options=(
        ("format", "", "string", "", FORMAT),
        ("verbose", "v", "bool", "", "Show detailed information on space usage"),
    ),
)
# fmt: on


def main(call: Call) -> int:
    """Prints what takes how much room."""
    from wherry.cli.disk_usage import show
    from wherry.engine.disk_usage import disk_usage

    show(call.verb(disk_usage)(), call.get("format", ""), verbose=call.get("verbose", False))
    return 0
