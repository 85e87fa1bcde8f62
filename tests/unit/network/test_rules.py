"""Published ports and subnets as elements."""

from __future__ import annotations

from socket import inet_aton

import pytest

from wherry.network.firewall import DEFAULT_TABLE, table_name
from wherry.network.model import Network, PublishedPort, Subnet
from wherry.network.rules import entering, interval, ports


def port(host: str, container: str) -> PublishedPort:
    return PublishedPort("udp", host, 5353, container, 53, "wherry0", "n", "c")


def test_ports_are_elements_of_the_map_of_their_address() -> None:
    found = ports([port("0.0.0.0", "172.17.0.2"), port("127.0.0.1", "172.17.0.2"), port("::", "fd00::2")])
    assert found.keys() == {"ports4", "ports4_at", "ports6"}
    (one,) = found["ports4"]
    assert one.key == b"\x11\0\0\0\x14\xe9\0\0"
    assert one.value == inet_aton("172.17.0.2") + b"\0\x35\0\0"
    assert found["ports4_at"][0].key == inet_aton("127.0.0.1") + one.key


def test_ports_of_the_other_family_have_none() -> None:
    assert ports([port("::", "172.17.0.2"), port("0.0.0.0", "fd00::2")]) == {}


@pytest.mark.parametrize(
    ("subnet", "start", "after"),
    [
        ("172.17.0.0/16", "172.17.0.0", "172.18.0.0"),
        ("10.1.2.130/25", "10.1.2.128", "10.1.3.0"),
        ("255.255.0.0/16", "255.255.0.0", ""),
        ("10.0.0.1/32", "10.0.0.1", "10.0.0.2"),
        ("0.0.0.0/0", "0.0.0.0", ""),
    ],
)
def test_a_subnet_is_an_interval(subnet: str, start: str, after: str) -> None:
    first, *rest = interval(subnet, "masq")
    assert (first.key, first.chain, first.end) == (inet_aton(start), "masq", False)
    assert [(one.key, one.end) for one in rest] == ([(inet_aton(after), True)] if after else [])


def test_what_enters_ends_with_a_drop() -> None:
    network = Network("a", "n", bridge="b0", subnets=(Subnet("10.0.0.0/24"),))
    assert len(entering(network)) == 4
    assert len(entering(network.replace(icc=False))) == len(entering(network.replace(internal=True))) == 3
    assert all(entering(one)[-1] == entering(network)[-1] for one in (network, network.replace(internal=True)))


def test_stores_have_tables_of_their_own() -> None:
    assert table_name("/var/lib/wherry") == DEFAULT_TABLE
    assert table_name("/srv/one") != table_name("/srv/two")
    assert len(table_name("/srv/one")) < 32
