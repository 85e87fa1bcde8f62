"""``--publish`` as go-connections' ``nat.ParsePortSpec`` reads it, ``--network`` as docker/cli does."""

from __future__ import annotations

import pytest

from wherry.container.options import NetworkOption, PortBinding
from wherry.container.parse_port import mac_address, network, publish
from wherry.errors import InvalidArgument


@pytest.mark.parametrize(
    ("text", "bindings"),
    [
        ("80", [("80/tcp", "", "")]),
        ("80/udp", [("80/udp", "", "")]),
        ("8080:80", [("80/tcp", "", "8080")]),
        ("8080:80/SCTP", [("80/sctp", "", "8080")]),
        ("127.0.0.1:8080:80", [("80/tcp", "127.0.0.1", "8080")]),
        ("0:80", [("80/tcp", "", "0")]),
        ("127.0.0.1:0:80/udp", [("80/udp", "127.0.0.1", "0")]),
        ("127.0.0.1::80", [("80/tcp", "127.0.0.1", "")]),
        ("127.0.0.1::80/udp", [("80/udp", "127.0.0.1", "")]),
        ("0.0.0.0:8080:80", [("80/tcp", "0.0.0.0", "8080")]),
        ("[::1]:8080:80", [("80/tcp", "::1", "8080")]),
        ("[fd00:0::1]::80/udp", [("80/udp", "fd00::1", "")]),
        ("::1:8080:80", [("80/tcp", "::1", "8080")]),
        ("80-81", [("80/tcp", "", ""), ("81/tcp", "", "")]),
        ("8080-8081:80-81", [("80/tcp", "", "8080"), ("81/tcp", "", "8081")]),
        ("8080-8090:80", [("80/tcp", "", "8080-8090")]),
        ("1.2.3.4:70-71:80-81/udp", [("80/udp", "1.2.3.4", "70"), ("81/udp", "1.2.3.4", "71")]),
        ("target=80,published=8080", [("80/tcp", "", "8080")]),
        ("target=53,protocol=udp", [("53/udp", "", "")]),
    ],
)
def test_publish(text: str, bindings: list[tuple[str, str, str]]) -> None:
    assert publish(text) == tuple([PortBinding(*one) for one in bindings])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no port specified: <empty>"),
        ("8080:", "no port specified: 8080:<empty>"),
        ("x", "invalid containerPort: x"),
        ("0", "invalid containerPort: 0"),
        ("65536", "invalid containerPort: 65536"),
        ("x:80", "invalid hostPort: x"),
        ("81-80", "invalid containerPort: 81-80"),
        ("80/icmp", "invalid proto: icmp"),
        ("1.2.3:8080:80", "invalid IP address: 1.2.3"),
        ("localhost:8080:80", "invalid IP address: localhost"),
        ("[::1:8080:80", "invalid IP address: [::1:8080"),
        ("8080-8081:80-82", "invalid ranges specified for container and host Ports: 80-82 and 8080-8081"),
        ("published=80", "missing mandatory field 'target'"),
        ("target=80,colour=red", "invalid field key colour"),
    ],
)
def test_ports_that_are_wrong(text: str, message: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        publish(text)
    assert caught.value.message == message


def test_network() -> None:
    assert network("web") == NetworkOption("web")
    assert network("name=web,ip=10.0.0.2,alias=a,alias=b") == NetworkOption("web", ("a", "b"), "10.0.0.2")
    assert network('name=web,"driver-opt=a=b,c"') == NetworkOption("web", driver_options=(("a", "b,c"),))


def test_mac_address() -> None:
    assert mac_address("02-42-AC-11-00-02") == "02:42:ac:11:00:02"
    for wrong in ("", "02:42:ac:11:00", "02:42:ac:11:00:zz", "2:42:ac:11:0:2"):
        with pytest.raises(InvalidArgument):
            mac_address(wrong)
