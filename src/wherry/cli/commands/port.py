"""`wherry port`."""

from __future__ import annotations

from wherry.cli.parser import Command

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wherry.cli.main import Call

# fmt: off
COMMAND = Command(
    paths=("container port", "port"),
    usage="CONTAINER [PRIVATE_PORT[/PROTO]]",
    summary="List port mappings or a specific mapping for the container",
    least=1,
    most=2,
)
# fmt: on


def main(call: Call) -> int:
    """Prints where a container's ports are published."""
    from wherry.engine.port import published

    port = call.arguments[1] if len(call.arguments) > 1 else ""
    for line in call.verb(published)(call.arguments[0], port):
        print(line)
    return 0
