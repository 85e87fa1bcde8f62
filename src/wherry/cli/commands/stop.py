"""`wherry stop`."""

from __future__ import annotations

from wherry.cli.main import fail
from wherry.cli.parser import Command

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wherry.cli.main import Call

# fmt: off
COMMAND = Command(
    paths=("container stop", "stop"),
    usage="[OPTIONS] CONTAINER [CONTAINER...]",
    summary="Stop one or more running containers",
    description="Each is sent its stop signal and, when it has not ended after its timeout, SIGKILL; "
    "a negative timeout waits for ever.",
    least=1,
    options=(
        ("signal", "s", "string", "", "Signal to send to the container"),
        ("time", "", "int", "", ""),
        ("timeout", "t", "int", "", "Seconds to wait before killing the container"),
    ),
)
# fmt: on


def main(call: Call) -> int:
    """Stops containers, all at once."""
    from wherry.container.parse import signal
    from wherry.engine.stop import stop

    number = signal(call.values["signal"]) if call.get("signal") else 0
    timeout = call.get("timeout", call.get("time"))
    status = 0
    for name, error in call.verb(stop)(call.arguments, timeout=timeout, signal=number):
        if error is None:
            print(name, flush=True)
        else:
            status = fail(error)
    return status
