"""`wherry restart`."""

from __future__ import annotations

from wherry.cli.each import each
from wherry.cli.parser import Command

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wherry.cli.main import Call

# fmt: off
COMMAND = Command(
    paths=("container restart", "restart"),
    usage="[OPTIONS] CONTAINER [CONTAINER...]",
    summary="Restart one or more containers",
    least=1,
    options=(
        ("signal", "s", "string", "", "Signal to send to the container"),
        ("time", "", "int", "", ""),
        ("timeout", "t", "int", "", "Seconds to wait before killing the container"),
    ),
)
# fmt: on


def main(call: Call) -> int:
    """Stops containers that run, and starts them."""
    from wherry.container.parse import signal
    from wherry.engine.stop import restart

    again = call.verb(restart)
    number = signal(call.values["signal"]) if call.get("signal") else 0
    timeout = call.get("timeout", call.get("time"))
    return each(call.arguments, lambda name: again(name, timeout=timeout, signal=number))
