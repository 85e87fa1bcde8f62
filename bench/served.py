"""Docker's own command line, driving Docker's daemon and `wherry serve`; and what asks the API without one."""

from __future__ import annotations

import contextlib
import http.client
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import lives
import measure
import subjects

ASKED = 200  # requests in a row, on one connection
_NAME = "asked"


class Served(subjects.Wherry):
    """`wherry serve` with Docker's client in front."""

    name = "wherry serve"
    _server: subprocess.Popen[bytes] | None = None

    def open(self) -> None:
        if subjects.which("docker") is None:
            raise measure.Failed("Docker's client is not installed")
        super().open()
        self.socket = self.directory / "wherry.sock"
        command = [*super().base, "serve", "-H", f"unix://{self.socket}"]
        with self.log.open("wb") as log:
            self._server = subprocess.Popen(command, env=subjects.ENV, stdout=subprocess.PIPE, stderr=log)
        assert self._server.stdout is not None
        if not self._server.stdout.readline():  # it says where it answers
            raise measure.Failed("wherry serve does not start")
        self.memory_pid = self._server.pid

    @property
    def base(self) -> list[str]:
        return ["docker", "-H", f"unix://{self.socket}"]

    def close(self) -> None:
        if self._server is not None:
            self._server.terminate()
            self._server.wait(30)
        super().close()


def inspect(engine: subjects.Engine) -> float:
    """Milliseconds of one ``GET /containers/ID/json``, of `ASKED` in a row."""
    with contextlib.closing(http.client.HTTPConnection("localhost")) as connection:
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.connect(str(engine.socket))  # type: ignore[attr-defined]
        start = time.perf_counter()
        for _ in range(ASKED):
            connection.request("GET", f"/v1.41/containers/{_NAME}/json")
            answer = connection.getresponse()
            answer.read()
            if answer.status != 200:
                raise measure.Failed(f"inspect: {answer.status}")
        return (time.perf_counter() - start) * 1000 / ASKED


def idle_memory(engine: subjects.Engine) -> float:
    """MB of the server and what it has forked to work, without what runs containers."""
    pids = [engine.memory_pid]
    if isinstance(engine, Served):
        pid = engine.memory_pid
        pids += map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())
    return sum(measure.proportional(pid) for pid in pids) / 2**20


def turns(
    engines: dict[str, subjects.Engine], which: Callable[[subjects.Engine], float]
) -> dict[str, Callable[[], float]]:
    """What `Series.collect` takes."""
    return {name: (lambda engine=engine: which(engine)) for name, engine in engines.items()}


PARTS: dict[str, tuple[str, Callable[[subjects.Engine], float]]] = {
    "api_idle": ("docker's client: memory of the idle server", idle_memory),
    "api_run": ("docker's client: run --rm", lambda one: one.time(one.run(subjects.IMAGE, "true"))),
    "api_exec": ("docker's client: exec", lambda one: one.time([*one.base, "exec", _NAME, "true"])),
    "api_inspect": (f"API: inspect, each of {ASKED} in a row", inspect),
    "api_list": (f"docker's client: ps -a, {lives.LISTED} containers", lambda one: one.time([*one.base, "ps", "-a"])),
}


@contextlib.contextmanager
def measured(engine: subjects.Engine, part: str) -> Iterator[None]:
    """What a part needs to be there."""
    with contextlib.ExitStack() as stack:
        if part == "api_list":
            stack.enter_context(lives.Lives(engine).listed())
        elif part in ("api_exec", "api_inspect"):
            engine.time(engine.detached(_NAME, subjects.IMAGE, "sleep", "9999"))
            stack.callback(engine.time, engine.remove(_NAME))
        yield
