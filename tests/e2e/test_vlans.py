"""Networks on interfaces of the host, and on VLANs and others that are made for them.

Few kernels in virtual machines have all of these: tests/kernel/test_network_vm.py boots one that has, and runs this
there.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
from collections.abc import Callable, Iterator
from struct import unpack_from
from typing import Any

import pytest

from support import leaks
from support.command import Wherry
from support.networks import subnet

pytestmark = pytest.mark.needs("root", "busybox", "iproute2", "ipvlan", "vlan")

WIRE = f"wtv{os.getpid() % 10000}"  # whose other end is WIRE + "x"
AUXDATA, SOL_PACKET = 8, 263  # PACKET_AUXDATA: see packet(7)
ALL_FRAMES = 3
SYSCTLS = "com.docker.network.endpoint.sysctls"


def ip(*words: str) -> Any:
    done = subprocess.run(["ip", "-d", "-j", *words], check=True, capture_output=True, text=True)
    return json.loads(done.stdout or "[]")


def there(name: str) -> bool:
    return os.path.exists(f"/sys/class/net/{name}")


@pytest.fixture(autouse=True)
def wire() -> Iterator[None]:
    """A cable between two interfaces of this host, both up."""
    ip("link", "add", WIRE, "type", "veth", "peer", "name", f"{WIRE}x")
    ip("link", "set", WIRE, "up")
    ip("link", "set", f"{WIRE}x", "up")
    before = set(os.listdir("/sys/class/net"))
    yield
    left = set(os.listdir("/sys/class/net")) - before
    ip("link", "delete", WIRE)
    assert not {name for name in left if not name.startswith(("wh", "wv"))}  # the default bridge goes a moment later


def inside(wherry: Wherry, container: str, *words: str) -> Any:
    """What `ip -j` says in a container's network."""
    pid = wherry.ok("inspect", "-f", "{{.State.Pid}}", container).strip()
    command = ["nsenter", f"--net=/proc/{pid}/ns/net", "ip", "-d", "-j", *words]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def vlan_of_next_frame(listener: socket.socket) -> int:
    """The VLAN that the next frame with a tag carries; the kernel shows tags beside what it received."""
    while True:
        _data, extra, _flags, _address = listener.recvmsg(2048, 256)
        for level, kind, content in extra:
            if (level, kind) == (SOL_PACKET, AUXDATA):
                (status,) = unpack_from("=I", content)
                if status & 0x10:  # TP_STATUS_VLAN_VALID
                    return int(unpack_from("=H", content, 16)[0]) & 0xFFF


@pytest.mark.parametrize(("driver", "mode"), [("macvlan", "bridge"), ("ipvlan", "l2"), ("ipvlan", "l3")])
def test_containers_on_a_vlan(as_root: Wherry, net: Callable[..., str], driver: str, mode: str) -> None:
    vlan, own = f"{WIRE}.10", subnet()
    options = ("-o", f"parent={vlan}", "-o", f"{driver}_mode={mode}", "--subnet", f"{own}.0/24")
    name = net("-d", driver, *options, "--ipv6", "--subnet", "fd77:5::/64", "-o", "mtu=1400")
    ip("link", "delete", vlan)  # as a restart of the machine does: it is made again
    place = ("--network", name, "--network-alias", "server", "--ip", f"{own}.77", "--ip6", "fd77:5::77")
    one = as_root.ok("run", "-d", *place, "busybox", "nc", "-ll", "-p", "9", "-e", "echo", "heard").strip()
    (made,) = ip("link", "show", "dev", vlan)
    assert (made["link"], made["linkinfo"]["info_kind"], made["linkinfo"]["info_data"]["id"]) == (WIRE, "vlan", 10)
    assert "UP" in made["flags"] and made["ifalias"] == f"{leaks.table_name(as_root.directory)} network"
    (link,) = inside(as_root, one, "address", "show", "dev", "eth0")
    assert link["linkinfo"]["info_kind"] == driver and link["linkinfo"]["info_data"]["mode"] == mode
    assert link["mtu"] == 1400 and {f"{own}.77", "fd77:5::77"} <= {info["local"] for info in link["addr_info"]}
    outside = f"{own}.200" if mode != "l3" else "198.18.0.9"
    script = f"""ping -c 1 -W 9 server >&2 && ping -6 -c 1 -W 9 fd77:5::77 >&2 && nc {own}.77 9
    ip -o -4 addr show dev eth0 | grep -o 'inet [^ ]*'; ip route show default; ping -c 1 -W 1 {outside} >&2"""
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ALL_FRAMES)) as listener:
        listener.bind((f"{WIRE}x", ALL_FRAMES))
        listener.setsockopt(SOL_PACKET, AUXDATA, 1)
        listener.settimeout(60)
        two = as_root("run", "--rm", "--network", name, "busybox", "sh", "-c", script)
        assert vlan_of_next_frame(listener) == 10
    gateway = "" if mode == "l3" else f"via {own}.1 "
    shown = [line.strip() for line in two.out.splitlines()]
    assert shown[:2] == ["heard", f"inet {own}.2/24"] and shown[2].startswith(f"default {gateway}dev eth0"), str(two)
    as_root.ok("rm", "-f", one)
    assert there(vlan)
    as_root.ok("network", "rm", name)
    assert not there(vlan)


def test_the_last_network_takes_along_what_was_made_for_the_first(as_root: Wherry, net: Callable[..., str]) -> None:
    vlan = f"{WIRE}.20"
    first, second = net("-d", "macvlan", "-o", f"parent={vlan}"), net("-d", "macvlan", "-o", f"parent={vlan}")
    as_root.ok("network", "rm", first)
    assert there(vlan)
    as_root.ok("network", "rm", second)
    assert not there(vlan)


def test_without_a_parent_it_leads_nowhere(as_root: Wherry, net: Callable[..., str], up: Callable[..., str]) -> None:
    name = net("-d", "macvlan", "--subnet", f"{subnet()}.0/24")
    (own,) = [name for name, label in leaks.labels() if label == f"{leaks.table_name(as_root.directory)} network"]
    assert own.startswith("dm-") and ip("link", "show", "dev", own)[0]["linkinfo"]["info_kind"] == "dummy"
    one = up("--network", name)
    script = f"ping -c 1 -W 2 {subnet()}.1 >&2; ip route | grep default || true"
    assert as_root.ok("run", "--rm", "--network", name, "busybox", "sh", "-c", script) == ""
    as_root.ok("rm", "-f", one)
    as_root.ok("network", "rm", name)
    assert not there(own)


def test_check_finds_what_a_network_left(as_root: Wherry) -> None:
    ip("link", "add", "link", WIRE, "name", f"{WIRE}.50", "type", "vlan", "id", "50")
    ip("link", "set", f"{WIRE}.50", "alias", f"{leaks.table_name(as_root.directory)} network")
    found = as_root("system", "check", "--repair")
    assert f"the interface of a network that is gone: {WIRE}.50" in found.out, str(found)
    assert not there(f"{WIRE}.50")


def test_the_way_out_moves_between_a_bridge_and_an_ipvlan(
    as_root: Wherry, net: Callable[..., str], up: Callable[..., str]
) -> None:
    layer3, plain = net("-d", "ipvlan", "-o", f"parent={WIRE}", "-o", "ipvlan_mode=l3"), net()
    wide = net("-d", "macvlan", "-o", f"parent={WIRE}")
    one = up("--network", plain)
    as_root.ok("network", "connect", "--gw-priority", "1", layer3, one)
    (route,) = inside(as_root, one, "route", "show", "default")
    assert route["dev"] == "eth1" and "gateway" not in route
    both = as_root("network", "connect", wide, one)
    assert both.code == 1 and f"the parent interface {WIRE} of network {wide} is in use" in both.err
    as_root.ok("network", "disconnect", layer3, one)
    (route,) = inside(as_root, one, "route", "show", "default")
    assert route["dev"] == "eth0" and "gateway" in route
    wrong = as_root("network", "connect", "--driver-opt", f"{SYSCTLS}=net.ipv4.conf.IFNAME.nosuch=1", wide, one)
    assert wrong.code == 1 and "unable to set sysctl" in wrong.err
    assert [link["ifname"] for link in inside(as_root, one, "link")] == ["lo", "eth0"]
