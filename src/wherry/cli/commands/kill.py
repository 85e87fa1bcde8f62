"""`wherry kill`."""

from __future__ import annotations

from wherry.cli.each import each
from wherry.cli.parser import Command

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wherry.cli.main import Call

# fmt: off
COMMAND = Command(
    paths=("container kill", "kill"),
    usage="[OPTIONS] CONTAINER [CONTAINER...]",
    summary="Kill one or more running containers",
    least=1,
    options=(
        ("signal", "s", "string", "", "Signal to send to the container"),
    ),
)
# fmt: on


def main(call: Call) -> int:
    """Sends a signal to containers."""
    from wherry.container.parse import signal
    from wherry.engine.stop import kill

    send, number = call.verb(kill), signal(call.get("signal") or "KILL")
    return each(call.arguments, lambda name: send(name, number))
