"""Networks as root's commands make them: Docker's walk-throughs, bad input, what is left afterwards."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from support import images, leaks, outside
from support.command import Wherry, wait_for
from support.networks import SLEEP, ips, place, reaches, subnet

pytestmark = pytest.mark.needs("root", "busybox", "iproute2")

ENDPOINT = "com.docker.network.endpoint"


def test_the_default_bridge(as_root: Wherry, up: Callable[..., str]) -> None:
    one, two = up(), up()
    (document,) = json.loads(as_root.ok("inspect", one))
    settings = document["NetworkSettings"]
    assert document["HostConfig"]["NetworkMode"] == "bridge"
    own = settings["Networks"]["bridge"]
    assert settings["IPAddress"] == own["IPAddress"] and settings["Gateway"] == own["Gateway"]
    assert ips(as_root, one) == [f"{own['IPAddress']}/{own['IPPrefixLen']}"]
    assert own["MacAddress"] in as_root.ok("exec", one, "ip", "link", "show", "eth0")
    assert os.path.exists(settings["SandboxKey"])
    assert f"{own['IPAddress']}\t{one[:12]}\n" in as_root.ok("exec", one, "cat", "/etc/hosts")
    other = str(place(as_root, two, "bridge")["IPAddress"])
    assert other != own["IPAddress"] and reaches(as_root, one, other) and reaches(as_root, one, own["Gateway"])
    (network,) = json.loads(as_root.ok("network", "inspect", "bridge"))
    assert set(network["Containers"]) == {one, two}
    assert network["Containers"][one]["IPv4Address"] == f"{own['IPAddress']}/{own['IPPrefixLen']}"
    assert network["Options"]["com.docker.network.bridge.default_bridge"] == "true"
    as_root.ok("stop", "-t", "0", one)
    assert place(as_root, one, "bridge")["IPAddress"] == ""
    as_root.ok("start", one)
    assert place(as_root, one, "bridge")["IPAddress"] == own["IPAddress"]  # the lowest that is free


def test_what_docker_shows_of_networks(as_root: Wherry, net: Callable[..., str]) -> None:
    name = net("--label", "tier=front", "--opt", "com.docker.network.driver.mtu=1400", "--subnet", f"{subnet()}.0/24")
    lines = [line.split() for line in as_root.ok("network", "ls").splitlines()]
    assert lines[0] == ["NETWORK", "ID", "NAME", "DRIVER", "SCOPE"]
    shown = {line[1]: line[2:] for line in lines[1:]}
    assert shown["bridge"] == ["bridge", "local"] and shown["host"] == ["host", "local"]
    assert shown["none"] == ["null", "local"] and shown[name] == ["bridge", "local"]
    form = ["--format", '{{.Name}} {{.Label "tier"}} {{.Internal}} {{.IPv6}}']
    assert as_root.ok("network", "ls", "--filter", "label=tier", *form) == f"{name} front false false\n"
    assert (
        as_root.ok("network", "ls", "-q", "--no-trunc", "-f", f"name={name}").strip()
        == as_root.ok("network", "inspect", "-f", "{{.Id}}", name).strip()
    )
    assert "bridge" not in as_root.ok("network", "ls", "-f", "type=custom", "--format", "{{.Name}}").split()
    (document,) = json.loads(as_root.ok("network", "inspect", name))
    assert document["IPAM"]["Config"] == [{"Subnet": f"{subnet()}.0/24", "Gateway": f"{subnet()}.1"}]
    assert document["Labels"] == {"tier": "front"} and document["Containers"] == {}
    missing = as_root("network", "inspect", "no-such-net")
    assert (missing.code, missing.out) == (1, "[]\n") and "network no-such-net not found" in missing.err
    assert as_root.ok("inspect", "--type", "network", "-f", "{{.Name}}", name) == f"{name}\n"


def test_connect_and_disconnect(as_root: Wherry, net: Callable[..., str], up: Callable[..., str]) -> None:
    first, second = net("--subnet", f"{subnet()}.0/25"), net("--subnet", f"{subnet()}.128/25")
    one = up("--network", first, "--ip", f"{subnet()}.20", "--network-alias", "a")
    two = up("--network", second, "--ip", f"{subnet()}.200")
    assert not reaches(as_root, one, f"{subnet()}.200")
    as_root.ok("network", "connect", "--ip", f"{subnet()}.201", "--alias", "b", second, one)
    assert ips(as_root, one) == [f"{subnet()}.20/25", f"{subnet()}.201/25"]
    assert reaches(as_root, one, f"{subnet()}.200") and reaches(as_root, two, f"{subnet()}.201")
    assert place(as_root, one, second)["Aliases"] == ["b"]
    again = as_root("network", "connect", second, one)
    assert again.code == 1 and f"already exists in network {second}" in again.err
    busy = as_root("network", "rm", second)
    assert busy.code == 1 and "has active endpoints" in busy.err
    as_root.ok("network", "disconnect", first, one)  # takes the default route to the other one
    assert ips(as_root, one) == [f"{subnet()}.201/25"]
    assert f"default via {subnet()}.129" in as_root.ok("exec", one, "ip", "route")
    not_there = as_root("network", "disconnect", first, one)
    assert not_there.code == 1 and f"is not connected to network {first}" in not_there.err
    as_root.ok("restart", "-t", "0", one)
    assert ips(as_root, one) == [f"{subnet()}.201/25"]


def test_a_container_that_is_not_running_is_connected_for_later(as_root: Wherry, net: Callable[..., str]) -> None:
    first, second = net(), net("--subnet", f"{subnet()}.0/24")
    name = as_root.ok("create", "--network", first, *SLEEP).strip()
    as_root.ok("network", "connect", "--ip", f"{subnet()}.77", second, name)
    as_root.ok("start", name)
    try:
        assert f"{subnet()}.77/24" in ips(as_root, name) and len(ips(as_root, name)) == 2
    finally:
        as_root.ok("rm", "-f", name)


def test_several_networks_at_once_and_who_has_the_way_out(
    as_root: Wherry, net: Callable[..., str], up: Callable[..., str]
) -> None:
    first, second = net("--subnet", f"{subnet()}.0/25"), net("--subnet", f"{subnet()}.128/25")
    plain = up("--network", first, "--network", second)
    assert f"default via {subnet()}.1 dev eth0" in as_root.ok("exec", plain, "ip", "route")
    other = up("--network", first, "--network", f"name={second},ip={subnet()}.190,gw-priority=1,alias=x")
    assert f"default via {subnet()}.129 dev eth1" in as_root.ok("exec", other, "ip", "route")
    assert f"{subnet()}.190/25" in ips(as_root, other)


def test_networks_are_apart_and_internal_ones_have_no_way_out(
    as_root: Wherry, net: Callable[..., str], up: Callable[..., str]
) -> None:
    inside, outside = net("--internal"), net()
    one, two = up("--network", inside), up("--network", outside)
    assert "default" not in as_root.ok("exec", one, "ip", "route")
    assert not reaches(as_root, two, str(place(as_root, one, inside)["IPAddress"]))
    same = up("--network", inside)
    assert reaches(as_root, same, str(place(as_root, one, inside)["IPAddress"]))


def test_without_icc_containers_do_not_reach_each_other(
    as_root: Wherry, net: Callable[..., str], up: Callable[..., str]
) -> None:
    name = net("-o", "com.docker.network.bridge.enable_icc=false")
    one, two = up("--network", name), up("--network", name)
    assert not reaches(as_root, one, str(place(as_root, two, name)["IPAddress"]))
    (document,) = json.loads(as_root.ok("network", "inspect", name))
    assert reaches(as_root, one, document["IPAM"]["Config"][0]["Gateway"])


def test_ipv6(as_root: Wherry, net: Callable[..., str], up: Callable[..., str]) -> None:
    name = net("--ipv6")
    one, two = up("--network", name), up("--network", name)
    address = str(place(as_root, two, name)["GlobalIPv6Address"])
    assert address.startswith("fd")
    assert as_root.ok("exec", one, "ping", "-6", "-c", "1", "-W", "2", address)
    plain = up()
    assert "inet6" not in as_root.ok("exec", plain, "ip", "addr", "show", "eth0")


def test_macvlan(as_root: Wherry, net: Callable[..., str], up: Callable[..., str]) -> None:
    link = f"wtm{os.getpid() % 100000}"
    subprocess.run(["ip", "link", "add", link, "type", "veth", "peer", "name", f"{link}p"], check=True)
    try:
        subprocess.run(["ip", "link", "set", link, "up"], check=True)
        subprocess.run(["ip", "link", "set", f"{link}p", "up"], check=True)
        name = net("-d", "macvlan", "-o", f"parent={link}", "--subnet", f"{subnet()}.0/24")
        one, two = up("--network", name), up("--network", name, "--mac-address", "02:00:00:00:00:99")
        assert ips(as_root, one) == [f"{subnet()}.2/24"]
        assert "02:00:00:00:00:99" in as_root.ok("exec", two, "ip", "link", "show", "eth0")
        assert reaches(as_root, one, f"{subnet()}.3")
        as_root.ok("rm", "-f", one, two)
    finally:
        subprocess.run(["ip", "link", "delete", link], check=True)


def test_parameters_are_set_before_interfaces_take_them(as_root: Wherry) -> None:
    options = ("--sysctl", "net.ipv4.conf.default.log_martians=1")
    path = "/proc/sys/net/ipv4/conf/eth0/log_martians"
    assert as_root.ok("run", "--rm", *options, "busybox", "cat", path) == "1\n"


def test_what_keeps_it_from_starting_is_told_and_its_interface_goes(as_root: Wherry, up: Callable[..., str]) -> None:
    """Interfaces are made while the container's file systems are, whichever of them fails."""
    up()
    before = {one["ifname"] for one in links()}
    result = as_root("run", "--rm", "-v", "/etc:/proc", "busybox", "true")
    assert result.code not in (0, 1)
    assert "proc" in result.err
    wait_for(lambda: {one["ifname"] for one in links()} <= before)


def links() -> list[dict[str, str]]:
    """Our ends of the containers' interfaces."""
    found = json.loads(subprocess.run(["ip", "-j", "link"], capture_output=True, text=True, check=True).stdout)
    return [one for one in found if one["ifname"].startswith("wv")]


def test_options_of_one_interface(as_root: Wherry, net: Callable[..., str], up: Callable[..., str]) -> None:
    """Its name, parameters of the kernel, link-local addresses: at the start, when connected, when started again."""
    martians = f"{ENDPOINT}.sysctls=net.ipv4.conf.IFNAME.log_martians=1,net.ipv6.conf.IFNAME.accept_ra=2"
    first, second = net("--ipv6"), net("--ipv6")
    one = up("--network", f'name={first},"driver-opt={martians}",driver-opt={ENDPOINT}.ifname=front0')
    options = ("--driver-opt", f'"{martians}"', "--driver-opt", f"{ENDPOINT}.ifname=back.0")
    addresses = ("--link-local-ip", "169.254.7.9", "--link-local-ip", "fe80::7:9")
    as_root.ok("network", "connect", *options, *addresses, second, one)
    for _ in range(2):
        for name in ("front0", "back.0"):
            value = f"cat /proc/sys/net/ipv4/conf/{name}/log_martians /proc/sys/net/ipv6/conf/{name}/accept_ra"
            assert as_root.ok("exec", one, "sh", "-c", value) == "1\n2\n"
        shown = as_root.ok("exec", one, "ip", "-o", "addr", "show", "dev", "back.0")
        assert "169.254.7.9/16" in shown and "fe80::7:9/64" in shown
        found = place(as_root, one, second)
        assert found["IPAMConfig"] == {"LinkLocalIPs": ["169.254.7.9", "fe80::7:9"]}
        assert found["DriverOpts"] == dict(text.strip('"').split("=", 1) for text in options[1::2])
        as_root.ok("restart", "-t", "0", one)
    taken = as_root("network", "connect", "--driver-opt", f"{ENDPOINT}.ifname=front0", "bridge", one)
    assert taken.code == 1 and "the container has an interface named front0 already" in taken.err
    as_root.ok("network", "disconnect", second, one)
    assert "back.0" not in as_root.ok("exec", one, "ip", "-o", "link")


def test_ipv6_alone_and_other_names_of_interfaces(as_root: Wherry, net: Callable[..., str]) -> None:
    part = f"fd{os.getpid() % 256:02x}:77"
    prefix = "com.docker.network.container_iface_prefix=lan"
    name = net("--attachable", "--ipv4=false", "--ipv6", "--subnet", f"{part}::/64", "-o", prefix)
    form = "{{.Attachable}} {{.EnableIPv4}} {{.EnableIPv6}}"
    assert as_root.ok("network", "inspect", "-f", form, name) == "true false true\n"
    place = ("--network", name, "--ip6", f"{part}::9")
    lines = as_root.ok("run", "--rm", *place, "busybox", "ip", "-o", "addr", "show", "dev", "lan0").splitlines()
    assert [line.split()[2:4] for line in lines if "scope global" in line] == [["inet6", f"{part}::9/64"]]
    assert not [line for line in lines if " inet " in line]


def test_ports_are_bound_and_packets_leave_as_the_network_says(
    as_root: Wherry, net: Callable[..., str], up: Callable[..., str]
) -> None:
    bridge = "com.docker.network.bridge"
    options = ("-o", f"{bridge}.host_binding_ipv4=127.0.0.9", "-o", f"{bridge}.enable_ip_masquerade=false")
    name = net("--subnet", f"{subnet()}.0/24", *options)
    one = up("--network", name, "--ip", f"{subnet()}.9", "-p", "80")
    assert as_root.ok("port", one, "80").startswith("127.0.0.9:")
    serve = "import socket; s = socket.create_server(('', 7)); print(flush=True); print(s.accept()[1][0])"
    with outside.host(6) as other:
        server = other.popen(sys.executable, "-c", serve, stdout=subprocess.PIPE)
        assert server.stdout is not None and server.stdout.readline() == b"\n"
        as_root.ok("exec", one, "nc", other.own, "7")
        assert server.communicate()[0].decode() == f"{subnet()}.9\n"


def test_two_containers_share_one(as_root: Wherry, up: Callable[..., str]) -> None:
    one = up()
    two = up("--network", f"container:{one}")
    assert ips(as_root, two) == ips(as_root, one)
    (document,) = json.loads(as_root.ok("inspect", two))
    assert document["NetworkSettings"]["Networks"] == {}
    refused = as_root("network", "connect", "bridge", two)
    assert refused.code == 1 and "sharing network namespace" in refused.err
    as_root.ok("rm", "-f", one)
    wait_for(lambda: ips(as_root, two) == [])  # its address may be somebody else's now


BAD = [
    (["bridge"], "operation is not permitted on predefined bridge network"),
    (["-d", "host", "x-net"], 'only one instance of "host" network is allowed'),
    (["-d", "nosuch", "x-net"], "plugin not found"),
    (["default"], "operation is not permitted on predefined default network"),
    ([" "], "invalid name: name is empty"),
    (["x-net\x1b[2J"], "characters that cannot be printed"),
    (["--subnet", "10.1.2.3", "x-net"], "invalid CIDR address: 10.1.2.3"),
    (["--subnet", "10.1.2.3/24", "x-net"], "invalid subnet 10.1.2.3/24: it should be 10.1.2.0/24"),
    (["--gateway", "10.1.2.1", "x-net"], "every ip-range or gateway must have a corresponding subnet"),
    (["--subnet", "10.1.2.0/24", "--gateway", "10.1.3.1", "x-net"], "no matching subnet for gateway 10.1.3.1"),
    (["--subnet", "10.1.2.0/24", "--ip-range", "10.1.3.0/25", "x-net"], "no matching subnet for range 10.1.3.0/25"),
    (
        ["--subnet", "10.1.2.0/24", "--aux-address", "r=10.9.9.9", "x-net"],
        "no matching subnet for aux-address 10.9.9.9",
    ),
    (["--subnet", "127.0.0.0/24", "x-net"], "Pool overlaps with other one on this address space"),
    (["--opt", "com.docker.network.bridge.nonsense=1", "x-net"], "is not supported by the driver bridge"),
    (["--opt", "com.docker.network.bridge.name=lo", "x-net"], "an interface named lo is there already"),
    (["--opt", "com.docker.network.driver.mtu=1", "x-net"], "a number from 68 to 65535"),
    (["-d", "macvlan", "-o", "parent=nosuch0", "x-net"], "the interface does not exist"),
    (["-d", "macvlan", "-o", "parent=nosuch0.10", "x-net"], "-o parent interface was not found on the host: nosuch0"),
    (["-d", "ipvlan", "-o", "parent=.10", "x-net"], "-o parent interface was not found on the host: .10"),
    (["-d", "ipvlan", "-o", "parent=lo.0", "x-net"], "vlan id must be between 1-4094, received: 0"),
    (["-d", "ipvlan", "-o", "parent=lo.4095", "x-net"], "vlan id must be between 1-4094, received: 4095"),
    (["-d", "ipvlan", "-o", "parent=lo.x", "x-net"], "unable to parse a valid vlan id from: x"),
    (["-d", "ipvlan", "-o", "parent=lo.1.2", "x-net"], "required interface name format is: name.vlan_id"),
    (["-d", "macvlan", "-o", "parent=lo", "x-net"], "loopback interface is not a valid macvlan parent link"),
    (["-d", "macvlan", "-o", "macvlan_mode=l2", "x-net"], "unknown macvlan_mode l2"),
    (["-d", "ipvlan", "-o", "ipvlan_flag=l2", "x-net"], "unknown ipvlan_flag l2"),
    (["-d", "ipvlan", "-o", "macvlan_mode=bridge", "x-net"], "is not supported by the driver ipvlan"),
]


@pytest.mark.parametrize(("arguments", "message"), BAD, ids=[message[:40] for _arguments, message in BAD])
def test_networks_that_cannot_be(as_root: Wherry, arguments: list[str], message: str) -> None:
    before = set(os.listdir("/sys/class/net")) & leaks.interfaces_of(as_root.directory)
    done = as_root("network", "create", *arguments)
    assert done.code == 1 and message in done.err, str(done)
    assert as_root.ok("network", "ls", "-q", "--filter", "name=x-net") == ""
    assert leaks.interfaces_of(as_root.directory) <= before  # one that nobody uses any more may go meanwhile


def test_a_subnet_of_a_family_that_the_network_does_not_have(
    as_root: Wherry, net: Callable[..., str], up: Callable[..., str]
) -> None:
    """It is kept, and an address in it may be asked for; nobody has one."""
    name = net("--subnet", f"{subnet()}.0/24")
    made = as_root("network", "create", "--subnet", "2001:db8:9::/64", "--gateway", "2001:db8:9::1", f"{name}-six")
    try:
        assert made.code == 0 and "WARNING: the subnet 2001:db8:9::/64 is not used: IPv6 is not enabled" in made.err
        (document,) = json.loads(as_root.ok("network", "inspect", f"{name}-six"))
        four, six = document["IPAM"]["Config"]
        assert not document["EnableIPv6"] and ":" not in four["Subnet"]
        assert six == {"Subnet": "2001:db8:9::/64", "Gateway": "2001:db8:9::1"}
        one = up("--network", f"name={name}-six,ip6=2001:db8:9::7")
        own = place(as_root, one, f"{name}-six")
        assert own["IPAMConfig"] == {"IPv6Address": "2001:db8:9::7"} and own["GlobalIPv6Address"] == ""
        assert [address for address in ips(as_root, one) if ":" in address] == []
        refused = as_root("run", "--rm", "--network", f"name={name}-six,ip6=2001:db8:a::7", "busybox", "true")
        assert refused.code == 125 and "no configured subnet or ip-range contain the IP address" in refused.err
        again = as_root("network", "create", "--subnet", "2001:db8:9::/64", f"{name}-more")  # it is nobody's
        assert again.code == 0, str(again)
        as_root.ok("network", "rm", f"{name}-more")
        as_root.ok("rm", "-f", one)
    finally:
        as_root("network", "rm", f"{name}-six")


def test_what_a_network_may_be_called(as_root: Wherry, net: Callable[..., str], up: Callable[..., str]) -> None:
    """Whatever is not blank, as in Docker: names are looked up, and nothing is made of them."""
    base = net()
    for name in (f"{base} of ours", f"{base}/../../etc", f'{base}"; add table x', f"{base}-{'long' * 80}", f"{base}-é"):
        as_root.ok("network", "create", name)
        try:
            one = up("--network", name)
            assert place(as_root, one, name)["IPAddress"]
            assert as_root.ok("network", "inspect", "-f", "{{.Name}}", name) == f"{name}\n"
            own = place(as_root, one, name)["IPAddress"]
            looked_up = as_root("exec", one, "nslookup", str(own))  # the server goes on after a name that does not fit
            assert "timed out" not in looked_up.out + looked_up.err, str(looked_up)
            assert str(own) in as_root.ok("exec", one, "nslookup", one[:12])
            as_root.ok("rm", "-f", one)
        finally:
            as_root.ok("network", "rm", name)


def test_names_and_subnets_are_taken_once(as_root: Wherry, net: Callable[..., str]) -> None:
    name = net("--subnet", f"{subnet()}.0/24")
    twice = as_root("network", "create", name)
    assert twice.code == 1 and f"network with name {name} already exists" in twice.err
    overlapping = as_root("network", "create", "--subnet", f"{subnet()}.0/25", "x-net")
    assert overlapping.code == 1 and "Pool overlaps with other one on this address space" in overlapping.err


def test_addresses_run_out(as_root: Wherry, net: Callable[..., str], up: Callable[..., str]) -> None:
    name = net("--subnet", f"{subnet()}.0/30")
    one = up("--network", name)
    full = as_root("run", "--rm", "--network", name, "busybox", "true")
    assert full.code == 125 and "no available IPv4 addresses on this network's address pools" in full.err
    taken = as_root("run", "--rm", "--network", name, "--ip", f"{subnet()}.2", "busybox", "true")
    assert taken.code == 125 and "Address already in use" in taken.err
    as_root.ok("rm", "-f", one)
    assert as_root("run", "--rm", "--network", name, "--ip", f"{subnet()}.2", "busybox", "true").code == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--network", "no-such"], "network no-such not found"),
        (["--ip", "172.17.0.9"], "user specified IP address is supported on user defined networks only"),
        (["--network-alias", "x"], "network-scoped aliases are only supported for user-defined networks"),
        (["--network", "host", "--ip", "10.0.0.9"], "user specified IP address is supported on user defined networks"),
        (["--network", "host", "--link", "x"], "conflicting options: addresses and names, and the network mode host"),
        (["--network", f"name=bridge,driver-opt={ENDPOINT}.a=b"], f"the driver option {ENDPOINT}.a of an endpoint"),
        (["--network", f"name=bridge,driver-opt={ENDPOINT}.sysctls=kernel.x=1"], "invalid sysctl setting 'kernel.x=1'"),
        (
            ["--network", f"name=bridge,driver-opt={ENDPOINT}.sysctls=net.ipv4.conf.IFNAME.nosuch=1"],
            "unable to set sysctl net/ipv4/conf/eth0/nosuch to 1: no such file or directory",
        ),
        (["--network", f"name=bridge,driver-opt={ENDPOINT}.ifname=a/b"], "invalid interface name: 'a/b'"),
        (["--link-local-ip", "10.0.0.1"], "invalid link-local IP address: 10.0.0.1"),
        (["--link-local-ip", "fe80::9"], "invalid link-local address fe80::9/64: network bridge has no IPv6"),
        (["--link", "no-such"], "No such container: no-such"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_places_that_cannot_be(as_root: Wherry, options: list[str], message: str) -> None:
    done = as_root("run", "--rm", *options, "busybox", "echo", "ran")
    assert (done.code, done.out) == (125, "") and message in done.err, str(done)


def test_prune(wherry: Wherry, busybox: images.Built, tmp_path: Path) -> None:
    wherry.load(busybox.docker_archive(tmp_path / "busybox.tar", "busybox:latest"))
    for name in ("used", "unused", "labelled"):
        wherry.ok("network", "create", *(["--label", "keep"] if name == "labelled" else []), name)
    wherry.ok("run", "-d", "--name", "cc", "--network", "used", *SLEEP)
    assert wherry("network", "prune", input="n\n").out.endswith("[y/N] ")
    assert wherry.ok("network", "prune", "-f", "--filter", "label!=keep") == "Deleted Networks:\nunused\n\n"
    wherry.ok("rm", "-f", "cc")
    assert wherry.ok("network", "prune", "-f") == "Deleted Networks:\nlabelled\nused\n\n"
    assert wherry.ok("network", "rm", "-f", "used") == "used\n"
    predefined = wherry("network", "rm", "bridge")
    assert predefined.code == 1 and "bridge is a pre-defined network and cannot be removed" in predefined.err


def test_a_bridge_that_somebody_removed_is_made_again(as_root: Wherry, net: Callable[..., str]) -> None:
    name = net("--subnet", f"{subnet()}.0/24")
    identity = as_root.ok("network", "inspect", "-f", "{{.Id}}", name).strip()
    subprocess.run(["ip", "link", "delete", f"wh-{identity[:12]}"], check=True)
    assert "inet" in as_root.ok("run", "--rm", "--network", name, "busybox", "ip", "addr", "show", "eth0")


def test_a_bridge_has_the_name_that_was_asked_for(net: Callable[..., str]) -> None:
    name = f"wtb{os.getpid() % 100000}"
    net("-o", f"com.docker.network.bridge.name={name}")
    assert os.path.exists(f"/sys/class/net/{name}/bridge")


@pytest.mark.parametrize("seconds", [0.0, 0.02, 0.035, 0.05, 0.08])
def test_killed_at_any_moment(wherry: Wherry, busybox: images.Built, tmp_path: Path, seconds: float) -> None:
    wherry.load(busybox.docker_archive(tmp_path / "busybox.tar", "busybox:latest"))
    command = wherry.popen("run", "--rm", "-p", "127.0.0.1::80", *SLEEP)
    time.sleep(seconds)  # any moment will do: nothing is waited for
    deadline = time.monotonic() + 10
    while (pids := leaks.processes_of(wherry.directory)) and time.monotonic() < deadline:
        for pid in pids:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
    command.communicate()
    wherry.ok("ps", "-a")  # sweeps
    assert not leaks.settled(wherry.directory)
    assert wherry.ok("run", "--rm", "busybox", "echo", "goes on") == "goes on\n"


def test_the_default_bridge_waits_for_the_next_container(wherry: Wherry, busybox: images.Built, tmp_path: Path) -> None:
    """Making one costs more than all else that is done for a network."""
    (wherry.directory / "config" / "networks.toml").write_text("keep-bridge = 3\n")
    wherry.load(busybox.docker_archive(tmp_path / "busybox.tar", "busybox"))
    found = []
    for _ in range(2):
        identity = wherry.ok("run", "-d", "--rm", "busybox", "true").strip()
        (bridge,) = [name for name in leaks.interfaces_of(wherry.directory) if name.startswith("wh-")]
        wait_for(lambda: not (wherry.run_root / "containers" / identity).exists())  # noqa: B023 - called at once
        found.append(Path(f"/sys/class/net/{bridge}/ifindex").read_text())
    assert found[0] == found[1]


def test_many_come_and_go(wherry: Wherry, busybox: images.Built, tmp_path: Path) -> None:
    """Two hundred, half of them on a network of their user's, with ports."""
    wherry.load(busybox.docker_archive(tmp_path / "busybox.tar", "busybox:latest"))
    wherry.ok("network", "create", "crowd")

    def one(number: int) -> str:
        options = ["--network", "crowd", "-p", "80"] if number % 2 else []
        script = "ip -o addr show eth0"
        return wherry.ok("run", "--rm", *options, "busybox", "sh", "-c", script)

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(one, range(200)))
    assert all("inet" in text for text in found)
    wherry.ok("network", "rm", "crowd")
    assert wherry.ok("ps", "-aq") == ""
    assert not leaks.settled(wherry.directory, timeout=20)
