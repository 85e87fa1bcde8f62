"""The values of the network package."""

from __future__ import annotations

from wherry.network.model import Network, Subnet


def test_a_network_finds_its_subnets_by_family() -> None:
    four, six = Subnet("172.18.0.0/16", "172.18.0.1"), Subnet("fd00:1::/64", "fd00:1::1")
    network = Network("a" * 64, "web", subnets=(six, four), enable_ipv6=True)
    assert network.ipv4 == four
    assert network.ipv6 == six
    assert (four.prefix_length, six.prefix_length) == (16, 64)
    assert Network("b" * 64, "none", driver="null").ipv4 is None
