"""``--publish``: from this host, from other hosts (namespaces), between containers; who else may have the port."""

from __future__ import annotations

import errno
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from support import images, leaks, outside
from support.command import Wherry, wait_for

pytestmark = pytest.mark.needs("root", "busybox", "iproute2")


def curl(url: str, *more: str) -> str:
    """What a web server answers; "" for none."""
    command = ["curl", "-sS", "--noproxy", "*", "-m", "10", *more, url]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout


@pytest.fixture
def web(as_root: Wherry) -> Iterator[Callable[..., str]]:
    """``web("-p", "80")``: a container whose busybox httpd serves its /etc; its id."""
    started: list[str] = []

    def start(*options: str) -> str:
        identity = as_root.ok("run", "-d", *options, "busybox", "httpd", "-f", "-p", "80", "-h", "/etc").strip()
        started.append(identity)
        inside = ["exec", identity, "wget", "-qO-", "http://127.0.0.1/hostname"]
        wait_for(lambda: as_root(*inside).code == 0)
        return identity

    yield start
    if started:
        as_root("rm", "-f", *started)


def port_of(wherry: Wherry, identity: str, own: str = "80") -> int:
    return int(wherry.ok("port", identity, own).splitlines()[0].rpartition(":")[2])


def test_a_server_answers_on_every_address_of_the_host(as_root: Wherry, web: Callable[..., str]) -> None:
    identity = web("-p", "80")
    port, name = port_of(as_root, identity), f"{identity[:12]}\n"
    assert curl(f"http://127.0.0.1:{port}/hostname") == name
    with outside.host(1) as one, outside.host(2) as two:
        assert curl(f"http://{one.peer}:{port}/hostname") == name
        for host in (one, two):
            assert host.run("curl", "-sS", "-m", "10", f"http://{host.peer}:{port}/hostname").stdout == name
        assert one.run("curl", "-sS", "-m", "10", f"http://{two.peer}:{port}/hostname").stdout == name
    assert curl(f"http://[::1]:{port}/hostname") == name  # which its network has not
    assert as_root.ok("port", identity) == f"80/tcp -> 0.0.0.0:{port}\n80/tcp -> [::]:{port}\n"
    shown = as_root.ok("ps", "--filter", f"id={identity}", "--format", "{{.Ports}}")
    assert shown == f"0.0.0.0:{port}->80/tcp, [::]:{port}->80/tcp\n"
    (document,) = json.loads(as_root.ok("inspect", identity))
    everywhere = [{"HostIp": address, "HostPort": str(port)} for address in ("0.0.0.0", "::")]
    assert document["NetworkSettings"]["Ports"] == {"80/tcp": everywhere}
    assert document["HostConfig"]["PortBindings"] == {"80/tcp": [{"HostIp": "", "HostPort": ""}]}


def test_the_container_sees_the_address_of_who_asks(as_root: Wherry) -> None:
    code = (
        "import socket\ns=socket.socket();s.bind(('',80));s.listen()\nprint('ready',flush=True)\n"
        "while True:\n c,a=s.accept();c.sendall(a[0].encode());c.close()"
    )
    identity = python(as_root, code, "-p", "80")
    try:
        port = port_of(as_root, identity)
        with outside.host(1) as one:
            ask = f"import socket;s=socket.create_connection(('{one.peer}',{port}),10);print(s.recv(99).decode())"
            assert one.run(sys.executable, "-c", ask).stdout.strip() == one.own
    finally:
        as_root.ok("rm", "-f", identity)


def python(wherry: Wherry, code: str, *options: str) -> str:
    """A container that runs this program with the host's interpreter, and has said "ready"; its id."""
    path = wherry.directory / "program.py"
    path.write_text(code)
    path.chmod(0o644)
    mounts = ["-v", f"{path}:/program.py:ro", *python_mounts()]
    command = ["/usr/bin/python3", "-I", "-S", "/program.py"]
    identity = wherry.ok("run", "-d", *options, *mounts, "busybox", *command).strip()
    wait_for(lambda: "ready" in wherry.ok("logs", identity))
    return identity


def python_mounts() -> list[str]:
    """The host's interpreter for a container of another image."""
    found = []
    for path in ("/usr", "/lib", "/lib64"):
        if os.path.isdir(path):
            found += ["-v", f"{os.path.realpath(path)}:{path}:ro"]
    return found


def test_an_address_of_the_host_keeps_others_out(as_root: Wherry, web: Callable[..., str]) -> None:
    with outside.host(1) as one:
        identity = web("-p", "127.0.0.1::80")
        port = port_of(as_root, identity)
        assert curl(f"http://127.0.0.1:{port}/hostname") == f"{identity[:12]}\n"
        assert one.run("curl", "-sS", "-m", "2", f"http://{one.peer}:{port}/hostname").returncode != 0
        only = web("-p", f"{one.peer}:{port}:80")  # the same port of another address
        assert one.run("curl", "-sS", "-m", "10", f"http://{one.peer}:{port}/hostname").stdout == f"{only[:12]}\n"
        assert curl(f"http://127.0.0.1:{port}/hostname") == f"{identity[:12]}\n"


def test_containers_reach_it_by_the_host_s_address_and_so_does_its_own(
    as_root: Wherry, web: Callable[..., str]
) -> None:
    with outside.host(1) as one:
        identity = web("-p", "80")
        port = port_of(as_root, identity)
        get = f"printf 'GET /hostname HTTP/1.0\\r\\n\\r\\n' | nc -w 5 {one.peer} {port}"
        assert identity[:12] in as_root.ok("run", "--rm", "busybox", "sh", "-c", get)
        assert identity[:12] in as_root.ok("exec", identity, "sh", "-c", get)
        as_root.ok("network", "create", "other-net")
        try:
            assert identity[:12] in as_root.ok("run", "--rm", "--network", "other-net", "busybox", "sh", "-c", get)
        finally:
            as_root.ok("network", "rm", "other-net")


def test_datagrams(as_root: Wherry) -> None:
    code = (
        "import socket\ns=socket.socket(2,2);s.bind(('',53));print('ready',flush=True)\n"
        "while True:\n d,a=s.recvfrom(99);s.sendto(d+a[0].encode(),a)"
    )
    identity = python(as_root, code, "-p", "53/udp")
    try:
        port = port_of(as_root, identity, "53/udp")
        with outside.host(1) as one:
            code = (
                f"import socket;s=socket.socket(2,2);s.settimeout(1);s.connect(('{one.peer}',{port}))\n"
                "for n in range(20):\n s.send(b'ping')\n try:\n  print(s.recv(99).decode());break\n"
                " except OSError: pass"
            )
            assert one.run(sys.executable, "-c", code).stdout.strip() == f"ping{one.own}"
    finally:
        as_root.ok("rm", "-f", identity)


SCTP = """
import socket, struct
def crc32c(data):
    crc = 0xffffffff
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82f63b78 if crc & 1 else 0)
    return crc ^ 0xffffffff
def packet(source, target, tag, chunk):
    head = struct.pack(">HHI", source, target, tag)
    return head + struct.pack("<I", crc32c(head + bytes(4) + chunk)) + chunk
def received(link):
    data = link.recv(4096)
    data = data[(data[0] & 15) * 4:]
    source, target, tag, crc = struct.unpack(">HHII", data[:12])
    good = struct.pack(">I", crc) == struct.pack("<I", crc32c(data[:8] + bytes(4) + data[12:]))
    return source, target, tag, good, data[12:]
link = socket.socket(socket.AF_INET, socket.SOCK_RAW, 132)
"""
"""The packets that open an association (RFC 9260, section 3.3), in Python: also for kernels without SCTP sockets."""


def test_sctp(as_root: Wherry) -> None:
    server = (
        SCTP + "print('ready', flush=True)\n"
        "while True:\n"
        "    data, (asks, _port) = link.recvfrom(4096, socket.MSG_PEEK)\n"
        "    source, target, tag, good, chunk = received(link)\n"
        "    if target == 9000 and good and chunk[0] == 1:\n"
        "        cookie = struct.pack('>HH8s', 7, 12, socket.inet_aton(asks) * 2)\n"
        "        answer = struct.pack('>BBHIIHHI', 2, 0, 32, 77, 65536, 1, 1, 1) + cookie\n"
        "        link.sendto(packet(target, source, struct.unpack('>I', chunk[4:8])[0], answer), (asks, 0))\n"
    )
    port = free_ports(1)
    identity = python(as_root, server, "-p", f"{port}:9000/sctp")
    try:
        assert as_root.ok("port", identity) == f"9000/sctp -> 0.0.0.0:{port}\n"
        with outside.host(1) as one:
            client = (
                SCTP + "link.settimeout(1)\n"
                "init = struct.pack('>BBHIIHHI', 1, 0, 20, 55, 65536, 1, 1, 1)\n"
                "for _ in range(20):\n"
                f"    link.sendto(packet(4444, {port}, 0, init), ('{one.peer}', 0))\n"
                "    try:\n"
                "        source, target, tag, good, chunk = received(link)\n"
                "    except OSError:\n"
                "        continue\n"
                "    if chunk[0] == 2:\n"
                "        print(source, target, tag, good, socket.inet_ntoa(chunk[24:28]))\n"
                "        break\n"
            )
            done = one.run(sys.executable, "-c", client)
            assert done.stdout.split() == [str(port), "4444", "55", "True", one.own], done.stderr
    finally:
        as_root.ok("rm", "-f", identity)


def test_who_goes_on_sending_reaches_the_next_container(as_root: Wherry) -> None:
    """The kernel would remember the way to the first one, or to the host, for as long as a client sends."""
    code = (
        "import socket\ns=socket.socket(2,2);s.bind(('',53));print('ready',flush=True)\n"
        "while True:\n d,a=s.recvfrom(99);s.sendto(socket.gethostname().encode(),a)"
    )
    port = free_ports(1)
    started: list[str] = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(1)
        client.bind(("127.0.0.1", 0))

        def answer() -> str:
            try:
                client.sendto(b"who", ("127.0.0.1", port))
                return client.recv(99).decode()
            except OSError:  # nobody
                return ""

        try:
            started.append(as_root.ok("run", "-d", "busybox", "sleep", "1000").strip())  # the rules are there
            assert answer() == ""
            started.append(python(as_root, code, "-p", f"{port}:53/udp"))
            wait_for(lambda: answer() == started[1][:12], 10)
            as_root.ok("rm", "-f", started.pop())
            started.append(as_root.ok("run", "-d", "busybox", "sleep", "1000").strip())  # has its address
            started.append(python(as_root, code, "-p", f"{port}:53/udp"))
            wait_for(lambda: answer() == started[2][:12], 10)
        finally:
            as_root("rm", "-f", *started)


def test_ports_go_with_the_way_out(as_root: Wherry, web: Callable[..., str]) -> None:
    one, two = f"p{os.getpid()}-1", f"p{os.getpid()}-2"
    as_root.ok("network", "create", one)
    as_root.ok("network", "create", two)
    try:
        identity = web("-p", "80", "--network", one, "--network", two)
        port, name = port_of(as_root, identity), f"{identity[:12]}\n"

        def answers() -> bool:
            return curl(f"http://127.0.0.1:{port}/hostname") == name

        assert answers()
        as_root.ok("network", "disconnect", one, identity)
        wait_for(answers)
        assert port_of(as_root, identity) == port
        as_root.ok("network", "disconnect", two, identity)
        assert as_root.ok("port", identity) == ""
        with socket.socket() as free:  # nobody holds it
            wait_for(lambda: free.connect_ex(("127.0.0.1", port)) == errno.ECONNREFUSED)
        as_root.ok("network", "connect", one, identity)
        port = port_of(as_root, identity)
        wait_for(answers)
        as_root.ok("rm", "-f", identity)
    finally:
        as_root.ok("network", "rm", "-f", one, two)


@pytest.mark.parametrize("ipv6", [False, True])
def test_the_hosts_own_ipv6_address(as_root: Wherry, web: Callable[..., str], ipv6: bool) -> None:
    """The kernel does not lead from there; a process does, while somebody asks."""
    name = f"six{os.getpid()}-{int(ipv6)}"
    as_root.ok("network", "create", *(["--ipv6"] if ipv6 else []), name)
    try:
        every = web("-p", "80", "--network", name)
        assert curl(f"http://[::1]:{port_of(as_root, every)}/hostname") == f"{every[:12]}\n"
        as_root.ok("rm", "-f", every)
        identity = web("-p", "[::1]::80", "--network", name)
        port = port_of(as_root, identity)
        assert as_root.ok("port", identity) == f"80/tcp -> [::1]:{port}\n"
        for _ in range(3):
            assert curl(f"http://[::1]:{port}/hostname") == f"{identity[:12]}\n"
        assert curl(f"http://127.0.0.1:{port}/hostname") == ""
        as_root.ok("rm", "-f", identity)
        assert curl(f"http://[::1]:{port}/hostname") == ""
    finally:
        as_root.ok("network", "rm", "-f", name)


ECHO = """import socket
s=socket.socket(2,2);s.bind(('',53));print('ready',flush=True)
while True:
 d,a=s.recvfrom(70000)
 if d!=b'silence': s.sendto(d+b' from '+a[0].encode(),a)
"""
ASK = """import socket,sys
s=socket.socket(10,2);s.settimeout(1);s.connect((sys.argv[1],int(sys.argv[2])))
for n in range(20):
 s.send(b'silence');s.send(b'x'*1000)
 try: print(len(s.recv(2000)));break
 except OSError: pass
"""


def test_datagrams_to_ipv6_addresses_of_the_host(as_root: Wherry) -> None:
    """A process relays them to a container that has IPv4 alone; who asks is answered by whom it asked."""
    identity = python(as_root, ECHO, "-p", "[::]::53/udp", "-p", "[::1]::53/udp")
    try:
        every, own = sorted(as_root.ok("port", identity, "53/udp").split(), key=lambda text: "[::1]" in text)
        gateway = json.loads(as_root.ok("inspect", identity))[0]["NetworkSettings"]["Gateway"]
        length = str(1000 + len(f" from {gateway}")) + "\n"
        ask = [sys.executable, "-c", ASK]
        for address, port in (("::1", own), ("::1", every)):
            command = [*ask, address, port.rpartition(":")[2]]
            assert subprocess.run(command, capture_output=True, text=True, check=False).stdout == length
        with outside.host(1) as one:
            extra = one.peer6.removesuffix("1") + "7"
            interface = f"wto{one.name.removeprefix('wt-')}"
            subprocess.run(["ip", "-6", "address", "add", f"{extra}/64", "dev", interface, "nodad"], check=True)
            with ThreadPoolExecutor() as pool:
                asking = [
                    pool.submit(one.run, *ask, address, every.rpartition(":")[2]) for address in (one.peer6, extra) * 3
                ]
                assert [done.result().stdout for done in asking] == [length] * 6
    finally:
        as_root.ok("rm", "-f", identity)


def test_ranges_and_all_exposed_ports(as_root: Wherry) -> None:
    first = free_ports(3)
    name = as_root.ok(
        "run", "-d", "-p", f"{first}-{first + 2}:80-82", "--expose", "90", "-P", "busybox", "sleep", "1000"
    ).strip()
    try:
        shown = [line.split(" -> ") for line in as_root.ok("port", name).splitlines()]
        found = {own: there for own, there in shown if "[" not in there}
        assert [found[f"{port}/tcp"] for port in (80, 81, 82)] == [f"0.0.0.0:{first + more}" for more in range(3)]
        assert int(found["90/tcp"].rpartition(":")[2]) > 1023
        chosen = as_root.ok("run", "-d", "-p", f"{first}-{first + 3}:80", "busybox", "sleep", "1000").strip()
        assert port_of(as_root, chosen) == first + 3  # the others are taken
        as_root.ok("rm", "-f", chosen)
    finally:
        as_root.ok("rm", "-f", name)


def free_ports(count: int) -> int:
    """The first of so many neighbours, and one more, that nobody has."""
    for first in range(23000 + os.getpid() % 5000, 32000, count + 1):
        try:
            for port in range(first, first + count + 1):
                with socket.socket() as one:
                    one.bind(("", port))
        except OSError:
            continue
        return first
    raise AssertionError("no free ports")


def test_a_port_is_had_once(as_root: Wherry, web: Callable[..., str]) -> None:
    port = free_ports(1)
    identity = web("-p", f"{port}:80")
    for options in (["-p", f"{port}:80"], ["-p", f"127.0.0.1:{port}:1"]):
        done = as_root("run", "--rm", "--name", "second-one", *options, "busybox", "echo", "ran")
        assert (done.code, done.out) == (125, ""), str(done)
        address = "127.0.0.1" if "127" in options[1] else "0.0.0.0"
        assert f"Bind for {address}:{port} failed: port is already allocated" in done.err
        assert as_root.ok("ps", "-aq", "--filter", "name=second-one") == ""
    with socket.socket() as other:  # no program of the host gets it, whatever it says about reuse
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with pytest.raises(OSError, match="in use"):
            other.bind(("127.0.0.1", port))
    with socket.socket(socket.AF_INET6) as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with pytest.raises(OSError, match="in use"):
            other.bind(("::1", port))
    as_root.ok("stop", "-t", "0", identity)
    with socket.socket() as other:
        other.bind(("0.0.0.0", port))
        other.listen()
        done = as_root("start", identity)
        assert done.code == 1 and f"failed to bind host port 0.0.0.0:{port}/tcp: address already in use" in done.err
    as_root.ok("start", identity)  # any port will do for it


def test_connections_that_have_ended_keep_no_port(as_root: Wherry, web: Callable[..., str]) -> None:
    """Who closes first keeps the port for a minute (TIME_WAIT), here a server of the host and then our own relay."""
    with socket.socket() as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.bind(("127.0.0.1", 0))
        server.listen()
        port = server.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)) as client:
            server.accept()[0].close()
            assert client.recv(1) == b""
    with socket.socket() as other, pytest.raises(OSError, match="in use"):
        other.bind(("0.0.0.0", port))
    for _ in range(2):
        identity = web("-p", f"{port}:80")
        for address in ("127.0.0.1", "[::1]"):
            assert curl(f"http://{address}:{port}/hostname") == f"{identity[:12]}\n"
        as_root.ok("rm", "-f", identity)


def test_an_address_that_the_host_has_not_is_refused(as_root: Wherry) -> None:
    done = as_root("run", "--rm", "-p", "203.0.113.9:80:80", "busybox", "true")
    assert done.code == 125 and "203.0.113.9:80/tcp: cannot assign requested address" in done.err


def test_a_killed_monitor_leaves_no_port(as_root: Wherry, web: Callable[..., str]) -> None:
    identity = web("-p", "80")
    port = port_of(as_root, identity)
    for pid in leaks.processes_of(as_root.directory):
        if as_root.ok("inspect", "-f", "{{.State.Pid}}", identity).strip() != str(pid):
            os.kill(pid, signal.SIGKILL)
    wait_for(lambda: not leaks.processes_of(as_root.directory))
    again = web("-p", f"{port}:80")
    assert curl(f"http://127.0.0.1:{port}/hostname") == f"{again[:12]}\n"
    assert as_root.ok("inspect", "-f", "{{.State.Status}} {{json .NetworkSettings.Ports}}", identity) == "exited {}\n"


def test_rules_that_somebody_flushed_are_made_again(as_root: Wherry, web: Callable[..., str]) -> None:
    first = web("-p", "80")
    table = leaks.table_of(as_root.directory)
    subprocess.run(["nft", "flush", "table", "inet", table], check=True)
    second = web("-p", "80")
    for identity in (first, second):
        assert curl(f"http://127.0.0.1:{port_of(as_root, identity)}/hostname") == f"{identity[:12]}\n"


def test_without_a_bridge_ports_are_not_published(as_root: Wherry) -> None:
    discarded = "WARNING: Published ports are discarded when using host network mode\n"
    for mode, warning in (("none", ""), ("host", discarded)):
        started = as_root("run", "-d", "--network", mode, "-p", "1:80", "busybox", "sleep", "1000")
        assert (started.code, started.err) == (0, warning)
        assert as_root.ok("port", started.out.strip()) == ""
        as_root.ok("rm", "-f", started.out.strip())
    done = as_root("run", "--rm", "--network", "container:x", "-p", "1:80", "busybox", "true")
    assert done.code == 125 and "port publishing and the container type network mode" in done.err


@pytest.mark.needs("nginx")
def test_nginx_of_debian(wherry: Wherry, tmp_path: Path) -> None:
    files = ("/usr/sbin/nginx", "/etc/nginx/mime.types")
    if not all(os.path.exists(path) for path in files):
        pytest.skip("needs nginx: nginx is not installed")
    configuration = tmp_path / "nginx.conf"
    configuration.write_text(
        "daemon off; worker_processes 1; error_log /dev/stderr; pid /tmp/pid; events {}\n"
        "http { access_log off; client_body_temp_path /tmp/a; proxy_temp_path /tmp/b; fastcgi_temp_path /tmp/c;\n"
        "uwsgi_temp_path /tmp/d; scgi_temp_path /tmp/e;\n"
        'server { listen 80; location / { return 200 "you are $remote_addr\\n"; } } }\n'
    )
    tmp_path.chmod(0o755)
    wherry.load(images.busybox().docker_archive(tmp_path / "busybox.tar", "busybox:latest"))
    command = ["run", "-d", "--name", "webserver", "--publish", "80", "--tmpfs", "/tmp", "--tmpfs", "/var/log/nginx"]
    command += ["-v", f"{configuration}:/nginx.conf:ro", *python_mounts(), "--userns", "host"]
    wherry.ok(*command, "busybox", "/usr/sbin/nginx", "-c", "/nginx.conf")
    try:
        port = port_of(wherry, "webserver")
        wait_for(lambda: curl(f"http://127.0.0.1:{port}/").startswith("you are"))
        with outside.host(1) as one:
            answer = one.run("curl", "-sS", "-m", "10", f"http://{one.peer}:{port}/").stdout
            assert answer == f"you are {one.own}\n"
    finally:
        wherry.ok("rm", "-f", "webserver")


@pytest.mark.parametrize("address", ["::1", "fd00::99"])
def test_addresses_that_lead_to_no_container_are_refused(as_root: Wherry, address: str) -> None:
    """A process copies streams and datagrams from there; for SCTP that would take sockets which many kernels lack."""
    refused = as_root("run", "--rm", "-p", f"[{address}]:18099:80/sctp", "busybox", "true")
    message = f"sctp ports cannot be published on {address}: the kernel does not forward from there"
    assert refused.code == 125 and message in refused.err
