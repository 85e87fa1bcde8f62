from __future__ import annotations

import pytest

from wherry.client.address import Address, Tls, parse
from wherry.errors import InvalidArgument, NotSupported


@pytest.mark.parametrize(
    ("text", "address", "shown"),
    [
        ("unix:///run/x.sock", Address("unix", path="/run/x.sock"), "unix:///run/x.sock"),
        ("tcp://host:1234", Address("tcp", "host", 1234), "tcp://host:1234"),
        ("tcp://host", Address("tcp", "host", 2375), "tcp://host:2375"),
        ("host:1234", Address("tcp", "host", 1234), "tcp://host:1234"),
        ("tcp://:1234", Address("tcp", "localhost", 1234), "tcp://localhost:1234"),
        ("tcp://[::1]:1234", Address("tcp", "::1", 1234), "tcp://[::1]:1234"),
        ("tcp://[::1]", Address("tcp", "::1", 2375), "tcp://[::1]:2375"),
        ("https://host:1234/", Address("tcp", "host", 1234), "tcp://host:1234"),
        ("ssh://host", Address("ssh", "host"), "ssh://host"),
        ("ssh://me@host:22", Address("ssh", "host", 22, "me"), "ssh://me@host:22"),
        ("ssh://me@host/run/x.sock", Address("ssh", "host", 0, "me", "/run/x.sock"), "ssh://me@host/run/x.sock"),
        ("ssh://host/", Address("ssh", "host"), "ssh://host"),
    ],
)
def test_places(text: str, address: Address, shown: str) -> None:
    assert parse(text) == address
    assert str(address) == shown


def test_the_usual_port_of_tls_is_another() -> None:
    assert parse("tcp://host", tls=Tls()).port == 2376


@pytest.mark.parametrize(
    "text",
    [
        "unix://relative", "unix://", "tcp://", "", "bogus://x", "tcp://host:port", "tcp://host:0", "tcp://host:70000",
        "tcp://host:", "tcp://::1", "tcp://[::1", "ssh://", "ssh://-oProxyCommand=x", "ssh://-x@host", "ssh://a:b@host",
        "ssh://me@", "tcp://a b:1",
    ],
)  # fmt: skip
def test_what_is_none(text: str) -> None:
    with pytest.raises(InvalidArgument, match="unable to parse docker host"):
        parse(text, source="DOCKER_HOST")


@pytest.mark.parametrize("text", ["npipe:////./pipe/docker_engine", "fd://"])
def test_of_other_systems(text: str) -> None:
    with pytest.raises(NotSupported):
        parse(text)
