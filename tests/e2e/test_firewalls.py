"""Beside firewalld, ufw and Docker: their rules and ours stay as they are, and what docs/networks.md says is enough."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from support import images
from support.command import wait_for
from support.firewalls import Docker, Firewall, Firewalld, Ufw
from support.machine import Machine, machine
from support.netns import Namespace

pytestmark = [pytest.mark.needs("root", "debian", "busybox", "iproute2", "nft"), pytest.mark.xdist_group("dockerd")]

SHORT = 0.3  # seconds after which what is dropped counts as dropped


class Seen:
    """What is to be seen of Wherry's networks, whoever else has rules."""

    def __init__(self, there: Machine) -> None:
        self.there, self.wherry = there, there.wherry
        self.wherry.ok("network", "create", "--subnet", "10.64.1.0/24", "one")
        self.wherry.ok("network", "create", "--subnet", "10.64.2.0/24", "two")
        serve = ("busybox", "httpd", "-f", "-p", "80", "-h", "/etc")
        ports = ("-p", "8080:80", "-p", "127.0.0.1:8081:80")
        self.wherry.ok("run", "-d", "--name", "web", "--network", "one", "--ip", "10.64.1.9", *ports, *serve)
        self.wherry.ok("run", "-d", "--name", "near", "--network", "one", "busybox", "sleep", "600")
        self.wherry.ok("run", "-d", "--name", "far", "--network", "two", "busybox", "sleep", "600")
        self.answer = self.wherry.ok("exec", "web", "cat", "/etc/hostname")

    def fetched(self, space: Namespace, address: str, port: int, *, seconds: float = 10) -> bool:
        try:
            with space.connect(address, port, seconds=seconds) as connection:
                connection.sendall(b"GET /hostname HTTP/1.0\r\n\r\n")
                return self.answer.encode() in b"".join(iter(lambda: connection.recv(4096), b""))
        except OSError:
            return False

    def from_container(self, name: str, address: str, *, seconds: int = 10) -> bool:
        return self.wherry("exec", name, "nc", "-w", str(seconds), *address.split(":")).code == 0

    def comes_out_as(self, name: str, port: int = 7777) -> str:
        """The address that a host outside sees of a container; "" when nothing gets out."""
        seen: list[str] = []
        with self.there.outside.listen("10.9.0.2", port) as listener:
            listener.settimeout(10)

            def accept() -> None:
                try:
                    connection, (address, _port) = listener.accept()
                except OSError:
                    return
                connection.close()
                seen.append(address)

            thread = threading.Thread(target=accept)
            thread.start()
            if not self.from_container(name, f"10.9.0.2:{port}", seconds=2):
                listener.shutdown(socket.SHUT_RDWR)
            thread.join()
        return "".join(seen)

    def works(self) -> None:
        """Ports, names, the way out, and that networks are apart."""
        there = self.there
        wait_for(lambda: self.fetched(there.host, "127.0.0.1", 8081))
        assert self.fetched(there.outside, "10.9.0.1", 8080)
        assert self.fetched(there.host, "127.0.0.1", 8080)
        assert self.from_container("near", "web:80")
        assert self.from_container("far", "10.9.0.1:8080")  # through the host's published port
        assert self.comes_out_as("near") == "10.9.0.1"
        self.is_closed()

    def is_closed(self) -> None:
        there = self.there
        assert not self.fetched(there.outside, "10.9.0.1", 8081, seconds=SHORT)
        there.outside.run("ip", "route", "replace", "10.64.0.0/16", "via", "10.9.0.1")
        assert not self.fetched(there.outside, "10.64.1.9", 80, seconds=SHORT)
        assert not self.from_container("far", "10.64.1.9:80", seconds=1)


@pytest.fixture
def there(busybox: images.Built, tmp_path: Path) -> Iterator[Machine]:
    with machine() as one:
        one.wherry.load(busybox.docker_archive(tmp_path / "busybox.tar", "busybox"))
        yield one
        one.wherry("rm", "-f", "web", "near", "far")
        one.wherry("network", "rm", "one", "two")


def test_alone(there: Machine) -> None:
    """What the others are compared with."""
    Seen(there).works()


@pytest.mark.parametrize(
    "program",
    [
        pytest.param(Firewalld, marks=pytest.mark.needs("firewalld")),
        pytest.param(Ufw, marks=pytest.mark.needs("ufw")),
        pytest.param(Docker, marks=pytest.mark.needs("dockerd")),
    ],
)
def test_beside(there: Machine, program: type[Firewall]) -> None:
    with program(there.host) as firewall:
        before = firewall.rules()
        assert before
        seen = Seen(there)
        assert firewall.rules() == before
        assert firewall.warning in there.wherry.ok("info")
        seen.is_closed()
        assert seen.comes_out_as("near") == ""  # every table has a say, and this one forwards for nobody
        (table,) = [name for name in there.host.run("nft", "list", "tables").split() if name.startswith("wherry")]
        ours = there.host.run("nft", "list", "table", "inet", table)
        firewall.allow()
        firewall.reload()
        allowed = firewall.rules()
        assert there.host.run("nft", "list", "table", "inet", table) == ours
        seen.works()
        there.host.run("nft", "delete", "table", "inet", table)
        seen.works()  # it is back
        there.wherry.ok("rm", "-f", "web", "near", "far")
        there.wherry.ok("network", "rm", "one", "two")
        assert firewall.rules() == allowed
