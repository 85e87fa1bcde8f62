"""`wherry serve` on a socket of the test's own, and the clients that talk to it."""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from support.command import Result, Wherry


class Served:
    """A server on the state of ``wherry``.  ``docker(…)`` runs the docker command line against it; ``client()`` is the
    docker SDK for Python."""

    def __init__(self, wherry: Wherry, *options: str) -> None:
        self.wherry = wherry
        self.options = options
        self.socket = wherry.run_root / "wherry.sock"
        self.home = wherry.directory / "docker"
        self.home.mkdir(exist_ok=True)
        self.process = self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        process = self.wherry.popen("serve", *self.options, stderr=None)
        assert process.stdout is not None
        if not select.select([process.stdout], [], [], 30)[0] or not process.stdout.readline():
            process.kill()
            raise AssertionError(f"wherry serve did not come up: {process.wait()}")
        return process

    def kill(self) -> None:
        """SIGKILL to the server and what it forked to work."""
        self.process.kill()
        self._reap()

    def restart(self) -> None:
        """The next server, after `kill`."""
        self.process = self._start()

    def close(self) -> None:
        """End it as a person would."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        self._reap()

    def _reap(self) -> None:
        assert self.process.stdout is not None
        self.process.wait(30)
        self.process.stdout.close()

    def argv(self, *arguments: str | Path) -> list[str]:
        return ["docker", *map(str, arguments)]

    @property
    def env(self) -> dict[str, str]:
        return {
            "PATH": f"{os.environ.get('PATH', '')}:/usr/local/bin:/usr/bin:/bin",
            "HOME": str(self.home),
            "DOCKER_HOST": f"unix://{self.socket}",
            "LANG": "C.UTF-8",
        }

    def docker(self, *arguments: str | Path, input: str = "", timeout: float = 60) -> Result:
        argv = self.argv(*arguments)
        done = subprocess.run(
            argv, env=self.env, input=input.encode(), capture_output=True, timeout=timeout, check=False
        )
        out, err = done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")
        return Result(tuple(argv), done.returncode, out, err, done.stdout)

    def ok(self, *arguments: str | Path, **more: Any) -> str:
        result = self.docker(*arguments, **more)
        assert result.code == 0, str(result)
        return result.out

    def client(self) -> Any:
        import docker

        return docker.DockerClient(base_url=f"unix://{self.socket}", timeout=60)

    def ask(
        self, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None, timeout: float = 60
    ) -> tuple[int, bytes]:
        """One request, as bytes on the socket; the status and the body of the answer."""
        status, _media_type, data = self.answer(method, path, body, headers, timeout)
        return status, data

    def answer(
        self, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None, timeout: float = 60
    ) -> tuple[int, str, bytes]:
        """The same with the media type in between."""
        import http.client

        connection = http.client.HTTPConnection("localhost")
        connection.sock = self.connect()
        connection.sock.settimeout(timeout)
        try:
            connection.request(method, path, body, headers or {})
            answer = connection.getresponse()
            return answer.status, (answer.getheader("Content-Type") or "").partition(";")[0], answer.read()
        finally:
            connection.close()

    def connect(self) -> socket.socket:
        one = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        one.settimeout(60)
        one.connect(str(self.socket))
        return one

    def descriptors(self) -> int:
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def resident(self) -> int:
        """Bytes of the server and of what it forked, shared pages in proportion (proc(5), smaps_rollup)."""
        total = 0
        for pid in (self.process.pid, *self._children()):
            for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    total += int(line.split()[1]) * 1024
        return total

    def _children(self) -> list[int]:
        text = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
        return [int(word) for word in text.split()]


def raw(served: Served, request: str, *, upgraded: bool = True) -> socket.socket:
    """A connection that has stopped being HTTP: after ``request``, a path to POST to."""
    one = served.connect()
    upgrade = "Connection: Upgrade\r\nUpgrade: tcp\r\n" if upgraded else ""
    one.sendall(f"POST {request} HTTP/1.1\r\nHost: docker\r\n{upgrade}Content-Length: 0\r\n\r\n".encode())
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        piece = one.recv(1)
        assert piece, head
        head += piece
    assert head.startswith(b"HTTP/1.1 101 " if upgraded else b"HTTP/1.1 200 "), head
    return one


def everything(one: socket.socket) -> bytes:
    """What comes until the other side has said all."""
    found = bytearray()
    while piece := one.recv(65536):
        found += piece
    return bytes(found)


def frames(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Kind and payload of Docker's multiplexed frames."""
    at = 0
    while at < len(data):
        end = at + 8 + int.from_bytes(data[at + 4 : at + 8], "big")
        yield data[at], data[at + 8 : end]
        at = end


def eventually(condition: Any, timeout: float = 20) -> None:
    """Until ``condition()`` is true."""
    end = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < end, f"{condition} stayed false for {timeout} s"
        time.sleep(0.05)


def has_ended(pid: int) -> bool:
    """Whether a process has let go of everything; until then it may hold locks (kernel/exit.c, do_exit)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True
