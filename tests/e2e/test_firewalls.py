"""Beside firewalld, ufw and Docker: ports, the way out, and nobody's rules touched but one's own.

Each runs in the network namespace of a machine that the test makes, with files of its own; `docs/networks.md` says what
is to be typed, and here it is typed.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from support import images
from support.command import Wherry, wait_for
from support.dockerd import Dockerd, NotHere

pytestmark = pytest.mark.needs("root", "busybox", "iproute2", "nft")


@dataclass
class Machine:
    """A network namespace with Wherry in it, and another at the far end of its link."""

    name: str
    wherry: Wherry
    port: int = 0
    address = "198.18.90.1"
    far = "198.18.90.2"

    def outside(self, *command: str) -> subprocess.CompletedProcess[str]:
        argv = ["nsenter", f"--net=/run/netns/{self.name}-o", *command]
        return subprocess.run(argv, capture_output=True, text=True, timeout=30, check=False)

    def table(self, family: str, name: str) -> str:
        """The rules of a table as nft(8) prints them, less their counters."""
        done = subprocess.run(
            [*self.wherry.prefix, "nft", "-s", "list", "table", family, name],
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout

    @property
    def bridge(self) -> str:
        """The interface that containers without a word on networks share."""
        (shown,) = json.loads(self.wherry.ok("network", "inspect", "bridge"))
        return str(shown["Options"]["com.docker.network.bridge.name"])

    def own_table(self) -> str:
        """The rules of Wherry."""
        listed = subprocess.run(
            [*self.wherry.prefix, "nft", "list", "tables"], capture_output=True, text=True, check=True
        )
        (name,) = [line.split()[2] for line in listed.stdout.splitlines() if line.startswith("table inet wherry")]
        return self.table("inet", name)

    def serve(self) -> None:
        """A container with a web server on a published port."""
        self.port = 8080
        page = "echo found > /tmp/index.html; exec httpd -f -p 80 -h /tmp"
        self.wherry.ok("run", "-d", "--name", "web", "-p", f"{self.port}:80", "busybox", "sh", "-c", page)
        inside = ("exec", "web", "wget", "-qO-", "http://127.0.0.1/")
        wait_for(lambda: self.wherry(*inside).code == 0)

    def answers(self) -> bool:
        """Whether the far end reaches the published port."""
        return self.outside("curl", "-sS", "-m", "2", f"http://{self.address}:{self.port}/").stdout == "found\n"

    def goes_out(self) -> bool:
        """Whether a container reaches a web server at the far end."""
        ask = f"printf 'GET / HTTP/1.0\\r\\n\\r\\n' | nc -w 2 {self.far} 80"
        return self.wherry("exec", "web", "sh", "-c", ask).out.endswith("\nfar\n")


@pytest.fixture
def machine(wherry: Wherry, busybox: images.Built, tmp_path: Path) -> Iterator[Machine]:
    name = f"wt-fw{os.getpid()}"
    wherry.load(busybox.docker_archive(tmp_path / "busybox.tar", "busybox"))
    wherry.prefix = ("nsenter", f"--net=/run/netns/{name}")
    one = Machine(name, wherry)
    script = f"""
        ip netns add {name} && ip netns add {name}-o
        ip link add eth0 netns {name} type veth peer name eth0 netns {name}-o
        ip -n {name} address add {one.address}/30 dev eth0 && ip -n {name}-o address add {one.far}/30 dev eth0
        for one in {name} {name}-o; do ip -n $one link set eth0 up; ip -n $one link set lo up; done
        nsenter --net=/run/netns/{name} sh -c 'echo 0 >/proc/sys/net/ipv4/ip_forward'
    """
    subprocess.run(["sh", "-ec", script], check=True)
    (tmp_path / "index.html").write_text("far\n")
    far = ["nsenter", f"--net=/run/netns/{name}-o", "busybox", "httpd", "-f", "-p", "80", "-h", str(tmp_path)]
    server = subprocess.Popen(far)
    try:
        yield one
        wherry("rm", "-f", "web")
    finally:
        server.kill()
        server.wait()
        for space in (name, f"{name}-o"):
            subprocess.run(["ip", "netns", "delete", space], check=False)


class Place:
    """Where a firewall's programs run: the machine's network, and copies of the files that they write."""

    def __init__(self, machine: Machine, tmp_path: Path, *files: str) -> None:
        copies = "".join(f"cp -a {one} {tmp_path}/; mount --bind {tmp_path}/{Path(one).name} {one}\n" for one in files)
        script = f"mount -t tmpfs tmpfs /run && mkdir -p /run/dbus /run/lock\n{copies}echo ready; exec sleep 1000"
        argv = [*machine.wherry.prefix, "unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-ec", script]
        self._process = subprocess.Popen(argv, stdout=subprocess.PIPE, start_new_session=True)
        assert self._process.stdout is not None and self._process.stdout.readline() == b"ready\n"
        first = int(Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text())
        self._enter = ["nsenter", "-t", str(first), "--net", "--mount", "--pid"]

    def run(self, *command: str) -> str:
        done = subprocess.run([*self._enter, *command], capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        return done.stdout

    def start(self, *command: str) -> None:
        """A program that stays until `close`."""
        subprocess.Popen([*self._enter, *command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def works(self, *command: str) -> bool:
        return subprocess.run([*self._enter, *command], capture_output=True, timeout=60, check=False).returncode == 0

    def close(self) -> None:
        os.killpg(self._process.pid, signal.SIGKILL)  # with its first process goes the pid namespace
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()


@pytest.mark.needs("firewalld")
def test_firewalld(machine: Machine, tmp_path: Path) -> None:
    place = Place(machine, tmp_path, "/etc/firewalld")
    with contextlib.closing(place):
        place.start("dbus-daemon", "--system", "--nofork", "--nopidfile")
        wait_for(lambda: place.works("test", "-S", "/run/dbus/system_bus_socket"))
        place.start("firewalld", "--nofork", "--nopid")
        wait_for(lambda: place.works("firewall-cmd", "--state"), 60)
        before = machine.table("inet", "firewalld")
        machine.serve()
        warning = "chain filter_FORWARD of table inet firewalld"
        assert warning in machine.wherry.ok("info")
        assert machine.answers()  # firewalld lets pass what was sent elsewhere by whoever
        assert not machine.goes_out()
        assert machine.table("inet", "firewalld") == before
        place.run("firewall-cmd", "--permanent", "--zone=trusted", f"--add-interface={machine.bridge}")
        place.run("firewall-cmd", "--reload")
        assert machine.answers() and machine.goes_out()


@pytest.mark.needs("ufw")
def test_ufw(machine: Machine, tmp_path: Path) -> None:
    place = Place(machine, tmp_path, "/etc/ufw")
    with contextlib.closing(place):
        place.run("ufw", "--force", "enable")
        before = machine.table("ip", "filter")
        machine.serve()
        assert "chain FORWARD of table ip filter drops" in machine.wherry.ok("info")
        assert not machine.answers() and not machine.goes_out()
        assert machine.table("ip", "filter") == before
        place.run("ufw", "route", "allow", "in", "on", machine.bridge)
        place.run("ufw", "route", "allow", "out", "on", machine.bridge)
        assert machine.answers() and machine.goes_out()
        place.run("ufw", "reload")
        assert machine.answers() and machine.goes_out()
        place.run("ufw", "disable")
        assert machine.answers() and machine.goes_out()


@pytest.mark.needs("dockerd")
def test_docker(machine: Machine) -> None:
    """Docker's daemon was first and turned forwarding on, with the policy to let nothing through."""
    try:
        docker = Dockerd(prefix=machine.wherry.prefix, networks=True)
    except NotHere as error:
        pytest.fail(f"dockerd does not start: {error}")
    with contextlib.closing(docker):
        iptables = [*machine.wherry.prefix, "iptables"]
        rules = subprocess.run([*iptables, "-S"], capture_output=True, text=True, check=True).stdout
        assert "-P FORWARD DROP" in rules.splitlines() and "-N DOCKER-USER" in rules.splitlines()
        machine.serve()
        ours = machine.own_table()
        assert not machine.answers() and not machine.goes_out()
        for way in ("-i", "-o"):
            subprocess.run([*iptables, "-I", "DOCKER-USER", way, machine.bridge, "-j", "ACCEPT"], check=True)
        assert machine.answers() and machine.goes_out()
        machine.wherry.ok("rm", "-f", "web")
        machine.serve()
        assert machine.answers() and machine.goes_out()
        subprocess.run(docker.argv("network", "create", "other"), env=docker.env, check=True, capture_output=True)
        assert machine.own_table() == ours
        after = subprocess.run([*iptables, "-S"], capture_output=True, text=True, check=True).stdout
        assert {line for line in rules.splitlines() if machine.bridge not in line} <= set(after.splitlines())
