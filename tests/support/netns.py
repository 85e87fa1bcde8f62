"""Network namespaces that play hosts and containers: the machine's own network is left alone."""

from __future__ import annotations

import os
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Self, TypeVar

from wherry.linux import namespaces

Result = TypeVar("Result")


class Namespace:
    """A network namespace, with ``lo`` up, as long as the object is open; nobody lives in it."""

    def __init__(self) -> None:
        self.fd = self._elsewhere(self._make)
        self.run("ip", "link", "set", "lo", "up")

    @staticmethod
    def _make() -> int:
        namespaces.unshare(namespaces.CLONE_NEWNET)
        return os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)

    @property
    def path(self) -> str:
        """A path by which this process's children find it."""
        return f"/proc/{os.getpid()}/fd/{self.fd}"

    @staticmethod
    def _elsewhere(function: Callable[[], Result]) -> Result:
        """Call it in a thread of its own: a thread may be in another network namespace than the rest."""
        found: list[Any] = []

        def body() -> None:
            try:
                found.append((function(), None))
            except BaseException as error:
                found.append((None, error))

        thread = threading.Thread(target=body)
        thread.start()
        thread.join()
        result, error = found[0]
        if error is not None:
            raise error
        return result  # type: ignore[no-any-return]

    def call(self, function: Callable[[], Result]) -> Result:
        """Call something inside: sockets that it makes belong there for good."""

        def inside() -> Result:
            namespaces.enter(self.fd, namespaces.CLONE_NEWNET)
            return function()

        return self._elsewhere(inside)

    def run(self, *command: str, given: str | None = None) -> str:
        """What a program prints that runs inside."""
        full = ["nsenter", f"--net={self.path}", "--", *command]
        done = subprocess.run(full, input=given, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, f"{' '.join(command)}: {done.stderr}"
        return done.stdout

    def ip(self, *commands: str) -> None:
        """Several of ip(8)'s commands."""
        self.run("ip", "-batch", "-", given="\n".join(commands))

    def write(self, path: str, value: str) -> None:
        """Set a kernel parameter of the namespace."""

        def write() -> None:
            with open(f"/proc/sys/net/{path}", "w") as file:
                file.write(value)

        self.call(write)

    def cable(self, name: str, other: Namespace, there: str) -> None:
        """A pair of interfaces, one end here and one there, both up."""
        self.run("ip", "link", "add", name, "type", "veth", "peer", "name", there, "netns", other.path)
        self.run("ip", "link", "set", name, "up")
        other.run("ip", "link", "set", there, "up")

    def listen(self, address: str, port: int, kind: socket.SocketKind = socket.SOCK_STREAM) -> socket.socket:
        """A socket that listens inside."""

        def make() -> socket.socket:
            one = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, kind)
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            one.settimeout(10)
            one.bind((address, port))
            if kind == socket.SOCK_STREAM:
                one.listen()
            return one

        return self.call(make)

    def connect(self, address: str, port: int, *, seconds: float = 10, source: str = "") -> socket.socket:
        """A TCP connection from inside.  Raises OSError, TimeoutError when nobody answers."""

        def make() -> socket.socket:
            one = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM)
            one.settimeout(seconds)
            try:
                if source:
                    one.bind((source, 0))
                one.connect((address, port))
            except BaseException:
                one.close()
                raise
            one.settimeout(10)
            return one

        return self.call(make)

    def close(self) -> None:
        os.close(self.fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


@contextmanager
def several(count: int) -> Iterator[list[Namespace]]:
    """So many namespaces."""
    made: list[Namespace] = []
    try:
        for _ in range(count):
            made.append(Namespace())
        yield made
    finally:
        for one in made:
            one.close()
