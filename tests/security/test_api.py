"""What must not be possible through the API's sockets."""

from __future__ import annotations

import json
import os
import socket
import ssl
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.command import Wherry
from support.serving import Served


@pytest.fixture
def served(wherry: Wherry) -> Iterator[Served]:
    one = Served(wherry)
    yield one
    one.close()


@pytest.mark.needs("root")
def test_the_socket_is_nobody_elses(served: Served) -> None:
    status = os.stat(served.socket)
    assert stat.S_IMODE(status.st_mode) == 0o660 and status.st_uid == 0
    assert stat.S_IMODE(os.stat(served.wherry.run_root).st_mode) & 0o007 == 0


@pytest.mark.needs("root")
def test_tcp_is_refused_without_certificates(wherry: Wherry) -> None:
    result = wherry("serve", "-H", "tcp://127.0.0.1:0")
    assert result.code == 1 and "without client certificates" in result.err


@pytest.mark.needs("root", "openssl")
def test_tcp_wants_a_certificate_and_a_host_that_it_knows(wherry: Wherry, tmp_path: Path) -> None:
    for name in ("ca", "server", "client", "stranger"):
        _certificate(tmp_path, name, "ca" if name in ("server", "client") else "")
    files = {"--tlscacert": "ca.pem", "--tlscert": "server.pem", "--tlskey": "server.key"}
    options = [word for option, file in files.items() for word in (option, str(tmp_path / file))]
    served = Served(wherry, "-H", "tcp://127.0.0.1:0", *options)
    try:
        port = _port_of(served)
        assert _ask(port, tmp_path, "client", "127.0.0.1").startswith(b"HTTP/1.1 200 OK")
        assert _ask(port, tmp_path, "client", "localhost").startswith(b"HTTP/1.1 200 OK")
        assert _ask(port, tmp_path, "client", "rebound.example").startswith(b"HTTP/1.1 403 ")
        for name in ("stranger", ""):
            assert _ask(port, tmp_path, name, "127.0.0.1") == b""
    finally:
        served.close()


def _port_of(served: Served) -> int:
    for line in Path(f"/proc/{served.process.pid}/net/tcp").read_text().splitlines()[1:]:
        words = line.split()
        if words[3] == "0A" and _inode(served, words[9]):
            return int(words[1].rpartition(":")[2], 16)
    raise AssertionError("it does not listen")


def _inode(served: Served, inode: str) -> bool:
    directory = f"/proc/{served.process.pid}/fd"
    return any(os.readlink(f"{directory}/{fd}") == f"socket:[{inode}]" for fd in os.listdir(directory))


def _certificate(directory: Path, name: str, authority: str) -> None:
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN={name}"]
    command += ["-keyout", directory / f"{name}.key", "-out", directory / f"{name}.pem"]  # type: ignore[list-item]
    command += ["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    if authority:
        command += ["-CA", directory / f"{authority}.pem", "-CAkey", directory / f"{authority}.key"]  # type: ignore[list-item]
        command += ["-addext", "basicConstraints=CA:FALSE"]
    subprocess.run(command, check=True, capture_output=True)


def _ask(port: int, directory: Path, name: str, host: str) -> bytes:
    context = ssl.create_default_context(cafile=str(directory / "ca.pem"))
    if name:
        context.load_cert_chain(directory / f"{name}.pem", directory / f"{name}.key")
    try:
        with (
            socket.create_connection(("127.0.0.1", port), 30) as plain,
            context.wrap_socket(plain, server_hostname="localhost") as one,
        ):
            one.sendall(f"GET /_ping HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
            return one.recv(65536)
    except (ssl.SSLError, ConnectionError):  # it does not talk to this one
        return b""


@pytest.mark.needs("root")
def test_web_pages_are_not_answered(served: Served) -> None:
    """A page in a browser that reaches the socket through a proxy is not a client."""
    for header in ({"Origin": "https://example.org"}, {"Sec-Fetch-Site": "cross-site"}):
        assert served.ask("GET", "/containers/json", headers=header)[0] == 403


@pytest.mark.needs("root")
def test_bodies_and_headers_are_bounded(served: Served) -> None:
    """CVE-2022-31030 and CVE-2023-25153: what a client sends is not kept without end."""
    body = b'{"Image": "' + b"a" * (9 << 20) + b'"}'
    status, answer = served.ask("POST", "/containers/create", body, {"Content-Type": "application/json"})
    assert status == 400 and b"longer than" in answer
    assert served.ask("GET", "/_ping", headers={"X-Long": "a" * (64 << 10)})[0] == 400
    assert served.ask("GET", "/_ping")[0] == 200


@pytest.mark.needs("root")
@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/containers/create", b"[]"),
        ("/containers/create", b"{" * 100_000),
        ("/containers/create", b'{"Image": 5}'),
        ("/containers/create", b'{"Image": "a", "HostConfig": {"Memory": "much"}}'),
        ("/containers/create", b'{"Image": "a", "HostConfig": {"Memory": 1e300}}'),
        ("/containers/create", b'{"Image": "\\ud800"}'),
        ("/containers/create?name=%00", b'{"Image": "a"}'),
        ("/volumes/create", b'{"Name": "../../etc"}'),
        ("/networks/create", b'{"Name": "n", "IPAM": {"Config": [{"Subnet": "10.0.0.0/99"}]}}'),
        ("/images/create?fromImage=..%2F..%2Fetc", b""),
        ("/images/create?fromImage=a&tag=sha256%3A..%2Fx", b""),
        ("/auth", b'{"username": "a:b", "password": "c"}'),
    ],
)
def test_malformed_requests_are_the_clients_mistake(served: Served, path: str, body: bytes) -> None:
    status, answer = served.ask("POST", path, body, {"Content-Type": "application/json"})
    assert 400 <= status < 500, answer
    assert json.loads(answer)["message"]


@pytest.mark.needs("root")
def test_a_request_never_uses_the_servers_own_logins(served: Served) -> None:
    """The server's user may be logged in to registries; a client that is not does not pull with that login."""
    from wherry.api.auth import use
    from wherry.engine.engine import Engine
    from wherry.engine.paths import find
    from wherry.engine.registries import registry_config
    from wherry.registry.credentials import Credentials

    home = served.wherry.home / ".docker"
    home.mkdir()
    (home / "config.json").write_text('{"auths": {"registry.example": {"username": "a", "password": "b"}}}')
    root, run = str(served.wherry.root), str(served.wherry.run_root)
    engine = Engine(find({"HOME": str(served.wherry.home)}, root=root, run=run))

    def known() -> object:
        config = registry_config(engine)
        return Credentials(config.docker_config, config.credentials).get("registry.example")

    assert known() is not None
    use(engine, "", "registry.example/image")
    assert known() is None
