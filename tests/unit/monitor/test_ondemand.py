"""Processes that a monitor forks when something comes in, in an interpreter of their own with one thread."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[3] / "src"
MONITOR = """
    import os, socket, sys
    sys.path.insert(0, sys.argv[1])
    from wherry.monitor.ondemand import OnDemand
    from wherry.monitor.supervise import Supervisor

    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    udp.bind(("127.0.0.1", 0))
    secret = os.pipe()
    container = os.posix_spawnp("sleep", ["sleep", "600"], dict(os.environ))

    def serve():
        message, client = udp.recvfrom(100)
        if message == b"fail":
            raise SystemExit(1)
        known = b" ".join(os.readlink(f"/proc/self/fd/{fd}").encode() for fd in os.listdir("/proc/self/fd") if fd > "2"
                          and os.path.exists(f"/proc/self/fd/{fd}"))
        udp.sendto(b"%d %s" % (os.getpid(), known), client)
        if message == b"stay":
            udp.recvfrom(100)

    supervisor = Supervisor(os.pidfd_open(container), {}, None, None, lambda message: None)
    demand = OnDemand("names", [udp.fileno()], serve, (), lambda: None)
    demand.attach(supervisor)
    print(udp.getsockname()[1], container, flush=True)
    supervisor.run()
    demand.close()
    demand.close()
    print("closed", os.path.exists(f"/proc/self/fd/{udp.fileno()}"), flush=True)
    udp.detach()
"""


class Monitor:
    def __init__(self) -> None:
        command = [sys.executable, "-I", "-S", "-c", textwrap.dedent(MONITOR), str(SOURCE)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        self.port, self.container = map(int, self.process.stdout.readline().split())
        self.client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.client.settimeout(20)
        self.client.connect(("127.0.0.1", self.port))

    def ask(self, message: bytes) -> tuple[int, bytes]:
        """Who answered, and which descriptors it has."""
        self.client.send(message)
        pid, _, rest = self.client.recv(4096).partition(b" ")
        return int(pid), rest

    def end(self) -> str:
        """Let the container end; the rest of what the monitor says."""
        os.kill(self.container, 9)
        return self.process.communicate(timeout=20)[0]


@pytest.fixture
def monitor() -> Iterator[Monitor]:
    one = Monitor()
    yield one
    one.client.close()
    if one.process.poll() is None:
        one.end()


def gone(pid: int) -> bool:
    deadline = time.monotonic() + 20
    while os.path.exists(f"/proc/{pid}") and time.monotonic() < deadline:
        time.sleep(0.01)
    return not os.path.exists(f"/proc/{pid}")


def test_a_process_for_each_time_that_something_comes(monitor: Monitor) -> None:
    first, descriptors = monitor.ask(b"?")
    second, _ = monitor.ask(b"?")
    assert first != second and monitor.process.pid not in (first, second)
    assert b"pipe" not in descriptors and b"pidfd" not in descriptors
    assert monitor.end() == "closed False\n"


def test_one_that_fails_is_followed_by_another(monitor: Monitor) -> None:
    monitor.client.send(b"fail")
    assert monitor.ask(b"?")[0] > 0


def test_one_that_is_killed_is_followed_by_another(monitor: Monitor) -> None:
    first, _ = monitor.ask(b"stay")
    os.kill(first, 9)
    assert gone(first)
    assert monitor.ask(b"?")[0] != first


def test_it_ends_with_the_container(monitor: Monitor) -> None:
    pid, _ = monitor.ask(b"stay")
    assert monitor.end() == "closed False\n"
    assert gone(pid)


def test_it_ends_with_the_monitor(monitor: Monitor) -> None:
    pid, _ = monitor.ask(b"stay")
    monitor.process.kill()
    monitor.process.wait()
    assert gone(pid)
    os.kill(monitor.container, 9)
