"""Networks without root, through the program that is installed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from support import images
from support.command import kill_and_wait, wait_for
from support.rootless_network import World, fetch, loaded
from support.users import User

pytestmark = pytest.mark.needs("root", "user-namespaces", "uidmap", "pasta", "slirp4netns", "debian", "busybox")


@pytest.fixture
def there(rootless: User, busybox: images.Built) -> Iterator[World]:
    with loaded(rootless, busybox) as one:
        yield one


SERVE = ("httpd", "-f", "-p", "80", "-h", "/srv")


def test_a_server_and_its_ports(there: World) -> None:
    wherry = there.wherry
    (wherry.directory / "srv").mkdir()
    (wherry.directory / "srv" / "page").write_text("hello")
    ports = ("-p", "18080:80", "-p", "127.0.0.1:18081:80", "-p", "80")
    wherry.ok("run", "-d", "--name", "web", *ports, "-v", f"{wherry.directory}/srv:/srv", "busybox", *SERVE)
    assert fetch(there.outside, "10.9.0.1", 18080) == b"hello"
    assert fetch(there.host, "127.0.0.1", 18081) == b"hello"
    with pytest.raises(OSError):
        there.outside.connect("10.9.0.1", 18081, seconds=1).close()
    shown = wherry.ok("port", "web")
    assert "80/tcp -> 0.0.0.0:18080" in shown and "80/tcp -> 127.0.0.1:18081" in shown
    chosen = next(line for line in shown.splitlines() if not line.endswith((":18080", ":18081")))
    assert fetch(there.outside, "10.9.0.1", int(chosen.rpartition(":")[2])) == b"hello"
    assert "0.0.0.0:18080->80/tcp" in wherry.ok("ps")
    network = json.loads(wherry.ok("inspect", "web"))[0]["NetworkSettings"]
    assert (network["IPAddress"], network["Gateway"]) == ("10.0.2.100", "10.0.2.2")
    taken = wherry("run", "--rm", "-p", "18080:80", "busybox", "true")
    assert taken.code == 125 and "port is already allocated" in taken.err
    wherry.ok("rm", "-f", "web")
    with pytest.raises(OSError):
        there.host.connect("127.0.0.1", 18081).close()


def test_the_way_out_and_names(there: World) -> None:
    hosts, resolv = "cat /etc/hosts", "cat /etc/resolv.conf"
    out = there.wherry.ok(
        "run", "--rm", "--hostname", "me", "busybox", "sh", "-c", f"ip -4 -o address; {hosts}; {resolv}"
    )
    assert "10.0.2.100/24" in out and "10.0.2.100\tme" in out and "nameserver 10.0.2.3" in out
    host = there.wherry.ok("run", "--rm", "--add-host", "host:host-gateway", "busybox", "cat", "/etc/hosts")
    assert "10.9.0.1\thost" in host
    with there.outside.listen("10.9.0.2", 80) as server:
        client = there.wherry.popen("run", "--rm", "busybox", "nc", "10.9.0.2", "80")
        connection, peer = server.accept()
        connection.sendall(b"from outside")
        connection.close()
        assert client.communicate(timeout=60)[0] == b"from outside" and peer[0] == "10.9.0.1"


def test_what_is_refused(there: World) -> None:
    there.wherry.ok("create", "--name", "one", "busybox", "true")
    for arguments, message in (
        (("-p", "18082:80/sctp"), "sctp ports can be published by root alone"),
        (("-p", "81:80"), "failed to bind host port 0.0.0.0:81/tcp: permission denied"),
        (("--network", "other"), "network other not found"),
        (("--link", "one:two"), "links are not supported without root"),
    ):
        refused = there.wherry("run", "--rm", *arguments, "busybox", "true")
        assert refused.code == 125 and message in refused.err, refused
    there.wherry.ok("rm", "one")
    assert there.wherry.ok("ps", "-aq") == ""
    assert there.wherry.ok("run", "--rm", "--network", "none", "busybox", "ip", "-o", "link").count("\n") == 1


def test_the_program_is_started_again_and_ends_with_the_container(there: World) -> None:
    wherry = there.wherry
    wherry.ok("run", "-d", "--name", "one", "-p", "18080:80", "busybox", "httpd", "-f", "-p", "80", "-h", "/etc")

    def answers() -> bool:
        try:
            with there.outside.connect("10.9.0.1", 18080, seconds=2) as connection:
                connection.sendall(b"GET /hostname HTTP/1.0\r\n\r\n")
                return connection.recv(12).endswith(b" 200")
        except OSError:
            return False

    wait_for(answers)
    (first,) = there.programs()
    kill_and_wait(first)
    wait_for(lambda: there.programs() not in ([], [first]))
    wait_for(answers)
    wherry.ok("stop", "-t", "0", "one")
    assert there.programs() == []
    wherry.ok("start", "one")
    assert len(there.programs()) == 1
    wherry.ok("rm", "-f", "one")
    assert there.programs() == []


def test_a_killed_monitor_leaves_nothing(there: World) -> None:
    wherry = there.wherry
    wherry.ok("run", "-d", "--name", "one", "-p", "18080:80", "busybox", "sleep", "600")
    pid = json.loads(wherry.ok("inspect", "one"))[0]["State"]["Pid"]
    monitor = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    kill_and_wait(monitor)
    wait_for(lambda: wherry.ok("ps", "-q") == "")
    wherry.ok("rm", "-f", "one")
    wait_for(lambda: there.programs() == [])
    assert wherry.ok("run", "--rm", "-p", "18080:80", "busybox", "echo", "free") == "free\n"
