"""`wherry system dial-stdio`: what ssh starts at the far end, for Docker's client and for ours."""

from __future__ import annotations

from wherry.cli.parser import Command

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket

    from wherry.cli.main import Call

# fmt: off
COMMAND = Command(
    paths=("system dial-stdio",),
    usage="",
    summary="Join standard input and output to the API of the engine",
    description="For **ssh://** hosts: the client starts it on the other machine. With this machine's own engine it "
    "connects to the socket of **wherry serve**, and starts a server that ends when it is idle where none answers.",
    most=0,
)
# fmt: on

_IDLE = "5m"


def main(call: Call) -> int:
    """Relays until one side has ended."""
    from wherry.client.stdio import join

    with _connect(call) as connection:
        join(connection)
    return 0


def _connect(call: Call) -> socket.socket:
    remote = call.remote()
    if remote is not None:
        return remote.connect()
    from wherry.client.stdio import connect, connect_or_start

    path = f"{call.here().layout.run}/wherry.sock"
    return connect(path) or connect_or_start(path, _server(call))


def _server(call: Call) -> list[str]:
    """The command that serves this engine, started the way that this one was."""
    import sys

    words = [f"--{option}={value}" for option, value in _directories(call)]
    program = [sys.executable, *sys.orig_argv[1 : len(sys.orig_argv) - len(sys.argv) + 1]]
    return [*program, *words, "serve", "--idle-timeout", _IDLE]


def _directories(call: Call) -> list[tuple[str, str]]:
    names = (("root", "root"), ("run-root", "run"), ("config", "config"))
    found = call.directories()
    return [(option, found[name]) for option, name in names if found[name]]
