"""Attacks on networks: names that leave an internal one, ways into a container, what a flushed firewall leaves open."""

from __future__ import annotations

import json
import os
import socket
import struct
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from support import images, leaks, outside
from support.command import Wherry, wait_for
from support.netns import Namespace
from support.rootless_network import world
from support.users import User

pytestmark = pytest.mark.needs("root", "debian", "busybox", "iproute2", "nft")
SHORT = 0.3  # seconds after which what is dropped counts as dropped


class Net:
    """Root's command line with an image, and containers and networks that go when the test ends."""

    def __init__(self, wherry: Wherry) -> None:
        self.wherry = wherry
        self.networks: list[str] = []
        self.containers: list[str] = []

    def network(self, *options: str) -> str:
        self.networks.append(f"s{os.getpid()}-{len(self.networks)}")
        self.wherry.ok("network", "create", *options, self.networks[-1])
        return self.networks[-1]

    def up(self, *options: str, command: tuple[str, ...] = ("sleep", "600")) -> str:
        self.containers.append(self.wherry.ok("run", "-d", *options, "busybox", *command).strip())
        return self.containers[-1]

    def address(self, container: str, family: str = "IPAddress") -> str:
        (place,) = json.loads(self.wherry.ok("inspect", container))[0]["NetworkSettings"]["Networks"].values()
        return str(place[family])

    def inside(self, container: str) -> Namespace:
        """Its network namespace, for sockets of the test's."""
        pid = json.loads(self.wherry.ok("inspect", container))[0]["State"]["Pid"]
        space = Namespace.__new__(Namespace)
        space.fd = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        return space

    def table(self) -> str:
        """The name of the store's table of rules."""
        listed = subprocess.run(["nft", "-j", "list", "tables"], capture_output=True, check=True).stdout
        known = [one["table"]["name"] for one in json.loads(listed)["nftables"] if "table" in one]
        (bridge,) = {self.bridge(name) for name in self.networks[:1]}
        for name in known:
            if name.startswith("wherry"):
                text = subprocess.run(
                    ["nft", "list", "table", "inet", name], capture_output=True, text=True, check=False
                )
                if bridge in text.stdout:
                    return str(name)
        return ""

    def bridge(self, name: str) -> str:
        return f"wh-{json.loads(self.wherry.ok('network', 'inspect', name))[0]['Id'][:12]}"


@pytest.fixture
def net(wherry: Wherry, busybox: images.Built, tmp_path: Path) -> Iterator[Net]:
    wherry.load(busybox.docker_archive(tmp_path / "busybox.tar", "busybox"))
    one = Net(wherry)
    yield one
    if one.containers:
        wherry("rm", "-f", *one.containers)
    for name in one.networks:
        wherry("network", "rm", name)


@pytest.fixture
def other() -> Iterator[outside.Host]:
    with outside.host(3) as one:
        yield one


def refused(space: Namespace, address: str, port: int) -> None:
    with pytest.raises(OSError):
        space.connect(address, port, seconds=SHORT).close()


def test_internal_networks_ask_nobody_cve_2024_29018(net: Net, other: outside.Host) -> None:
    """The test's resolver on the host hears a container of an ordinary network, and nothing of an internal one."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as resolver:
        resolver.bind((other.peer, 53))
        resolver.settimeout(20)
        ask = ("nslookup", "secret.example.com")
        free = net.up("--network", net.network(), "--dns", other.peer)
        held = net.up("--network", net.network("--internal"), "--dns", other.peer)
        asking = net.wherry.popen("exec", free, *ask)
        assert b"secret" in resolver.recv(512)
        net.wherry.ok("rm", "-f", free)
        asking.communicate()
        resolver.settimeout(SHORT)
        while not _fails(lambda: resolver.recv(512)):  # what the first one still asked
            pass
        answer = net.wherry("exec", held, *ask)
        assert "SERVFAIL" in answer.out + answer.err
        with pytest.raises(TimeoutError):
            resolver.recv(512)


def test_networks_are_apart_and_sources_are_not_believed(net: Net) -> None:
    """A container with CAP_NET_RAW, which Docker leaves it, sends as one of the other network, and is not let in."""
    one, two = net.network(), net.network()
    here, there, spy = net.up("--network", one), net.up("--network", two), net.up("--network", two)
    target, neighbour = net.address(there), net.address(spy)
    sender, receiver = net.inside(here), net.inside(there)
    with receiver, sender, receiver.listen("0.0.0.0", 7000, socket.SOCK_DGRAM) as heard:
        heard.settimeout(SHORT)
        refused(sender, target, 22)
        raw = sender.call(lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW))
        addresses = socket.inet_aton(neighbour) + socket.inet_aton(target)
        packet = struct.pack(">BBHHHBBH", 0x45, 0, 32, 1, 0, 64, 17, 0) + addresses
        packet += struct.pack(">HHHH", 7000, 7000, 12, 0) + b"hi!!"
        for _ in range(3):
            raw.sendto(packet, (target, 0))
        raw.close()
        with pytest.raises(TimeoutError):
            heard.recv(100)
        with net.inside(spy) as friend, friend.listen("0.0.0.0", 0, socket.SOCK_DGRAM) as honest:
            honest.sendto(b"hello", (target, 7000))
            assert heard.recv(100) == b"hello"


def test_nobody_outside_reaches_a_container_but_by_its_ports(net: Net, other: outside.Host) -> None:
    """Not by its own address, whatever route they have, nor by a port that is published on 127.0.0.1."""
    name = net.network()
    web = net.up("--network", name, "-p", "127.0.0.1::80", command=("httpd", "-f", "-p", "80", "-h", "/etc"))
    port = int(net.wherry.ok("port", web, "80").rpartition(":")[2])
    wait_for(lambda: not _fails(lambda: socket.create_connection(("127.0.0.1", port), 5).close()))
    with Namespace.__new__(Namespace) as neighbour:
        neighbour.fd = os.open(f"/run/netns/{other.name}", os.O_RDONLY | os.O_CLOEXEC)
        refused(neighbour, net.address(web), 80)
        refused(neighbour, other.peer, port)
        other.run("ip", "address", "add", "127.0.0.9/8", "dev", "lo")
        neighbour.write("ipv4/conf/eth0/route_localnet", "1")
        other.run("ip", "route", "del", "local", "127.0.0.0/8", "dev", "lo", "table", "local")
        other.run("ip", "route", "add", "127.0.0.1", "via", other.peer, "dev", "eth0")
        with pytest.raises(OSError):
            neighbour.connect("127.0.0.1", port, seconds=SHORT, source=other.own).close()


def _fails(function: Callable[[], object]) -> bool:
    try:
        function()
    except OSError:
        return True
    return False


def test_rules_that_are_flushed_are_back_at_once_cve_2025_54388(net: Net, other: outside.Host) -> None:
    """CVE-2025-54410 too: when another program has deleted the rules, as firewalld did with Docker's at each reload,
    they are made again without anybody asking: ports on 127.0.0.1 stay the host's, and networks apart."""
    name, second = net.network(), net.network()
    web = net.up("--network", name, "-p", "127.0.0.1::80", command=("httpd", "-f", "-p", "80", "-h", "/etc"))
    elsewhere = net.up("--network", second)
    port = int(net.wherry.ok("port", web, "80").rpartition(":")[2])
    before = net.table()
    assert before
    subprocess.run(["nft", "delete", "table", "inet", before], check=True)
    wait_for(lambda: net.table() == before)
    with Namespace.__new__(Namespace) as neighbour, net.inside(elsewhere) as container:
        neighbour.fd = os.open(f"/run/netns/{other.name}", os.O_RDONLY | os.O_CLOEXEC)
        refused(neighbour, other.peer, port)
        refused(neighbour, net.address(web), 80)
        refused(container, net.address(web), 80)
    wait_for(lambda: not _fails(lambda: socket.create_connection(("127.0.0.1", port), 5).close()))


def test_routers_are_not_believed_cve_2020_13401(net: Net) -> None:
    """Neither in a container nor on the bridge: who is in a network cannot become everybody's way out."""
    name = net.network("--ipv6")
    one = net.up("--network", name)
    assert net.wherry.ok("exec", one, "cat", "/proc/sys/net/ipv6/conf/eth0/accept_ra") == "0\n"
    assert Path(f"/proc/sys/net/ipv6/conf/{net.bridge(name)}/accept_ra").read_text() == "0\n"


@pytest.mark.parametrize("driver", ["bridge", "macvlan"])
def test_ipv6_is_off_unless_asked_for_cve_2024_32473(net: Net, driver: str) -> None:
    """A link-local address would do to talk to who is on the same wire."""
    options: tuple[str, ...] = ()
    parent = f"wtp{os.getpid() % 100000}"
    if driver != "bridge":
        subprocess.run(["ip", "link", "add", parent, "type", "veth", "peer", "name", f"{parent}p"], check=True)
        subprocess.run(["ip", "link", "set", parent, "up"], check=True)
        options = ("--driver", driver, "--opt", f"parent={parent}", "--subnet", "10.213.7.0/24")
    try:
        one = net.up("--network", net.network(*options))
        assert "inet6" not in net.wherry.ok("exec", one, "ip", "address", "show", "dev", "eth0")
        assert net.wherry.ok("exec", one, "cat", "/proc/sys/net/ipv6/conf/eth0/disable_ipv6") == "1\n"
        net.wherry("rm", "-f", one)
    finally:
        if driver != "bridge":
            subprocess.run(["ip", "link", "delete", parent], check=True)


@pytest.mark.needs("user-namespaces", "uidmap", "pasta", "slirp4netns")
def test_a_rootless_service_sees_its_clients_cve_2021_20199(rootless: User, busybox: images.Built) -> None:
    """Not everybody as 127.0.0.1, which services trust."""
    with world(rootless) as there:
        wherry = there.wherry
        archive = busybox.docker_archive(wherry.directory / "busybox.tar", "busybox")
        archive.chmod(0o644)
        wherry.load(archive)
        serve = ("nc", "-l", "-p", "80", "-e", "sh", "-c", "netstat -tn")
        wherry.ok("run", "-d", "--name", "one", "-p", "18080:80", "busybox", *serve)
        with there.outside.connect("10.9.0.1", 18080) as connection:
            connection.sendall(b"\n")
            seen = b""
            while piece := connection.recv(4096):
                seen += piece
        wherry.ok("rm", "-f", "one")
        assert b"10.9.0.2:" in seen and b"127.0.0.1:" not in seen
        assert not leaks.settled(wherry.directory)
