"""The firewall in a namespace that plays the host, with namespaces that play containers and a neighbour outside."""

from __future__ import annotations

import json
import select
import socket
import subprocess
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.bundle import PYTHON
from support.netns import Namespace, several
from wherry.network.firewall import Firewall, obstacles
from wherry.network.model import Network, PublishedPort, Subnet

pytestmark = pytest.mark.needs("root", "nft")
SHORT = 0.2  # seconds after which what is dropped counts as dropped

RED = Network(
    "a" * 64,
    "red",
    bridge="red0",
    enable_ipv6=True,
    subnets=(Subnet("172.30.0.0/24", "172.30.0.1"), Subnet("fd00:30::/64", "fd00:30::1")),
)
BLUE = Network("b" * 64, "blue", bridge="blue0", subnets=(Subnet("172.31.0.0/24", "172.31.0.1"),))
CLOSED = Network("c" * 64, "closed", bridge="closed0", internal=True, subnets=(Subnet("172.32.0.0/24", "172.32.0.1"),))
NETWORKS = (RED, BLUE, CLOSED)


class World:
    """One host with three bridges, two containers on the first, and a neighbour outside (10.9.0.2)."""

    def __init__(self, spaces: list[Namespace]) -> None:
        self.host, self.outside, self.one, self.two, self.blue, self.closed = spaces
        self.firewall = Firewall("wherry")
        host = self.host
        for network in NETWORKS:
            commands = [f"link add {network.bridge} type bridge", f"link set {network.bridge} up"]
            for subnet in network.subnets:
                nodad = " nodad" if subnet.is_ipv6 else ""
                commands.append(f"address add {subnet.gateway}/{subnet.prefix_length} dev {network.bridge}{nodad}")
            host.ip(*commands)
            host.write(f"ipv4/conf/{network.bridge}/route_localnet", "1")
        host.write("ipv4/ip_forward", "1")
        host.write("ipv6/conf/all/forwarding", "1")
        self._plug(self.one, RED, "172.30.0.2/24", "fd00:30::2/64")
        self._plug(self.two, RED, "172.30.0.3/24", "fd00:30::3/64")
        self._plug(self.blue, BLUE, "172.31.0.2/24")
        self._plug(self.closed, CLOSED, "172.32.0.2/24")
        host.cable("lan0", self.outside, "wan")
        host.ip("address add 10.9.0.1/24 dev lan0", "address add fd00:9::1/64 dev lan0 nodad")
        self.outside.ip("address add 10.9.0.2/24 dev wan", "address add fd00:9::2/64 dev wan nodad")
        self.apply()

    def _plug(self, space: Namespace, network: Network, *addresses: str) -> None:
        name = f"v{addresses[0].split('.')[1]}{addresses[0].split('.')[3].split('/')[0]}"
        self.host.cable(name, space, "eth0")
        self.host.ip(f"link set {name} master {network.bridge}", f"link set {name} type bridge_slave hairpin on")
        space.ip(*[f"address add {one} dev eth0{' nodad' if ':' in one else ''}" for one in addresses])
        for subnet in network.subnets:
            space.ip(f"route add default via {subnet.gateway}")

    def apply(self, *ports: PublishedPort) -> None:
        self.host.call(lambda: self.firewall.rebuild(NETWORKS, ports))

    def up(self, network: Network, *ports: PublishedPort) -> bool:
        return self.host.call(lambda: self.firewall.up(network, ports))


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with several(6) as spaces:
        yield World(spaces)


@pytest.fixture
def fresh() -> Iterator[Namespace]:
    with Namespace() as one:
        yield one


def port(host: str, number: int, container: str, *, to: int = 80, protocol: str = "tcp") -> PublishedPort:
    network = RED if container.startswith(("172.30", "fd00")) else BLUE
    return PublishedPort(protocol, host, number, container, to, network.bridge, network.id, "c")


def reaches(client: Namespace, address: str, number: int, server: socket.socket) -> str:
    """Who the server sees."""
    with client.connect(address, number):
        connection, peer = server.accept()
        connection.close()
    return str(peer[0])


def refused(client: Namespace, address: str, number: int) -> None:
    with pytest.raises(OSError):
        client.connect(address, number, seconds=SHORT).close()


def answers_ping(client: Namespace, address: str) -> bool:
    """Whether an ICMP echo request (RFC 792) is answered."""
    request = bytes((8, 0, 0xF7, 0xFF, 0, 0, 0, 0))
    with client.call(lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)) as raw:
        raw.settimeout(10)
        raw.sendto(request, (address, 0))
        return raw.recv(100)[20] == 0


def table(space: Namespace, *what: str) -> list[dict[str, Any]]:
    found = json.loads(space.run("nft", "-j", "list", *(what or ("ruleset",))))["nftables"]
    return [one for one in found if "metainfo" not in one]


def elements(space: Namespace, name: str) -> list[Any]:
    return next(one["map"].get("elem", []) for one in table(space, "map", "inet", "wherry", name) if "map" in one)


def strip(entries: list[dict[str, Any]]) -> list[Any]:
    for entry in entries:
        for value in entry.values():
            value.pop("handle", None)
    return sorted(entries, key=lambda entry: json.dumps(entry, sort_keys=True))


def test_nft_reads_the_table_as_it_was_meant(world: World, fresh: Namespace) -> None:
    """What nft(8) prints of it is a program that makes the same table."""
    world.apply(port("0.0.0.0", 8080, "172.30.0.2"), port("::", 8080, "fd00:30::2"))
    fresh.run("nft", "-f", "-", given=world.host.run("nft", "list", "ruleset"))
    assert strip(table(world.host)) == strip(table(fresh))
    assert elements(world.host, "ports4") == [
        [{"concat": ["tcp", 8080]}, {"concat": ["172.30.0.2", 80]}],
    ]
    assert sorted(one[0] for one in elements(world.host, "entering")) == ["blue0", "closed0", "red0"]


def test_published_port_from_everywhere(world: World) -> None:
    """From outside with the client's own address, from the host by any of its addresses, from every network."""
    world.apply(port("0.0.0.0", 8080, "172.30.0.2"))
    with world.one.listen("0.0.0.0", 80) as server:
        assert reaches(world.outside, "10.9.0.1", 8080, server) == "10.9.0.2"
        assert reaches(world.host, "127.0.0.1", 8080, server) == "172.30.0.1"
        assert reaches(world.host, "10.9.0.1", 8080, server) == "10.9.0.1"
        assert reaches(world.two, "172.30.0.1", 8080, server) == "172.30.0.1"
        assert reaches(world.one, "10.9.0.1", 8080, server) == "172.30.0.1"
        assert reaches(world.blue, "10.9.0.1", 8080, server) == "172.30.0.1"
        refused(world.closed, "172.32.0.1", 8080)


def test_published_port_ipv6(world: World) -> None:
    world.apply(port("::", 8080, "fd00:30::2"), port("fd00:9::1", 9090, "fd00:30::2"))
    with world.one.listen("::", 80) as server:
        assert reaches(world.outside, "fd00:9::1", 8080, server) == "fd00:9::2"
        assert reaches(world.outside, "fd00:9::1", 9090, server) == "fd00:9::2"
        assert reaches(world.two, "fd00:9::1", 8080, server) == "fd00:30::1"
        refused(world.outside, "fd00:9::1", 80)


def test_published_datagrams(world: World) -> None:
    world.apply(port("0.0.0.0", 5353, "172.30.0.2", to=53, protocol="udp"))
    with (
        world.one.listen("0.0.0.0", 53, socket.SOCK_DGRAM) as server,
        world.outside.listen("0.0.0.0", 0, socket.SOCK_DGRAM) as client,
    ):
        client.sendto(b"?", ("10.9.0.1", 5353))
        data, peer = server.recvfrom(10)
        server.sendto(data + b"!", peer)
        assert client.recvfrom(10) == (b"?!", ("10.9.0.1", 5353))


def test_ports_come_and_go_by_element(world: World) -> None:
    world.apply()
    one, two = port("0.0.0.0", 8080, "172.30.0.2"), port("10.9.0.1", 8081, "172.30.0.2")
    assert world.up(RED, one, two)
    with world.one.listen("0.0.0.0", 80) as server:
        for number in (8080, 8081):
            assert reaches(world.outside, "10.9.0.1", number, server) == "10.9.0.2"
        refused(world.outside, "172.30.0.1", 8081)
        world.host.call(lambda: world.firewall.withdraw(RED, [one]))
        refused(world.outside, "10.9.0.1", 8080)
        assert reaches(world.outside, "10.9.0.1", 8081, server) == "10.9.0.2"
    world.host.call(lambda: world.firewall.withdraw(RED, [one, two]))
    assert elements(world.host, "ports4") == elements(world.host, "ports4_at") == []


def test_a_thousand_ports_at_once(world: World) -> None:
    world.apply()
    many = [port("0.0.0.0", 10000 + number, "172.30.0.2") for number in range(1000)]
    assert world.up(RED, *many)
    assert len(elements(world.host, "ports4")) == 1000
    world.host.call(lambda: world.firewall.withdraw(RED, many))
    assert elements(world.host, "ports4") == []


def test_what_others_left_is_noticed(world: World) -> None:
    """A port that the database gave to somebody else since, a network whose subnet belonged to another one."""
    world.apply(port("0.0.0.0", 8080, "172.30.0.2"))
    assert not world.up(RED, port("0.0.0.0", 8080, "172.30.0.3"))
    assert world.up(RED, port("0.0.0.0", 8080, "172.30.0.2"))


@pytest.mark.parametrize("how", ["flush ruleset", "flush table inet wherry", "delete table inet wherry"])
def test_flushed_rules_are_noticed_and_made_anew(world: World, how: str) -> None:
    world.apply()
    mine = port("0.0.0.0", 8080, "172.30.0.2")
    assert world.up(RED, mine)
    world.host.run("nft", *how.split())
    assert not world.up(RED, mine)
    world.apply(mine)
    assert world.up(RED, mine)
    with world.one.listen("0.0.0.0", 80) as server:
        assert reaches(world.outside, "10.9.0.1", 8080, server) == "10.9.0.2"
    refused(world.blue, "172.30.0.2", 80)


def test_connections_survive_a_rebuild(world: World) -> None:
    mine = port("0.0.0.0", 8080, "172.30.0.2")
    world.apply(mine)
    with world.one.listen("0.0.0.0", 80) as server, world.outside.connect("10.9.0.1", 8080) as client:
        connection, _peer = server.accept()
        world.apply(mine)
        with connection:
            client.sendall(b"still there")
            assert connection.recv(100) == b"still there"


def test_leaving_hides_the_container(world: World) -> None:
    world.apply()
    with world.outside.listen("0.0.0.0", 80) as server, world.outside.listen("::", 80 + 1) as server6:
        assert reaches(world.one, "10.9.0.2", 80, server) == "10.9.0.1"
        assert reaches(world.one, "fd00:9::2", 81, server6) == "fd00:9::1"
        refused(world.closed, "10.9.0.2", 80)


def test_networks_do_not_reach_each_other(world: World) -> None:
    world.apply()
    with world.one.listen("0.0.0.0", 80) as server:
        assert reaches(world.two, "172.30.0.2", 80, server) == "172.30.0.3"
        assert reaches(world.host, "172.30.0.2", 80, server) == "172.30.0.1"
        refused(world.blue, "172.30.0.2", 80)
        refused(world.closed, "172.30.0.2", 80)
    with world.closed.listen("0.0.0.0", 80):
        refused(world.blue, "172.32.0.2", 80)


def test_neighbours_have_no_route_in(world: World) -> None:
    """A host outside that sends packets for a container's own address gets nowhere, published or not."""
    world.apply(port("0.0.0.0", 80, "172.30.0.2"))
    world.outside.ip("route replace 172.30.0.0/24 via 10.9.0.1", "route replace fd00:30::/64 via fd00:9::1")
    with world.one.listen("0.0.0.0", 80), world.one.listen("::", 81):
        refused(world.outside, "172.30.0.2", 80)
        refused(world.outside, "fd00:30::2", 81)


def test_a_port_on_the_loopback_is_the_hosts_alone(world: World) -> None:
    """CVE-2020-8558: also where a neighbour or a container sends packets for 127.0.0.1 to the host."""
    world.apply(port("127.0.0.1", 8080, "172.30.0.2"))
    world.host.write("ipv4/conf/lan0/route_localnet", "1")  # other programs do so
    for space, device, router in ((world.outside, "wan", "10.9.0.1"), (world.blue, "eth0", "172.31.0.1")):
        space.write(f"ipv4/conf/{device}/route_localnet", "1")
        space.ip("route del local 127.0.0.0/8 dev lo table local", f"route add 127.0.0.1 via {router} dev {device}")
    with world.one.listen("0.0.0.0", 80) as server, world.host.listen("127.0.0.1", 7777):
        assert reaches(world.host, "127.0.0.1", 8080, server) == "172.30.0.1"
        for space, source in ((world.outside, "10.9.0.2"), (world.blue, "172.31.0.2")):
            for number in (8080, 7777):
                with pytest.raises(OSError):
                    space.connect("127.0.0.1", number, seconds=SHORT, source=source).close()
        refused(world.outside, "10.9.0.1", 8080)


def test_without_communication_between_containers(world: World) -> None:
    """What the host routes between them is dropped, published ports excepted (the bridge's ports do the rest)."""
    silent = RED.replace(icc=False)
    mine = port("0.0.0.0", 8080, "172.30.0.2")
    world.host.call(lambda: world.firewall.rebuild([silent, BLUE], [mine]))
    world.two.ip("route add 172.30.0.2/32 via 172.30.0.1")
    with world.one.listen("0.0.0.0", 80) as server:
        refused(world.two, "172.30.0.2", 80)
        assert reaches(world.two, "172.30.0.1", 8080, server) == "172.30.0.1"
        assert reaches(world.outside, "10.9.0.1", 8080, server) == "10.9.0.2"
    world.two.ip("route del 172.30.0.2/32")


def test_routed_and_unprotected_networks(world: World) -> None:
    world.outside.ip("route replace 172.30.0.0/24 via 10.9.0.1")
    mine = port("0.0.0.0", 80, "172.30.0.2")
    with world.one.listen("0.0.0.0", 80) as server, world.one.listen("0.0.0.0", 81):
        routed = RED.replace(gateway_mode_ipv4="routed")
        world.host.call(lambda: world.firewall.rebuild([routed], [mine]))
        assert reaches(world.outside, "172.30.0.2", 80, server) == "10.9.0.2"
        refused(world.outside, "172.30.0.2", 81)
        refused(world.outside, "10.9.0.1", 80)
        assert answers_ping(world.outside, "172.30.0.2")
        open_to_all = RED.replace(gateway_mode_ipv4="nat-unprotected")
        world.host.call(lambda: world.firewall.rebuild([open_to_all], [mine]))
        world.outside.connect("172.30.0.2", 81).close()
    world.outside.ip("route del 172.30.0.0/24")


def test_the_guard_keeps_the_host_from_routing_for_others(world: World) -> None:
    with Namespace() as other:
        world.host.cable("lan", other, "eth0")
        world.host.ip("address add 10.8.0.1/24 dev lan")
        other.ip("address add 10.8.0.2/24 dev eth0", "route add default via 10.8.0.1")
        world.outside.ip("route add 10.8.0.0/24 via 10.9.0.1")
        with world.outside.listen("0.0.0.0", 80) as server:
            world.apply()
            assert reaches(other, "10.9.0.2", 80, server) == "10.8.0.2"
            world.host.call(lambda: Firewall("wherry", guard=True).rebuild(NETWORKS, []))
            refused(other, "10.9.0.2", 80)
            assert reaches(world.one, "10.9.0.2", 80, server) == "10.9.0.1"


def test_networks_go_and_the_last_takes_the_table(fresh: Namespace) -> None:
    firewall = Firewall("wherry-other")
    fresh.call(lambda: firewall.rebuild(NETWORKS, []))
    before = strip(table(fresh))
    fresh.run("nft", "add", "table", "ip", "somebody")
    fresh.call(lambda: firewall.remove(RED))
    fresh.call(lambda: firewall.remove(CLOSED))
    fresh.call(lambda: firewall.remove(CLOSED))
    text = fresh.run("nft", "list", "ruleset")
    assert "red0" not in text and "closed0" not in text and "blue0" in text and before
    fresh.call(lambda: firewall.rebuild([], []))
    assert fresh.run("nft", "list", "ruleset").split() == ["table", "ip", "somebody", "{", "}"]
    fresh.call(lambda: firewall.remove(BLUE))
    fresh.call(lambda: firewall.withdraw(BLUE, [port("0.0.0.0", 80, "172.31.0.2")]))


def test_other_programs_chains_that_drop_are_named(fresh: Namespace) -> None:
    assert fresh.call(lambda: obstacles()) == []
    fresh.run(
        "nft", "add table ip filter; add chain ip filter FORWARD { type filter hook forward priority 0; policy drop; }"
    )
    assert fresh.call(lambda: obstacles()) == [
        "Packets of networks may be dropped: chain FORWARD of table ip filter drops what it does not know"
    ]


def test_who_may_not_is_told() -> None:
    code = """
        import os
        from wherry.errors import Forbidden
        from wherry.network.firewall import Firewall
        os.setresuid(65534, 65534, 65534)
        try:
            Firewall("wherry").rebuild([], [])
        except Forbidden as error:
            print(error)
    """
    source = Path(__file__).parents[2] / "src"
    head = f"import sys\nsys.path.insert(0, {str(source)!r})\n"
    command = [PYTHON, "-I", "-S", "-c", head + textwrap.dedent(code)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "changing the host's firewall needs CAP_NET_ADMIN\n"


@pytest.mark.parametrize("table", ["wherry", "wherry-01234567"])
def test_who_deletes_rules_is_noticed_at_once(fresh: Namespace, table: str) -> None:
    """And nobody else: what containers and other programs do all day wakes no container."""
    firewall = Firewall(table)
    fresh.call(lambda: firewall.rebuild(NETWORKS, []))
    seen: list[bool] = []
    watch = fresh.call(lambda: firewall.watch(lambda: seen.append(True)))
    try:

        def woken(seconds: float) -> bool:
            return bool(select.select([watch.fd], [], [], seconds)[0])

        mine = port("0.0.0.0", 8080, "172.30.0.2")
        assert fresh.call(lambda: firewall.up(RED, [mine]))
        fresh.call(lambda: firewall.withdraw(RED, [mine]))
        fresh.call(lambda: firewall.rebuild(NETWORKS, []))
        fresh.call(lambda: firewall.remove(RED))
        other = "add table ip other; add chain ip other c { type filter hook input priority 0; }; add rule ip other c"
        for name in ("other", "wherry-012345678", "wherr", "wherry-0"):
            fresh.run("nft", f"{other} accept; add set ip other s {{ type ipv4_addr; }}".replace("other", name))
            fresh.run("nft", f"flush chain ip {name} c; delete set ip {name} s; delete table ip {name}")
        assert not woken(0)
        many = "".join(f"add table ip t{number}; " for number in range(9))
        for change in (
            f"flush table inet {table}",
            f"delete chain inet {table} x",
            f"add table ip other; add chain ip other c; delete table inet {table}",
            "flush ruleset",
        ):
            fresh.call(lambda: firewall.rebuild(NETWORKS, []))
            fresh.run("nft", f"{many} add chain inet {table} x")
            assert not woken(0)
            fresh.run("nft", change)
            assert woken(10), change
            watch.look()
            assert not woken(0)
        assert len(seen) == 4
    finally:
        watch.close()
