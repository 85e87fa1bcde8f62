"""Subnets and addresses, against the standard library's ``ipaddress``."""

from __future__ import annotations

import ipaddress

import pytest

from wherry.errors import InvalidArgument, StorageFull
from wherry.network.addresses import (
    DEFAULT_POOLS,
    Pool,
    Range,
    first_host,
    free_address,
    free_subnet,
    mac_of,
    normal,
    private_ipv6,
)
from wherry.network.model import Subnet


@pytest.mark.parametrize("text", ["172.17.0.0/16", "10.1.2.3/8", "192.168.1.77/31", "1.2.3.4/32", "fd00::9/64", "::/0"])
def test_ranges_are_those_of_ipaddress(text: str) -> None:
    theirs = ipaddress.ip_network(text, strict=False)
    ours = Range(text)
    assert (ours.first, ours.last) == (int(theirs.network_address), int(theirs.broadcast_address))
    assert ours.text == str(theirs)
    for other in ("172.16.0.0/12", "10.1.0.0/16", "192.168.1.0/24", "0.0.0.0/0", "fd00::/8", "::1/128"):
        their_other = ipaddress.ip_network(other)
        assert ours.overlaps(Range(other)) == (theirs.version == their_other.version and theirs.overlaps(their_other))


@pytest.mark.parametrize("text", ["", "10.0.0.0", "10.0.0.0/33", "10.0.0/8", "fd00::/129", "10.0.0.0/x", "a/8", "/8"])
def test_what_is_no_range_is_refused(text: str) -> None:
    with pytest.raises(InvalidArgument):
        Range(text)


def test_first_host() -> None:
    assert first_host("172.17.0.0/16") == "172.17.0.1"
    assert first_host("fd00:1::/64") == "fd00:1::1"
    assert first_host("10.0.0.4/31") == "10.0.0.4"


def test_pools_are_divided_and_what_is_taken_is_avoided() -> None:
    assert free_subnet(DEFAULT_POOLS, []) == "172.17.0.0/16"
    assert free_subnet(DEFAULT_POOLS, ["172.16.0.0/14", "fd00::/8"]) == "172.20.0.0/16"
    assert free_subnet(DEFAULT_POOLS, ["172.16.0.0/12", "192.168.17.0/24"]) == "192.168.0.0/20"
    assert free_subnet(DEFAULT_POOLS, ["172.16.0.0/12", "192.168.15.0/24"]) == "192.168.16.0/20"
    pools = [Pool("10.0.0.0/30", 31)]
    assert free_subnet(pools, ["10.0.0.0/31"]) == "10.0.0.2/31"
    with pytest.raises(StorageFull, match="all predefined address pools have been fully subnetted"):
        free_subnet(pools, ["10.0.0.0/8"])


def test_addresses_are_given_from_the_lowest_and_the_network_s_own_never() -> None:
    subnet = Subnet("10.0.0.0/29", "10.0.0.1", aux_addresses=(("router", "10.0.0.3"),))
    given: list[str] = []
    for _ in range(4):
        given.append(free_address(subnet, given))
    assert given == ["10.0.0.2", "10.0.0.4", "10.0.0.5", "10.0.0.6"]
    with pytest.raises(StorageFull, match="no available IPv4 addresses on this network's address pools"):
        free_address(subnet, given)
    assert free_address(subnet.replace(ip_range="10.0.0.4/30"), []) == "10.0.0.4"
    assert free_address(Subnet("fd00::/64", "fd00::1"), ["fd00::2"]) == "fd00::3"
    assert free_address(Subnet("10.0.0.8/31", ""), []) == "10.0.0.8"


def test_a_wanted_address_must_be_free_and_of_the_subnet() -> None:
    subnet = Subnet("10.0.0.0/29", "10.0.0.1", ip_range="10.0.0.4/30")
    assert free_address(subnet, [], "10.0.0.2") == "10.0.0.2"
    for taken in ("10.0.0.1", "10.0.0.2", "10.0.0.0", "10.0.0.7"):
        with pytest.raises(InvalidArgument, match="Address already in use"):
            free_address(subnet, ["10.0.0.2"], taken)
    with pytest.raises(InvalidArgument, match="not in the subnet"):
        free_address(subnet, [], "10.0.0.8")


def test_the_rest() -> None:
    assert mac_of("172.17.0.2") == "02:42:ac:11:00:02"
    assert mac_of("")[:6] == "02:42:" and mac_of("") != mac_of("")
    assert normal("fd00:0:0::1") == "fd00::1"
    assert private_ipv6("0123456789abcdef" * 4) == "fd01:2345:6789:abcd::/64"
    with pytest.raises(InvalidArgument, match=r"invalid IP address: 1\.2\.3"):
        normal("1.2.3")
