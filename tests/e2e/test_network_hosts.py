"""Hosts that lack something, each a machine of the test's own: one clear line, nothing half-made."""

from __future__ import annotations

import socket
import struct
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from support import images
from support.command import wait_for
from support.machine import Machine, machine

pytestmark = pytest.mark.needs("root", "debian", "busybox", "iproute2", "nft")

# seccomp(2): socket(AF_NETLINK, …, NETLINK_NETFILTER) is EPROTONOSUPPORT, as in a kernel without it
WITHOUT_NETFILTER = """
import ctypes, os, struct, sys
steps = [(0x20, 0, 0, 0), (0x15, 0, 5, 41), (0x20, 0, 0, 16), (0x15, 0, 3, 16), (0x20, 0, 0, 32), (0x15, 0, 1, 12),
         (0x06, 0, 0, 0x5005d), (0x06, 0, 0, 0x7fff0000)]
code = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *one) for one in steps))
program = struct.pack("@HxxxxxxQ", len(steps), ctypes.addressof(code))
libc = ctypes.CDLL(None, use_errno=True)
assert libc.prctl(22, 2, program, 0, 0) == 0, ctypes.get_errno()
os.execvp(sys.argv[1], sys.argv[1:])
"""


@pytest.fixture
def there(busybox: images.Built, tmp_path: Path) -> Iterator[Machine]:
    with machine() as one:
        one.wherry.load(busybox.docker_archive(tmp_path / "busybox.tar", "busybox"))
        yield one


def interfaces(there: Machine) -> list[str]:
    return [line.split(": ")[1] for line in there.host.run("ip", "-o", "link").splitlines()]


def test_without_ipv6(there: Machine) -> None:
    for name in ("all", "default"):
        there.host.write(f"ipv6/conf/{name}/disable_ipv6", "1")
    before = interfaces(there)
    refused = there.wherry("network", "create", "--ipv6", "six")
    assert refused.code == 1 and "the host has no IPv6, which the network asks for" in refused.err
    assert interfaces(there) == before
    assert there.wherry.ok("network", "ls", "-q", "--filter", "type=custom") == ""
    serve = ("busybox", "httpd", "-f", "-p", "80", "-h", "/etc")
    identity = there.wherry.ok("run", "-d", "-p", "8080:80", *serve).strip()
    wait_for(lambda: there.wherry("exec", identity, "wget", "-qO-", "http://127.0.0.1/hostname").code == 0)
    there.outside.connect("10.9.0.1", 8080).close()
    there.wherry.ok("rm", "-f", identity)


def test_without_a_free_subnet(there: Machine) -> None:
    """The pools have two: the default network's, and one."""
    (there.wherry.directory / "config" / "networks.toml").write_text(
        'keep-bridge = 0\ndefault-address-pools = [{base = "10.128.0.0/24", size = 25}]\n'
    )
    there.wherry.ok("network", "create", "one")
    before = interfaces(there)
    refused = there.wherry("network", "create", "two")
    assert refused.code == 1 and "all predefined address pools have been fully subnetted" in refused.err
    assert interfaces(there) == before
    assert len(there.wherry.ok("network", "ls", "-q", "--filter", "type=custom").split()) == 1
    address = there.wherry.ok("run", "--rm", "busybox", "ip", "-o", "-4", "addr", "show", "dev", "eth0")
    assert "inet 10.128.0." in address
    there.wherry.ok("network", "rm", "one")


@pytest.mark.needs("x86_64")
def test_without_nf_tables(there: Machine) -> None:
    before = interfaces(there)
    prefix = there.wherry.prefix
    there.wherry.prefix = (*prefix, sys.executable, "-c", WITHOUT_NETFILTER)
    try:
        refused = there.wherry("run", "--rm", "-p", "80", "busybox", "echo", "ran")
        assert (refused.code, refused.out) == (125, "")
        assert refused.err.startswith("wherry: this kernel has no nf_tables, which bridge networks need\n")
        assert there.wherry.ok("run", "--rm", "--network", "none", "busybox", "echo", "ran") == "ran\n"
    finally:
        there.wherry.prefix = prefix
    assert there.wherry.ok("ps", "-a", "-q") == ""
    wait_for(lambda: interfaces(there) == before)


def test_arp_of_another_network_is_not_heard(there: Machine) -> None:
    """A container may send whatever frames it likes (CAP_NET_RAW, as in Docker): on its own network alone, where the
    kernel believes it as it does in Docker."""
    for name, part in (("one", 1), ("two", 2)):
        there.wherry.ok("network", "create", "--subnet", f"10.64.{part}.0/24", name)
    for name, network, address in (
        ("aa", "one", "10.64.1.9"), ("bb", "two", "10.64.2.9"), ("cc", "one", "10.64.1.10"),
    ):  # fmt: skip
        there.wherry.ok("run", "-d", "--name", name, "--network", network, "--ip", address, "busybox", "sleep", "600")
    lie = bytes.fromhex("020000000666")
    send = "import socket,sys\nlink=socket.socket(17,3);link.bind(('eth0',0))\nlink.send(bytes.fromhex(sys.argv[1]))\n"

    def claim(sender: str, claimed: str, told: str) -> str:
        frame = b"\xff" * 6 + lie + struct.pack(">HHHBBH", 0x806, 1, 0x800, 6, 4, 2)
        frame += lie + socket.inet_aton(claimed) + b"\xff" * 6 + socket.inet_aton(told)
        pid = there.wherry.ok("inspect", "-f", "{{.State.Pid}}", sender).strip()
        there.host.run("nsenter", f"--net=/proc/{pid}/ns/net", sys.executable, "-c", send, frame.hex())
        return there.host.run("ip", "neigh") + there.wherry.ok("exec", "aa", "ip", "neigh")

    for container in ("aa", "bb"):  # so that the host and each know the other
        gateway = "10.64.1.1" if container == "aa" else "10.64.2.1"
        there.wherry.ok("exec", container, "ping", "-c", "1", "-W", "5", gateway)
    assert "02:00:00:00:06:66" not in claim("bb", "10.64.1.1", "10.64.1.9")
    assert "02:00:00:00:06:66" not in claim("bb", "10.64.1.9", "10.64.1.1")
    wait_for(lambda: "02:00:00:00:06:66" in claim("cc", "10.64.1.1", "10.64.1.9"))
    there.wherry.ok("rm", "-f", "aa", "bb", "cc")
    there.wherry.ok("network", "rm", "one", "two")
