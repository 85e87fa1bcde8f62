"""`wherry.linux.netlink` and `wherry.linux.links` against iproute2, in network namespaces of their own."""

from __future__ import annotations

import json
import subprocess
import textwrap
from pathlib import Path
from typing import Any

import pytest

from support.bundle import PYTHON

SOURCE = Path(__file__).parents[2] / "src"
pytestmark = pytest.mark.needs("root", "iproute2")

HEAD = f"""
import json, os, subprocess, sys
sys.path.insert(0, {str(SOURCE)!r})
from wherry.linux import links, namespaces
from wherry.linux.netlink import NetlinkFailure, Socket
def ip(*words):
    print(subprocess.run(["ip", "-d", "-j", *words], check=True, capture_output=True, text=True).stdout.strip())
def names():
    return {{link.name: link for link in links.links(socket)}}
namespaces.unshare(namespaces.CLONE_NEWNET)
here = os.open("/proc/self/ns/net", os.O_RDONLY)
namespaces.unshare(namespaces.CLONE_NEWNET)
inner = Socket()
namespaces.enter(here, namespaces.CLONE_NEWNET)
socket = Socket()
"""


def run(code: str) -> list[Any]:
    """What a program prints, line by line as JSON; it starts in a new namespace, ``inner`` speaks for another."""
    command = [PYTHON, "-I", "-S", "-c", HEAD + textwrap.dedent(code)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines() if line]


def test_a_container_end_to_end() -> None:
    made, inside, addresses, routes = run("""
        socket.do(links.bridge("br0", mac="02:42:00:00:00:01", mtu=1400), links.up("br0"))
        index = links.find(socket, "br0").index
        socket.do(links.address(index, "10.9.0.1/24"), links.address(index, "fd09::1/64"))
        inner.do(
            links.veth("eth0", 7, "peer0", here, mac="02:42:0a:09:00:02", mtu=1400),
            links.up(1),
            links.up(7),
            links.address(7, "10.9.0.2/24"),
            links.address(7, "fd09::2/64"),
            links.route("10.9.0.1", index=7),
            links.route("fd09::1", index=7),
        )
        socket.do(links.join("peer0", index), links.port("peer0", hairpin=True, isolated=True))
        ip("link")
        print(json.dumps([one.as_dict() for one in links.links(inner)]))
        print(json.dumps([one.as_dict() for one in links.addresses(inner)]))
        print(json.dumps([one.as_dict() for one in links.routes(inner)]))
    """)
    by_name = {link["ifname"]: link for link in made}
    bridge, peer = by_name["br0"], by_name["peer0"]
    assert (bridge["linkinfo"]["info_kind"], bridge["address"], bridge["mtu"]) == ("bridge", "02:42:00:00:00:01", 1400)
    assert "UP" in bridge["flags"]
    assert bridge["linkinfo"]["info_data"]["stp_state"] == 0
    assert (peer["master"], peer["mtu"], peer["linkinfo"]["info_kind"]) == ("br0", 1400, "veth")
    port = peer["linkinfo"]["info_slave_data"]
    assert (port["state"], port["hairpin"], port["isolated"]) == ("forwarding", True, True)
    eth0 = next(link for link in inside if link["name"] == "eth0")
    assert (eth0["index"], eth0["mac"], eth0["up"], eth0["kind"]) == (7, "02:42:0a:09:00:02", True, "veth")
    assert next(link for link in inside if link["name"] == "lo")["up"]
    assert {"10.9.0.2/24", "fd09::2/64", "127.0.0.1/8", "::1/128"} <= {one["address"] for one in addresses}
    assert {"destination": "", "index": 7, "gateway": "10.9.0.1", "is_ipv6": False} in routes
    assert {"destination": "", "index": 7, "gateway": "fd09::1", "is_ipv6": True} in routes
    assert {"destination": "10.9.0.0/24", "index": 7, "gateway": "", "is_ipv6": False} in routes


def test_what_is_listed_is_what_iproute2_lists() -> None:
    ours, theirs, our_addresses, their_addresses, our_routes, their_routes = run("""
        socket.do(links.bridge("d0"), links.bridge("b0"), links.up("lo"), links.up("d0"))
        socket.do(links.address(2, "10.1.0.1/31"), links.address(2, "fd01::1/64"))
        socket.do(links.device_route("10.2.0.0/16", 2), links.route("10.1.0.0", index=2))
        print(json.dumps([[one.index, one.name, one.kind, one.mac, one.mtu, one.up] for one in links.links(socket)]))
        ip("link")
        print(json.dumps(sorted(one.address for one in links.addresses(socket))))
        ip("address")
        print(json.dumps(sorted([one.destination, one.gateway] for one in links.routes(socket))))
        ip("-4", "route", "show", "table", "main")
    """)
    assert [one[1] for one in ours] == ["lo", "d0", "b0"]
    for index, name, kind, mac, mtu, up in ours:
        link = next(one for one in theirs if one["ifname"] == name)
        assert (link["ifindex"], link["address"], link["mtu"], "UP" in link["flags"]) == (index, mac, mtu, up)
        assert link.get("linkinfo", {}).get("info_kind", "") == kind
    listed = [f"{info['local']}/{info['prefixlen']}" for link in their_addresses for info in link["addr_info"]]
    assert our_addresses == sorted(listed)
    assert {"10.1.0.1/31", "fd01::1/64"} <= set(our_addresses)
    ipv4 = [route for route in our_routes if ":" not in route[0] + route[1]]
    wanted = [["" if r["dst"] == "default" else r["dst"], r.get("gateway", "")] for r in their_routes]
    assert ipv4 == sorted(wanted)
    assert ["10.2.0.0/16", ""] in ipv4 and ["", "10.1.0.0"] in ipv4


def test_a_broadcast_address_is_that_of_the_subnet() -> None:
    (found,) = run("""
        socket.do(links.bridge("d0"), links.address(2, "10.1.2.3/20"))
        ip("-4", "address", "show", "dev", "d0")
    """)
    assert found[0]["addr_info"][0]["broadcast"] == "10.1.15.255"


@pytest.mark.parametrize("kind", ["macvlan", pytest.param("ipvlan", marks=pytest.mark.needs("ipvlan"))])
def test_children_of_an_interface_go_into_another_namespace(kind: str) -> None:
    mode = {"macvlan": "private", "ipvlan": "l3"}[kind]
    (found,) = run(f"""
        socket.do(links.bridge("d0"))
        there = os.open("/proc/self/ns/net", os.O_RDONLY)
        namespaces.unshare(namespaces.CLONE_NEWNET)
        inner = Socket()
        there = os.open("/proc/self/ns/net", os.O_RDONLY)
        socket.do(links.{kind}("eth0", 2, "{mode}", there, mtu=1300))
        index = links.find(inner, "eth0").index
        inner.do(links.address(index, "10.1.0.9/24"), links.up("eth0"), links.device_route("0.0.0.0/0", index))
        ip("link", "show", "dev", "eth0")
    """)
    info = found[0]["linkinfo"]
    assert (info["info_kind"], info["info_data"]["mode"], found[0]["mtu"]) == (kind, mode, 1300)
    assert "UP" in found[0]["flags"]


@pytest.mark.needs("vlan")
def test_a_vlan_is_an_interface_on_another() -> None:
    (found,) = run("""
        socket.do(links.bridge("d0"), links.up("d0"), links.vlan("d0.5", 2, 5))
        ip("link", "show", "dev", "d0.5")
    """)
    assert found[0]["linkinfo"]["info_data"]["id"] == 5


def test_interfaces_are_renamed_and_removed() -> None:
    before, after = run("""
        socket.do(links.bridge("d0"), links.down("d0"), links.rename(2, "d1"))
        print(json.dumps(sorted(names())))
        socket.do(links.delete("d1"))
        assert links.find(socket, "d1") is None
        print(json.dumps(sorted(names())))
    """)
    assert (before, after) == (["d1", "lo"], ["lo"])


def test_the_first_failure_of_several_requests_is_told_and_the_rest_is_done() -> None:
    message, errno, left = run("""
        try:
            socket.do(links.bridge("d0"), links.bridge("d0"), links.address(99, "10.0.0.1/8"), links.bridge("d1"))
        except NetlinkFailure as failure:
            print(json.dumps(str(failure)))
            print(json.dumps(failure.errno))
        print(json.dumps(sorted(names())))
    """)
    assert (message, errno) == ("create the bridge d0: netlink: file exists", 17)
    assert left == ["d0", "d1", "lo"]


def test_the_kernel_s_own_words_are_in_the_error() -> None:
    (message,) = run("""
        try:
            socket.do(links.bridge("d0"), links.address(2, "10.0.0.1/8"), links.route("172.30.0.1", index=2))
        except NetlinkFailure as failure:
            print(json.dumps(str(failure)))
    """)
    assert message == "set the default route by way of 172.30.0.1: Nexthop has invalid gateway (network is unreachable)"


def test_hundreds_of_interfaces_are_listed() -> None:
    (count,) = run("""
        for first in range(0, 300, 50):
            socket.do(*[links.bridge(f"d{number}") for number in range(first, first + 50)])
        print(len(links.links(socket)))
    """)
    assert count == 301
