"""/etc/hosts, /etc/hostname, /etc/resolv.conf, and names."""

from __future__ import annotations

import pytest

from wherry.container import files, names
from wherry.errors import InvalidArgument


def test_hosts() -> None:
    text = files.hosts(
        "box", "example", addresses=("172.18.0.2",), extra=("a:10.0.0.1", "gw:host-gateway"), gateway="172.18.0.1"
    )
    lines = text.splitlines()
    assert lines[0] == "127.0.0.1\tlocalhost"
    assert lines[-3:] == ["10.0.0.1\ta", "172.18.0.1\tgw", "172.18.0.2\tbox.example box"]
    assert files.hosts("box", addresses=("fd00::2",)).endswith("fd00::2\tbox\n")
    assert files.hosts("box", extra=("six:::1",)).endswith("::1\tsix\n")
    assert files.hosts("box", base="10.9.9.9 other") == "10.9.9.9 other\n"
    with pytest.raises(InvalidArgument, match="host-gateway"):
        files.hosts("box", extra=("gw:host-gateway",))
    assert files.hostname("box") == "box\n"


HOST = """# a comment
nameserver 127.0.0.53
nameserver 10.0.0.2 # trailing
nameserver ::1
search corp.example lan
options edns0 trust-ad
; another
garbage
"""


def test_resolv_conf() -> None:
    assert files.resolv_conf(HOST) == "nameserver 10.0.0.2\nsearch corp.example lan\noptions edns0 trust-ad\n"
    assert files.resolv_conf(HOST, host_network=True).startswith("nameserver 127.0.0.53\nnameserver 10.0.0.2\n")
    assert files.resolv_conf(HOST, servers=("1.1.1.1",), search=(".",), options=("ndots:2",)) == (
        "nameserver 1.1.1.1\noptions ndots:2\n"
    )
    assert files.resolv_conf("") == ""


def test_names() -> None:
    made = {names.random_name() for _ in range(200)}
    assert len(made) > 150
    for name in made | {names.random_name(3)}:
        assert names.check_name(name) == name
        assert name.count("_") == 1
    assert names.check_name("/web-1.x") == "web-1.x"
    for name in ("", "a", "-a", "a b", "é1", "../x", "a/b"):
        with pytest.raises(InvalidArgument, match=r"Invalid container name"):
            names.check_name(name)
