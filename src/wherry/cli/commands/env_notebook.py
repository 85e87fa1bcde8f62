"""`wherry env notebook`."""

from __future__ import annotations

import os
import sys

from wherry.cli import env_container
from wherry.cli.container_options import CHECKS, UNSUPPORTED
from wherry.cli.parser import Command

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wherry.cli.main import Call

__all__ = ["CHECKS", "COMMAND", "main"]

# fmt: off
COMMAND = Command(
    paths=("env notebook",),
    usage="[OPTIONS] [FOLDER|IMAGE]",
    summary="Start Jupyter in an environment, with the project's folder",
    description="The environment has to have **jupyterlab** or **notebook** among its packages. Jupyter is published "
    "on a port of this machine's loopback address and wants a token, which is new each time; its address is printed "
    "when it answers, and opened in a browser where there is one. Interrupt it to end it.",
    most=1,
    options=(
        *env_container.RUN_OPTIONS,
        ("no-browser", "", "bool", "", "Only print the address"),
        ("port", "", "uint16", "8888", "Port of this machine (default the next one that is free)"),
    ),
    unsupported=UNSUPPORTED,
)
# fmt: on
_INSIDE = 8888
_PATIENCE = 120.0  # seconds until Jupyter has to answer


def main(call: Call) -> int:
    """Runs Jupyter until it ends; its exit status is the command's."""
    import secrets

    from wherry.env.use import jupyter

    wanted, _command = env_container.split(call.arguments)
    found = env_container.target(call, wanted)
    module, page = jupyter(call.engine(), found, env_container.when_pulling(call))
    port, token = _port(call.get("port", 0)), secrets.token_hex(24)
    address, inside = "0.0.0.0", _INSIDE
    if "host" in [*call.get("network", ()), *call.get("net", ())]:
        address, inside = "127.0.0.1", port
    else:
        call.values.setdefault("publish", []).append(CHECKS["publish"](f"127.0.0.1:{port}:{_INSIDE}"))
    call.values.setdefault("env", []).append(f"JUPYTER_TOKEN={token}")
    call.values.setdefault("tty", False)
    command = ["python", "-m", module, f"--ip={address}", f"--port={inside}", "--no-browser", "--allow-root", "-y"]
    options = env_container.options(call, found, command)
    call.engine().will_fork()
    sys.stdout.flush()
    watcher = os.fork()
    if not watcher:
        _watch(port, f"http://127.0.0.1:{port}/{page}?token={token}", browser=not call.get("no-browser", False))
    try:
        return env_container.run(call, options)
    finally:
        _end(watcher)


def _end(pid: int) -> None:
    import signal

    try:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    except (ProcessLookupError, ChildProcessError):
        pass


def _port(wanted: int) -> int:
    """A port of the loopback address that nobody has: the one that is wanted, else 8888, else any."""
    import socket

    for port in (wanted,) if wanted else (_INSIDE, 0):
        with socket.socket() as taken:
            taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                taken.bind(("127.0.0.1", port))
            except OSError as error:
                if wanted:
                    from wherry.errors import Conflict

                    raise Conflict(
                        f"port {wanted} of 127.0.0.1 cannot be had: {(error.strerror or str(error)).lower()}"
                    ) from None
                continue
            return int(taken.getsockname()[1])
    raise AssertionError("any port is free")


def _watch(port: int, url: str, *, browser: bool) -> None:
    """Wait until Jupyter answers, and say where; in a process of its own, which ends here."""
    try:
        parent = os.getppid()
        if _answers(port, parent):
            print(f"\nJupyter is at {url}\n", flush=True)
            if browser and any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER")):
                import webbrowser

                webbrowser.open(url)
    except BaseException:
        os._exit(1)
    os._exit(0)


def _answers(port: int, parent: int) -> bool:
    """Whether a server answers before the time is over, or the command."""
    import socket
    import time

    end = time.monotonic() + _PATIENCE
    while time.monotonic() < end and os.getppid() == parent:
        try:
            with socket.create_connection(("127.0.0.1", port), 2) as link:
                link.sendall(b"GET /api HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n")
                if link.recv(9).startswith(b"HTTP/1."):
                    return True
        except OSError:
            pass
        time.sleep(0.2)
    return False
