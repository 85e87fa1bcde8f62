"""pasta and slirp4netns, the real ones, between a user's network namespace and one that plays the host."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support import places, users
from support.bundle import PYTHON
from support.command import wait_for
from support.netns import Namespace, several
from support.tun import Place
from wherry.network.model import PublishedPort
from wherry.network.usermode import pasta_arguments

pytestmark = pytest.mark.needs("root", "user-namespaces", "pasta", "slirp4netns")
SOURCE = Path(__file__).parents[2] / "src"
BOTH = pytest.mark.parametrize("program", ["pasta", "slirp4netns"])

#: What a monitor does, for a container that does nothing; ends at the end of its input.
MONITOR = """
    import json, os, subprocess, sys
    sys.path.insert(0, sys.argv[1])
    from wherry.errors import WherryError
    from wherry.network import usermode
    from wherry.network.model import PublishedPort
    program, directory, ports = sys.argv[2], sys.argv[3], json.loads(sys.argv[4])
    container = subprocess.Popen(["unshare", "-Urn", "sh", "-c", "ip link set lo up; echo up; exec sleep infinity"],
                                 stdout=subprocess.PIPE)
    container.stdout.readline()
    try:
        running = usermode.start(usermode.Program(program, "/usr/bin/" + program), f"/proc/{container.pid}/ns/user",
                                 f"/proc/{container.pid}/ns/net", directory, [PublishedPort(**port) for port in ports])
    except WherryError as error:
        print(json.dumps({"error": type(error).__name__, "text": str(error), "hint": error.hint}), flush=True)
    else:
        print(json.dumps({"container": container.pid, "program": running.pid}), flush=True)
        sys.stdin.read()
        running.close()
        running.close()
    container.kill()
"""


class Monitor:
    """One rootless container's network."""

    def __init__(self, place: Place, program: str, directory: Path, *ports: PublishedPort) -> None:
        told = json.dumps([port.as_dict() for port in ports])
        code = [PYTHON, "-I", "-c", textwrap.dedent(MONITOR), str(SOURCE), program, str(directory), told]
        self.process = subprocess.Popen(
            [*place.prefix, *code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        line = next(line for line in self.process.stdout if line.startswith("{"))  # slirp4netns talks as well
        self.told: dict[str, Any] = json.loads(line)

    def inside(self, *command: str) -> str:
        """What a program prints that runs in the container."""
        enter = ["nsenter", "--user", "--net", "--target", str(self.told["container"]), "--", *command]
        return subprocess.run(enter, capture_output=True, text=True, timeout=60, check=True).stdout

    def end(self) -> None:
        """It ends the program and the container; what ran in that goes with its network."""
        self.process.communicate("")


class World:
    def __init__(self, host: Namespace, outside: Namespace) -> None:
        self.host, self.outside = host, outside
        host.cable("wan0", outside, "wan0")
        host.ip("address add 10.9.0.1/24 dev wan0", "route add default via 10.9.0.2")
        outside.ip("address add 10.9.0.2/24 dev wan0")


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with several(2) as (host, outside):
        yield World(host, outside)


@pytest.fixture(scope="module")
def place(world: World) -> Iterator[Place]:
    with Place(world.host, users.UID) as one:
        yield one


@pytest.fixture
def directory() -> Iterator[Path]:
    made = places.make("user-network")
    os.chown(made, users.UID, users.UID)
    yield made
    shutil.rmtree(made, ignore_errors=True)


def port(host_ip: str, number: int, protocol: str = "tcp") -> PublishedPort:
    return PublishedPort(protocol, host_ip, number, "10.0.2.100", 80, "", "n", "c")


SERVER = (
    "import socket\n"
    "s = socket.create_server(('', 80)); print('listening', flush=True)\n"
    "for _ in range(2):\n c, a = s.accept(); c.recv(1); c.sendall(a[0].encode()); c.close()"
)


@BOTH
def test_published_ports_and_the_way_out(world: World, place: Place, directory: Path, program: str) -> None:
    monitor = Monitor(place, program, directory, port("0.0.0.0", 18080), port("127.0.0.1", 18081))
    service = None
    try:
        shown = monitor.inside("ip", "-4", "-o", "address")
        assert "10.0.2.100/24" in shown
        with world.outside.listen("10.9.0.2", 80) as server:
            code = "import socket; print(socket.create_connection(('10.9.0.2', 80), 20).recv(10).decode())"
            enter = ["nsenter", "--user", "--net", "--target", str(monitor.told["container"]), "--"]
            client = subprocess.Popen([*enter, PYTHON, "-I", "-c", code], stdout=subprocess.PIPE)
            connection, peer = server.accept()
            assert peer[0] == "10.9.0.1"
            connection.sendall(b"hello")
            connection.close()
            assert client.communicate(timeout=30)[0] == b"hello\n"
        service = subprocess.Popen([*enter, PYTHON, "-I", "-c", SERVER], stdout=subprocess.PIPE)
        assert service.stdout is not None
        service.stdout.readline()
        with world.outside.connect("10.9.0.1", 18080) as connection:
            connection.sendall(b"?")
            assert connection.recv(100) == b"10.9.0.2", "the client's own address (CVE-2021-20199)"
        with pytest.raises(OSError):
            world.outside.connect("10.9.0.1", 18081, seconds=1).close()
        with world.host.connect("127.0.0.1", 18081) as connection:
            connection.sendall(b"?")
            assert connection.recv(100)
        service.communicate(timeout=30)
    finally:
        if service is not None:
            service.kill()
        monitor.end()


@BOTH
def test_the_hosts_loopback_is_out_of_reach(world: World, place: Place, directory: Path, program: str) -> None:
    """Neither by the gateway's address nor by the container's own loopback, as pasta alone would have it."""
    monitor = Monitor(place, program, directory)
    try:
        with world.host.listen("127.0.0.1", 7777) as server:
            server.settimeout(0.2)
            for address in ("10.0.2.2", "127.0.0.1"):
                code = f"import socket; socket.create_connection(('{address}', 7777), 0.5)"
                with pytest.raises(subprocess.CalledProcessError):
                    monitor.inside(PYTHON, "-I", "-c", code)
            with pytest.raises(TimeoutError):
                server.accept()
    finally:
        monitor.end()


@BOTH
def test_it_ends_with_its_monitor(place: Place, directory: Path, program: str) -> None:
    """At the end, and when the monitor is killed: pasta once the directory is swept."""
    monitor = Monitor(place, program, directory)
    monitor.end()
    assert not os.path.exists(f"/proc/{monitor.told['program']}")
    monitor = Monitor(place, program, directory)
    monitor.process.kill()
    monitor.process.wait()
    if program == "pasta":
        (directory / "netns").unlink()
    wait_for(lambda: not os.path.exists(f"/proc/{monitor.told['program']}"))
    os.kill(monitor.told["container"], 9)


@BOTH
def test_a_port_that_is_taken_is_a_clear_error(world: World, place: Place, directory: Path, program: str) -> None:
    with world.host.listen("0.0.0.0", 18082):
        monitor = Monitor(place, program, directory, port("0.0.0.0", 18082))
    monitor.end()
    assert monitor.told == {
        "error": "Conflict",
        "text": "failed to bind host port 0.0.0.0:18082/tcp",
        "hint": "another program of this host has it (see `ss -lntup`)",
    }


@BOTH
def test_what_users_may_not_publish(place: Place, directory: Path, program: str) -> None:
    low = Monitor(place, program, directory, port("0.0.0.0", 81))
    low.end()
    assert "ip_unprivileged_port_start" in low.told["hint"]
    sctp = Monitor(place, program, directory, port("0.0.0.0", 8100, "sctp"))
    sctp.end()
    assert sctp.told["error"] == "InvalidArgument"


def test_without_the_device_it_is_told(world: World, directory: Path) -> None:
    """Where /dev/net/tun is not open to users, as on systems without udev."""
    shown = Path("/dev/net/tun")
    if shown.exists() and shown.stat().st_mode & 0o006:
        command = ["unshare", "--mount", "sh", "-c", 'mount -t tmpfs none /dev/net && exec "$@"', "sh"]
    else:
        command = ["env"]
    place = Place.__new__(Place)
    who = ("setpriv", f"--reuid={users.UID}", f"--regid={users.UID}", "--clear-groups")
    place.prefix = ("nsenter", f"--net={world.host.path}", *command, *who)
    monitor = Monitor(place, "pasta", directory)
    monitor.end()
    assert (monitor.told["error"], "/dev/net/tun" in monitor.told["hint"]) == ("NotSupported", True)


def test_what_pasta_is_told() -> None:
    words = pasta_arguments("/proc/7/ns/user", "/d", [port("::1", 8080), port("0.0.0.0", 53, "udp")])
    text = " ".join(words)
    assert "-t ::1/8080:80 -u 0.0.0.0/53:80 -T none -U none" in text
    assert "--no-map-gw" in words and "--userns /proc/7/ns/user --netns /d/netns" in text
    assert "-t none -u none -T none -U none" in " ".join(pasta_arguments("/proc/7/ns/user", "/d", []))
