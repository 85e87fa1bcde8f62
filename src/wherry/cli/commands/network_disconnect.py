"""`wherry network disconnect`."""

from __future__ import annotations

from wherry.cli.parser import Command

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wherry.cli.main import Call

# fmt: off
COMMAND = Command(
    paths=("network disconnect",),
    usage="[OPTIONS] NETWORK CONTAINER",
    summary="Disconnect a container from a network",
    least=2,
    most=2,
    options=(("force", "f", "bool", "", "Force the container to disconnect from a network"),),
)
# fmt: on


def main(call: Call) -> int:
    """Takes a container out of a network."""
    from wherry.engine.connections import disconnect

    network, container = call.arguments
    call.verb(disconnect)(network, container, force=call.get("force", False))
    return 0
