"""User-defined networks without root."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from support import images, leaks, users
from support.command import Wherry, kill_and_wait, wait_for
from support.rootless_network import Hosted, World, fetch, load, loaded, world
from support.users import User

pytestmark = pytest.mark.needs("root", "user-namespaces", "uidmap", "pasta", "slirp4netns", "debian", "busybox")

ECHO = """
import _socket
own = _socket.socket(_socket.AF_INET, _socket.SOCK_DGRAM)
own.bind(("", 53))
while True:
    data, peer = own.recvfrom(100)
    own.sendto(data, peer)
"""
CLIENT = ("--dns", "10.9.0.2", "busybox", "sleep", "600")  # where no name server is
SLEEP = ("busybox", "sleep", "600")
NOTHING = ("1", "143")  # what `get` says when there is no such name, or nobody answers
PAGE = "mkdir /srv; echo -n $0 >/srv/page; exec httpd -f -p 80 -h /srv"


@pytest.fixture(scope="module")
def everything(busybox: images.Built) -> Iterator[World]:
    user = User.make(users.UID)
    with loaded(user, busybox) as one:
        yield one
    user.remove()


@pytest.fixture
def there(everything: World) -> Iterator[World]:
    yield everything
    wherry = everything.wherry
    wherry.ok("network", "prune", "-f")
    try:
        wait_for(lambda: os.listdir(wherry.run_root / "netns") == [])
    except AssertionError:
        files = os.listdir(wherry.run_root / "netns")
        raise AssertionError("\n".join([*files, f"holder {holder(wherry)}", *leaks.of(wherry.directory)])) from None
    assert everything.programs() == []


def serve(wherry: Wherry, name: str, *options: str) -> None:
    wherry.ok("run", "-d", "--name", name, *options, "busybox", "sh", "-c", PAGE, f"page of {name}")


def inside(wherry: Wherry, name: str, script: str) -> str:
    return wherry.ok("exec", name, "sh", "-c", script).strip()


def get(wherry: Wherry, client: str, host: str, port: int = 80) -> str:
    """What a container gets, or the end of what wget says about it."""
    return inside(wherry, client, f"timeout 2 wget -qO- http://{host}:{port}/page 2>&1 || echo $?").rpartition("\n")[2]


def holder(wherry: Wherry) -> int:
    """The process that holds the network namespace of the store."""
    wanted = str(wherry.run_root / "netns").encode()
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            if Path(f"/proc/{name}/cmdline").read_bytes().rstrip(b"\0") == wanted:
                found.append(int(name))
    return found[0] if len(found) == 1 else 0


def monitor(wherry: Wherry, name: str) -> int:
    pid = json.loads(wherry.ok("inspect", name))[0]["State"]["Pid"]
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def test_names_ports_and_the_way_out(there: World) -> None:
    wherry = there.wherry
    wherry.ok("network", "create", "--subnet", "10.77.0.0/24", "back")
    wherry.ok("network", "create", "other")
    assert there.programs() == []  # nothing is there before a container
    ports = ("-p", "18080:80", "-p", "127.0.0.1:18081:80", "-p", "[::1]:18082:80")
    serve(wherry, "web", "--network", "name=back,alias=www,ip=10.77.0.9", *ports)
    wherry.ok("run", "-d", "--name", "client", "--network", "back", *CLIENT)
    wherry.ok("run", "-d", "--name", "stranger", "--network", "other", *CLIENT)
    assert len(there.programs()) == 1
    for name in ("web", "www", "web.back", "10.77.0.9"):
        assert get(wherry, "client", name) == "page of web"
    assert "10.77.0.9" in inside(wherry, "client", "cat /proc/1/cpuset >/dev/null; nslookup web")
    assert get(wherry, "stranger", "web") in NOTHING
    assert get(wherry, "stranger", "10.77.0.9") in NOTHING
    assert get(wherry, "stranger", "10.9.0.1", 18080) == "page of web"  # as anybody who reaches the host
    assert fetch(there.outside, "10.9.0.1", 18080) == b"page of web"
    assert fetch(there.host, "127.0.0.1", 18081) == b"page of web"
    assert fetch(there.host, "::1", 18082) == b"page of web"
    with pytest.raises(OSError):
        there.outside.connect("10.9.0.1", 18081, seconds=1).close()
    assert "80/tcp -> 0.0.0.0:18080" in wherry.ok("port", "web")
    taken = wherry("run", "--rm", "--network", "other", "-p", "18080:80", "busybox", "true")
    assert taken.code == 125 and "port is already allocated" in taken.err
    with there.host.listen("127.0.0.1", 18085):
        taken = wherry("run", "--rm", "--network", "other", "-p", "127.0.0.1:18085:80", "busybox", "true")
        assert taken.code == 125 and "failed to bind host port 127.0.0.1:18085/tcp" in taken.err
    with there.outside.listen("10.9.0.2", 80) as server:
        client = wherry.popen("exec", "client", "nc", "10.9.0.2", "80")
        connection, peer = server.accept()
        connection.sendall(b"from outside")
        connection.close()
        assert client.communicate(timeout=60)[0] == b"from outside" and peer[0] == "10.9.0.1"
    shown = json.loads(wherry.ok("network", "inspect", "back"))[0]
    assert {one["Name"]: one["IPv4Address"] for one in shown["Containers"].values()}["web"] == "10.77.0.9/24"
    refused = wherry("network", "rm", "back")
    assert refused.code == 1 and "has active endpoints" in refused.err
    wherry.ok("rm", "-f", "web", "client", "stranger")
    assert set(wherry.ok("network", "prune", "-f").split()[2:]) == {"back", "other"}


def test_datagrams_and_ipv6(there: World) -> None:
    wherry = there.wherry
    wherry.ok("network", "create", "--ipv6", "six")
    mounts = [f"-v={os.path.realpath(path)}:{path}:ro" for path in ("/usr", "/lib", "/lib64") if os.path.isdir(path)]
    options = ("--network", "six", "-p", "18053:53/udp", *mounts)
    wherry.ok("run", "-d", "--name", "one", *options, "busybox", "/usr/bin/python3", "-I", "-S", "-c", ECHO)
    wherry.ok("run", "-d", "--name", "two", "--network", "six", "--add-host", "host:host-gateway", *SLEEP)
    address = json.loads(wherry.ok("inspect", "one"))[0]["NetworkSettings"]["Networks"]["six"]["GlobalIPv6Address"]
    assert "1 packets received" in inside(wherry, "two", f"ping -6 -c 1 -W 3 {address}")
    assert "10.9.0.1\thost" in inside(wherry, "two", "cat /etc/hosts")

    def ask() -> socket.socket:
        one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        one.settimeout(0.5)
        one.connect(("10.9.0.1", 18053))
        return one

    def answers() -> bool:
        with there.outside.call(ask) as client:
            client.send(b"hello")
            try:
                return client.recv(100) == b"hello"
            except OSError:
                return False

    wait_for(answers)
    wherry.ok("rm", "-f", "one", "two")


def test_an_internal_network_leads_nowhere(there: World) -> None:
    wherry = there.wherry
    wherry.ok("network", "create", "--internal", "inner")
    serve(wherry, "web", "--network", "inner")
    wherry.ok("run", "-d", "--name", "client", "--network", "inner", *SLEEP)
    assert get(wherry, "client", "web") == "page of web"
    assert "default" not in inside(wherry, "client", "ip route")
    assert "SERVFAIL" in inside(wherry, "client", "nslookup outside.example. 2>&1 || true")
    gateway = json.loads(wherry.ok("network", "inspect", "inner"))[0]["IPAM"]["Config"][0]["Gateway"]
    wherry.ok("run", "-d", "--name", "sly", "--cap-add", "NET_ADMIN", "--network", "inner", *SLEEP)
    inside(wherry, "sly", f"ip route add default via {gateway}")
    with there.outside.listen("10.9.0.2", 80):
        assert get(wherry, "sly", "10.9.0.2") in NOTHING
    wherry.ok("rm", "-f", "web", "client", "sly")


def test_connected_while_it_runs(there: World) -> None:
    wherry = there.wherry
    for name in ("one", "two"):
        wherry.ok("network", "create", name)
    serve(wherry, "web", "--network", "two", "-p", "18080:80")
    wherry.ok("run", "-d", "--name", "client", "--network", "one", *CLIENT)
    assert get(wherry, "client", "web") in NOTHING
    wherry.ok("network", "connect", "--alias", "www", "one", "web")
    assert get(wherry, "client", "www") == "page of web"
    assert fetch(there.outside, "10.9.0.1", 18080) == b"page of web"
    wherry.ok("network", "disconnect", "two", "web")
    assert fetch(there.outside, "10.9.0.1", 18080) == b"page of web"  # by the network that is left
    wherry.ok("network", "disconnect", "one", "web")
    assert get(wherry, "client", "web") in NOTHING
    with pytest.raises(OSError):
        there.outside.connect("10.9.0.1", 18080, seconds=1).close()
    wherry.ok("network", "connect", "one", "web")
    wherry.ok("restart", "-t", "0", "web")
    assert get(wherry, "client", "web") == "page of web"
    assert fetch(there.outside, "10.9.0.1", 18080) == b"page of web"
    wherry.ok("rm", "-f", "web", "client")


def test_what_is_refused(there: World) -> None:
    wherry = there.wherry
    wherry.ok("network", "create", "mine")
    wherry.ok("run", "-d", "--name", "plain", *SLEEP)
    run = ("run", "--rm", "--network", "mine")
    for arguments, message in (
        (
            ("network", "create", "-d", "macvlan", "-o", "parent=wan0", "far"),
            "networks of the driver macvlan need root",
        ),
        ((*run, "-p", "18082:80/sctp", "busybox", "true"), "sctp ports can be published by root alone"),
        ((*run, "-p", "81:80", "busybox", "true"), "failed to bind host port 0.0.0.0:81/tcp: permission denied"),
        ((*run, "--network", "bridge", "busybox", "true"), "cannot be in another one without root"),
        (("network", "connect", "mine", "plain"), "cannot be in another one without root"),
    ):
        refused = wherry(*arguments)
        assert refused.code in (1, 125) and message in refused.err, refused
    assert wherry.ok("ps", "-a", "--format", "{{.Names}}") == "plain\n"
    wherry.ok("rm", "-f", "plain")


def test_whoever_is_killed(there: World) -> None:
    wherry = there.wherry
    wherry.ok("network", "create", "back")
    serve(wherry, "web", "--network", "back", "-p", "18080:80")
    wherry.ok("run", "-d", "--name", "client", "--network", "back", *CLIENT)
    (program,) = there.programs()
    kill_and_wait(program)
    wait_for(lambda: there.programs() not in ([], [program]))
    first = holder(wherry)
    kill_and_wait(first)
    wait_for(lambda: os.path.exists(wherry.run_root / "netns" / "holder.sock") and len(there.programs()) == 1)
    wait_for(lambda: holder(wherry) not in (0, first))
    wherry.ok("run", "-d", "--name", "late", "--network", "back", *CLIENT)
    assert get(wherry, "late", "web") == get(wherry, "client", "web") == "page of web"
    assert fetch(there.outside, "10.9.0.1", 18080) == b"page of web"
    for name in ("web", "client", "late"):
        kill_and_wait(monitor(wherry, name))
    wait_for(lambda: there.programs() == [])
    assert wherry.ok("ps", "-q") == ""
    # a reboot: nothing runs, and what is in the run root has gone
    shutil.rmtree(wherry.run_root)
    wherry.ok("start", "web", "client")
    assert get(wherry, "client", "web") == "page of web"
    assert fetch(there.outside, "10.9.0.1", 18080) == b"page of web"
    killed = [monitor(wherry, "web"), monitor(wherry, "client"), holder(wherry)]
    for pid in killed:
        kill_and_wait(pid)
    assert wherry.ok("ps", "-q") == ""
    wait_for(lambda: there.programs() == [])
    wherry.ok("rm", "web", "client")
    wherry.ok("run", "--rm", "--network", "back", "busybox", "true")


def test_two_stores_share_nothing(there: World, rootless_single: User, busybox: images.Built) -> None:
    mine = there.wherry
    made = Wherry.make(rootless_single)
    prefix = tuple(
        f"--re{kind}={rootless_single.uid}" if word.startswith(f"--re{kind}=") else word
        for word in mine.prefix
        for kind in (("uid",) if "uid" in word else ("gid",))
    )
    theirs = Hosted(made.directory, rootless_single, {}, prefix)
    try:
        load(theirs, busybox)
        for one in (mine, theirs):
            one.ok("network", "create", "--subnet", "10.77.0.0/24", "back")
        serve(mine, "web", "--network", "name=back,ip=10.77.0.9")
        theirs.ok("run", "-d", "--name", "client", "--network", "back", *CLIENT)
        assert get(theirs, "client", "web") in NOTHING
        assert get(theirs, "client", "10.77.0.9") in NOTHING
        assert len(there.programs()) == 2
        theirs.ok("rm", "-f", "client")
        mine.ok("rm", "-f", "web")
        wait_for(lambda: there.programs() == [])
    finally:
        theirs.close()


@pytest.mark.survival
def test_a_full_disk(rootless: User, busybox: images.Built) -> None:
    """Nothing is left of who could not start, and the namespace goes with the last container, whose end is known."""
    with world(rootless) as there:
        wherry = there.wherry
        wherry.root.mkdir(mode=0o700)
        (mounts,) = [word for word in wherry.prefix if word.startswith("--mount=")]
        options = f"size=48m,mode=700,uid={rootless.uid},gid={rootless.gid}"
        mount = ["nsenter", mounts, "mount", "-t", "tmpfs", "-o", options, "tmpfs", str(wherry.root)]
        subprocess.run(mount, check=True)
        load(wherry, busybox)
        wherry.ok("network", "create", "back")
        serve(wherry, "web", "--network", "back", "-p", "18080:80")
        wherry.ok("create", "--name", "late", "--network", "back", "-p", "18081:80", *SLEEP)
        root = Path(mounts.removeprefix("--mount=")).parent.parent / "root" / wherry.root.relative_to("/")
        with (root / "filler").open("wb", buffering=0) as file, contextlib.suppress(OSError):
            while file.write(bytes(4096)):
                pass
        for words in (("start", "late"), ("run", "--network", "back", "busybox", "true")):
            assert "no space left" in wherry(*words).err
        assert fetch(there.outside, "10.9.0.1", 18080) == b"page of web"
        wherry.ok("stop", "-t", "0", "web")
        wait_for(lambda: os.listdir(wherry.run_root / "netns") == [])
        assert there.programs() == []
        (root / "filler").unlink()
        assert wherry.ok("ps", "-a", "--format", "{{.Names}} {{.State}}") == "late created\nweb exited\n"
        wherry.ok("start", "web", "late")
        assert fetch(there.outside, "10.9.0.1", 18080) == b"page of web"
        wherry.ok("rm", "-f", "web", "late")
        assert wherry.ok("system", "check") == ""
