"""`wherry context show`."""

from __future__ import annotations

from wherry.cli.endpoint import current
from wherry.cli.parser import Command

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wherry.cli.main import Call

# fmt: off
COMMAND = Command(
    paths=("context show",),
    usage="",
    summary="Print the name of the current context",
    most=0,
)
# fmt: on


def main(call: Call) -> int:
    """Prints a name; `default` is this machine's own engine, or the one that DOCKER_HOST names."""
    print(current(call.options, call.environ())[0])
    return 0
