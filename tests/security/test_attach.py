"""Attacks through the socket that clients of a container attach to."""

from __future__ import annotations

import _socket
import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.command import Wherry, wait_for
from wherry.monitor import call
from wherry.monitor.protocol import CONTROL, STDOUT, Decoder, control, frame

NONSENSE = (
    b"\xff" * 100,
    b"\1\0\0\0\xff\xff\xff\xff",
    frame(CONTROL, b"[]"),
    frame(CONTROL, b"{"),
    frame(CONTROL, b'{"attach": 1}'),
    frame(CONTROL, b'{"signal": "x"}'),
    frame(CONTROL, b'{"stop": []}'),
    b"GET / HTTP/1.1\r\n\r\n",
)


def knock(directory: Path) -> _socket.socket:
    """A connection that has said nothing yet."""
    client = call.connect(str(directory))
    assert client is not None
    client.settimeout(30)
    return client


def connect(directory: Path, *messages: dict[str, object]) -> _socket.socket:
    """A client of the monitor that has said this and got the first answer to it."""
    client = knock(directory)
    for message in messages:
        client.sendall(control(message))
    assert client.recv(1 << 16)
    return client


@pytest.fixture
def running(wherry: Wherry, busybox: object, tmp_path: Path) -> Iterator[tuple[Path, int]]:
    """The run directory, and the pid of the monitor of a container that repeats what it is told."""
    archive = busybox.docker_archive(tmp_path / "busybox.tar", "busybox")  # type: ignore[attr-defined]
    wherry.load(archive)
    name = "a-" + uuid.uuid4().hex[:12]
    identity = wherry.ok("run", "-d", "-i", "--name", name, "busybox", "cat").strip()
    pid = int(wherry.ok("inspect", "-f", "{{.State.Pid}}", name))
    monitor = int(next(line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if "PPid" in line)[5:])
    yield wherry.run_root / "containers" / identity, monitor
    wherry.ok("rm", "-f", name)


def descriptors(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/fd"))


def resident(pid: int) -> int:
    """Kilobytes of anonymous memory."""
    status = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line for line in status if line.startswith("RssAnon"))[8:].split()[0])


@pytest.mark.needs("root", "debian", "busybox")
def test_cve_2025_64329_attaching_a_thousand_times_leaves_nothing(running: tuple[Path, int]) -> None:
    """Clients that come, attach and go, politely or in the middle of a frame."""
    path, monitor = running
    attach = {"attach": {"stdin": False, "stdout": True, "stderr": True}}
    for _ in range(50):
        connect(path, attach).close()
    wait_for(lambda: descriptors(monitor) < 40)
    before, memory = descriptors(monitor), resident(monitor)
    for number in range(1000):
        client = connect(path, attach)
        if number % 3 == 0:
            client.sendall(control({"resize": [24, 80]})[:-3])
        client.close()
    wait_for(lambda: descriptors(monitor) <= before)
    assert resident(monitor) - memory < 512


@pytest.mark.needs("root", "debian", "busybox")
def test_hundreds_of_clients_see_the_same_output(running: tuple[Path, int]) -> None:
    path, monitor = running
    before = descriptors(monitor)
    attach = {"attach": {"stdin": False, "stdout": True, "stderr": True}}
    clients = [connect(path, attach) for _ in range(300)]
    typist = connect(path, {"attach": {"stdin": True, "stdout": True, "stderr": True}})
    typist.sendall(frame(0, b"hello\n"))
    for client in (*clients, typist):
        decoder, seen = Decoder(), b""
        while seen != b"hello\n":
            data = client.recv(1 << 16)
            assert data
            seen += b"".join([payload for kind, payload in decoder.feed(data) if kind == STDOUT])
        client.close()
    wait_for(lambda: descriptors(monitor) <= before + 2)


@pytest.mark.needs("root", "debian", "busybox")
def test_nonsense_is_hung_up_on_and_harms_nobody(running: tuple[Path, int]) -> None:
    path, _monitor = running
    for nonsense in NONSENSE:
        stranger = knock(path)
        stranger.sendall(nonsense)
        try:
            assert stranger.recv(1 << 16) == b"", nonsense
        except ConnectionResetError:
            pass  # it did not even read all of it
        stranger.close()
    connect(path, {"wait": True}).close()
