"""`wherry serve`."""

from __future__ import annotations

from wherry.cli.parser import Command

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from socket import socket

    from wherry.cli.main import Call

# fmt: off
COMMAND = Command(
    paths=("serve",),
    usage="[OPTIONS]",
    summary="Answer the Docker Engine API on a socket",
    most=0,
    options=(
        ("host", "H", "list", "", "Socket to listen on: unix://PATH, tcp://ADDRESS:PORT with --tls options, or fd://"),
        ("group", "G", "string", "", "Group that may use the unix socket, which makes its members as powerful as root"),
        ("idle-timeout", "", "duration", "0s", "End when nobody has asked anything for this long (0s: never)"),
        ("tlscacert", "", "string", "", "Certificate authority whose clients may connect over TCP"),
        ("tlscert", "", "string", "", "Certificate of this server"),
        ("tlskey", "", "string", "", "Key of that certificate"),
    ),
)
# fmt: on


def _duration(text: str) -> float:
    from wherry.container.parse import duration

    return duration(text) / 1e9


CHECKS = {"idle-timeout": _duration}


def main(call: Call) -> int:
    """Answers until it is told to end, or idle for long enough."""
    from wherry.api import listen, spawner, tasks
    from wherry.engine.paths import find

    paths = find(call.environ(), **call.directories())
    identity = listen.Identity(call.get("tlscacert", ""), call.get("tlscert", ""), call.get("tlskey", ""))
    context = listen.tls(identity) if identity.certificate else None
    names = listen.names(identity) if context else frozenset()
    call.engine().layout  # noqa: B018  the run root, where the socket goes
    made = listen.listen(
        call.get("host", ()),
        run=paths.run,
        group=call.get("group", ""),
        identity=identity,
        inherited=_inherited(call.environ()),
    )
    workers = spawner.Spawner(tasks.tasks(paths))  # before the server's libraries are loaded, and before any thread
    from wherry.api.server import Serving, serve

    try:
        serving = Serving(tuple(made), context, names, call.get("idle-timeout", 0.0))
        serve(paths, workers, serving, ready=lambda: _say(made))
    finally:
        listen.close(made)
        workers.close()
    return 0


def _inherited(environ: Mapping[str, str]) -> int:
    """How many sockets systemd has handed to this process (sd_listen_fds(3))."""
    import os

    number = environ.get("LISTEN_FDS", "")
    return int(number) if environ.get("LISTEN_PID") == str(os.getpid()) and number.isdigit() else 0


def _say(made: Sequence[socket]) -> None:
    for one in made:
        name = one.getsockname()
        print(f"API listen on {name if isinstance(name, str) else ':'.join(map(str, name[:2]))}", flush=True)
