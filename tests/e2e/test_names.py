"""Containers find each other by name; what they read about names."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from support import outside
from support.command import Wherry, wait_for

pytestmark = pytest.mark.needs("root", "busybox", "iproute2", "dnsmasq")


class Net:
    """Networks and containers with names of the test's own, gone when it ends."""

    def __init__(self, wherry: Wherry) -> None:
        self.wherry = wherry
        self.made: list[str] = []
        self.started: list[str] = []

    def network(self, *options: str) -> str:
        self.made.append(f"d{os.getpid()}-{len(self.made)}")
        self.wherry.ok("network", "create", *options, self.made[-1])
        return self.made[-1]

    def up(self, name: str, *options: str) -> str:
        self.started.append(self.wherry.ok("run", "-d", "--name", name, *options, "busybox", "sleep", "600").strip())
        return self.started[-1]

    def address(self, name: str, network: str, key: str = "IPAddress") -> str:
        return str(json.loads(self.wherry.ok("inspect", name))[0]["NetworkSettings"]["Networks"][network][key])

    def found(self, container: str, name: str, *more: str) -> list[str]:
        """The addresses that a container finds under a name."""
        out = self.wherry("exec", container, "nslookup", *more, name).out
        lines = [line.split() for line in out.splitlines() if line.startswith("Address")]
        return sorted(words[-1] for words in lines if not words[-1].startswith("127.0.0.11"))


@pytest.fixture
def net(as_root: Wherry) -> Iterator[Net]:
    one = Net(as_root)
    yield one
    if one.started:
        as_root("rm", "-f", *one.started)
    for name in one.made:
        as_root("network", "rm", name)


def test_by_name_alias_and_short_id(net: Net) -> None:
    front = net.network()
    one = net.up("web", "--network", front, "--network-alias", "www", "--hostname", "webhost")
    net.up("client", "--network", front)
    own = net.address("web", front)
    for name in ("web", "WEB", "www", one[:12], "webhost", f"web.{front}"):
        assert net.found("client", name) == [own], name
    assert f"web.{front}" in net.wherry.ok("exec", "client", "nslookup", own)
    assert net.wherry.ok("exec", "client", "ping", "-c1", "-W10", "web")
    resolv = net.wherry.ok("exec", "client", "cat", "/etc/resolv.conf")
    assert "nameserver 127.0.0.11\n" in resolv and "ndots:0" in resolv
    net.wherry.ok("rename", "web", "shop")
    assert net.found("client", "shop") == [own] and net.found("client", "web") == []
    net.wherry.ok("stop", "-t", "0", "shop")
    assert net.found("client", "shop") == []
    net.wherry.ok("start", "shop")
    assert net.found("client", "shop") == [net.address("shop", front)]


def test_one_alias_for_several_and_other_networks_names(net: Net) -> None:
    front, back = net.network(), net.network("--ipv6")
    for name in ("a1", "a2"):
        net.up(name, "--network", back, "--network-alias", "pool")
    net.up("outsider", "--network", front)
    net.up("both", "--network", front, "--network", back)
    own = {net.address(name, back, key) for name in ("a1", "a2") for key in ("IPAddress", "GlobalIPv6Address")}
    assert set(net.found("both", "pool")) == own
    assert net.found("outsider", "pool") == []
    assert net.found("both", "outsider") == [net.address("outsider", front)]


def test_the_default_network_has_no_names(net: Net) -> None:
    net.up("alone")
    assert "127.0.0.11" not in net.wherry.ok("exec", "alone", "cat", "/etc/resolv.conf")


def test_connected_later(net: Net) -> None:
    """A running container of the default network finds names once it is in a network that has them."""
    front = net.network()
    net.up("web", "--network", front)
    net.up("late")
    net.wherry.ok("network", "connect", "--alias", "tardy", front, "late")
    assert "nameserver 127.0.0.11\n" in net.wherry.ok("exec", "late", "cat", "/etc/resolv.conf")
    assert net.found("late", "web") == [net.address("web", front)]
    assert net.found("web", "tardy") == [net.address("late", front)]
    net.wherry.ok("network", "disconnect", front, "late")
    assert net.found("web", "late") == []


def test_links_on_the_default_network(net: Net) -> None:
    """Lines of /etc/hosts, as Docker writes them."""
    one = net.up("web")
    net.up("client", "--link", "web:shop")
    hosts = net.wherry.ok("exec", "client", "cat", "/etc/hosts")
    assert f"{net.address('web', 'bridge')}\tshop {one[:12]} web\n" in hosts
    links = ("inspect", "-f", "{{.HostConfig.Links}} {{.NetworkSettings.Networks.bridge.Links}}")
    assert net.wherry.ok(*links, "client") == "[/web:/client/shop] []\n"
    names = ("ps", "--no-trunc", "--filter", "name=web", "--format", "{{.Names}}")
    assert net.wherry.ok(*names) == "web,client/shop\n"
    net.wherry.ok("stop", "-t", "0", "web")
    refused = net.wherry("run", "--rm", "--name", "late", "--link", "web:shop", "busybox", "true")
    assert refused.code == 125 and "Cannot link to a non running container: /web AS /late/shop" in refused.err


def test_a_link_is_removed(net: Net) -> None:
    one = net.up("web")
    net.up("client", "--link", "web:shop", "--link", "web:other")
    for bad, message in (("client", "cannot remove the default link name"), ("client/x", "No such container: client/x"),
                         ("x/shop", "No such container")):  # fmt: skip
        refused = net.wherry("rm", "--link", bad)
        assert refused.code == 1 and message in refused.err, str(refused)
    assert net.wherry.ok("rm", "--link", "/client/shop") == "/client/shop\n"
    hosts = net.wherry.ok("exec", "client", "cat", "/etc/hosts")
    assert f"\tshop {one[:12]}" not in hosts and f"\tother {one[:12]} web\n" in hosts and "localhost" in hosts
    assert net.wherry.ok("inspect", "-f", "{{.HostConfig.Links}}", "client") == "[/web:/client/other]\n"
    assert net.wherry("rm", "--link", "client/shop").code == 1
    net.wherry.ok("rename", "web", "store")
    net.wherry.ok("restart", "-t", "0", "client")
    started = net.wherry.ok("exec", "client", "sh", "-c", "cat /etc/hosts; env")
    assert "shop" not in started.lower() and "OTHER_NAME=/client/other" in started


def test_servers_search_domains_options_and_hosts(net: Net) -> None:
    front = net.network()
    options = ("--dns-search", "example.test", "--dns-option", "timeout:3", "--add-host", "db:10.1.2.3")
    net.up("web", "--network", front, *options, "--add-host", "host:host-gateway")
    resolv = net.wherry.ok("exec", "web", "cat", "/etc/resolv.conf")
    assert resolv == "nameserver 127.0.0.11\nsearch example.test\noptions timeout:3 ndots:0\n"
    hosts = net.wherry.ok("exec", "web", "cat", "/etc/hosts")
    gateway = net.address("web", front, "Gateway")
    assert "10.1.2.3\tdb\n" in hosts and f"{gateway}\thost\n" in hosts
    assert f"{net.address('web', front)}\t{net.started[0][:12]}\n" in hosts


def test_other_names_by_the_servers_that_were_asked_for(net: Net) -> None:
    with outside.host(5) as resolver:
        server = resolver.popen(
            "dnsmasq", "--no-daemon", "--conf-file=/dev/null", "--no-resolv", "--no-hosts", "--user=root",
            "--address=/example.test/192.0.2.99", "--pid-file=",
            f"--listen-address={resolver.own}", "--bind-interfaces",
        )  # fmt: skip
        try:
            net.up("web", "--network", net.network(), "--dns", resolver.own)
            wait_for(lambda: net.found("web", "www.example.test") == ["192.0.2.99"])
        finally:
            server.kill()
            server.wait()


def _servers(net: Net) -> list[int]:
    short = {one[:12] for one in net.started}
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            words = Path(f"/proc/{name}/cmdline").read_bytes().rstrip(b"\0").decode().split()
        except OSError:
            continue
        if words[:1] == ["names"] and set(words[1:]) & short:
            found.append(int(name))
    return found


def test_the_server_runs_while_somebody_asks_and_comes_back_when_killed(net: Net) -> None:
    front = net.network()
    net.up("web", "--network", front)
    assert _servers(net) == []
    assert net.found("web", "web")
    (first,) = _servers(net)
    os.kill(first, signal.SIGKILL)
    wait_for(lambda: _servers(net) != [first])
    wait_for(lambda: bool(net.found("web", "web")))
    net.wherry.ok("rm", "-f", "web")
    wait_for(lambda: _servers(net) == [])
