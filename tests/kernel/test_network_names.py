"""The name server in a namespace that plays a container, asked by dig; dnsmasq plays the host's resolver."""

from __future__ import annotations

import subprocess
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.bundle import PYTHON
from support.netns import Namespace, several

pytestmark = pytest.mark.needs("root", "nft", "dig", "dnsmasq")
SOURCE = Path(__file__).parents[2] / "src"

#: What a monitor does: sockets in the container's namespace, served by a process of the host's.
SERVER = """
    import os, sys
    sys.path.insert(0, sys.argv[1])
    from wherry.linux.namespaces import CLONE_NEWNET, enter
    from wherry.network import names
    from wherry.network.nameserver import Known
    host = os.open("/proc/self/ns/net", os.O_RDONLY)
    enter(os.open(sys.argv[2], os.O_RDONLY), CLONE_NEWNET)
    sockets = names.listen()
    enter(host, CLONE_NEWNET)
    print("listening", flush=True)
    many = tuple(f"172.18.1.{number}" for number in range(1, 101))
    own = {"web": ("172.18.0.2", "fd00::2"), "many": many}
    known = Known((own,), {"172.18.0.2": "web.front"}, sys.argv[3] == "yes")
    upstreams = names.upstreams("nameserver 127.0.0.53\\n", sys.argv[4:])
    while True:
        names.serve(sockets, lambda: known, upstreams)
"""


def start(host: Namespace, *command: str) -> subprocess.Popen[str]:
    full = ["nsenter", f"--net={host.path}", "--", *command]
    return subprocess.Popen(full, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def resolver(space: Namespace, address: str, answer: str) -> subprocess.Popen[str]:
    """dnsmasq that knows example.com, and a name with a long answer."""
    long = [f"--txt-record=long.example.com,{number:04d}{'x' * 200}" for number in range(20)]
    options = [
        "--keep-in-foreground",
        "--conf-file=/dev/null",
        "--no-resolv",
        "--no-hosts",
        "--no-daemon",
        "--user=root",
    ]
    where = [f"--listen-address={address}", "--bind-interfaces", "--pid-file="]
    process = start(space, "dnsmasq", *options, *where, f"--address=/example.com/{answer}", *long)
    assert process.stdout is not None
    for line in process.stdout:
        if "started" in line:
            return process
    raise AssertionError("dnsmasq did not start")


def stop(*processes: subprocess.Popen[str]) -> None:
    for process in processes:
        process.kill()
        process.communicate()


class Container:
    """A container's namespace with a name server; its host has one at 127.0.0.53, which no container reaches."""

    def __init__(
        self, host: Namespace, space: Namespace, *, forwards: bool = True, servers: tuple[str, ...] = ()
    ) -> None:
        self.space = space
        code = textwrap.dedent(SERVER)
        words = [str(SOURCE), space.path, "yes" if forwards else "no", *servers]
        # the namespace's path names a descriptor of this process, which its children find under its number
        self.server = start(host, PYTHON, "-I", "-S", "-c", code, *words)
        assert self.server.stdout is not None
        assert self.server.stdout.readline() == "listening\n"

    def dig(self, *words: str) -> list[str]:
        """The lines of an answer, or of the header where that is asked for."""
        command = ["dig", "@127.0.0.11", "+time=15", "+tries=1", "+nocookie", *words]
        return [line for line in self.space.run(*command).splitlines() if line]


@pytest.fixture(scope="module")
def host() -> Iterator[Namespace]:
    with Namespace() as one:
        process = resolver(one, "127.0.0.53", "192.0.2.1")
        yield one
        stop(process)


@pytest.fixture(scope="module")
def container(host: Namespace) -> Iterator[Container]:
    with Namespace() as space:
        one = Container(host, space)
        yield one
        stop(one.server)


def test_names_of_the_network(container: Container) -> None:
    assert container.dig("+short", "web") == ["172.18.0.2"]
    assert container.dig("+short", "WEB", "AAAA") == ["fd00::2"]
    assert container.dig("+short", "-x", "172.18.0.2") == ["web.front."]
    assert container.dig("+short", "web", "MX") == []
    assert any("status: NOERROR" in line for line in container.dig("web", "MX"))


def test_names_of_the_world_by_the_hosts_resolver(container: Container) -> None:
    """It listens on the host's 127.0.0.53 alone, as systemd-resolved does."""
    for how in ("+notcp", "+tcp", "+noedns", "+bufsize=512"):
        assert container.dig("+short", how, "www.example.com") == ["192.0.2.1"]
    assert len(container.dig("+short", "long.example.com", "TXT")) == 20
    assert any("status: NXDOMAIN" in line or "status: REFUSED" in line for line in container.dig("nowhere.invalid"))


def test_many_addresses_take_a_stream(container: Container) -> None:
    assert len(container.dig("+short", "+noedns", "many")) == 100
    assert any(";; flags:" in line and " tc" in line for line in container.dig("+ignore", "+noedns", "many"))
    assert len(container.dig("+short", "+notcp", "+bufsize=4096", "+ignore", "many")) == 100


def test_a_container_may_have_a_name_server_of_its_own(container: Container) -> None:
    for address in ("0.0.0.0", "127.0.0.11"):
        with container.space.listen(address, 53):
            assert container.dig("+short", "+tcp", "web") == ["172.18.0.2"]


def test_internal_networks_ask_nobody(host: Namespace) -> None:
    with Namespace() as space:
        one = Container(host, space, forwards=False)
        try:
            assert one.dig("+short", "web") == ["172.18.0.2"]
            for name in ("www.example.com", "long.example.com"):
                assert any("status: SERVFAIL" in line for line in one.dig("+tcp", name))
                assert any("status: SERVFAIL" in line for line in one.dig(name))
        finally:
            stop(one.server)


def test_dns_servers_of_ones_own_are_asked_from_the_containers_network(host: Namespace) -> None:
    """Only the container reaches it: another one of its network, or its own loopback."""
    with several(1) as (space,):
        other = resolver(space, "127.0.0.7", "192.0.2.7")
        one = Container(host, space, servers=("127.0.0.7",))
        try:
            for how in ("+notcp", "+tcp"):
                assert one.dig("+short", how, "www.example.com") == ["192.0.2.7"]
        finally:
            stop(one.server, other)


def test_what_is_killed_has_lost_nothing_but_the_question(host: Namespace) -> None:
    """The rules of the namespace are the container's, and end with it."""
    with Namespace() as space:
        one = Container(host, space)
        assert "dnat to 127.0.0.11:" in space.run("nft", "list", "ruleset")
        stop(one.server)
    assert host.run("nft", "list", "ruleset") == ""
