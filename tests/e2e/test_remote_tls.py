"""TCP with TLS, both sides showing certificates: the command line, our server, and what is told when it fails."""

from __future__ import annotations

import os
import select
import socket
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from support.command import Wherry
from support.registry import Authority
from support.remote import Far
from support.serving import Served
from support.terminal import Terminal

pytestmark = [pytest.mark.needs("root", "openssl"), pytest.mark.xdist_group("remote")]


@dataclass
class Tls:
    """A server on a unix socket and on TCP, and a directory of a client's certificates."""

    served: Served
    port: int
    directory: Path  # ca.pem, cert.pem, key.pem
    authority: Authority

    def options(self, **changes: str) -> list[str]:
        files = {"tlscacert": "ca.pem", "tlscert": "cert.pem", "tlskey": "key.pem"} | changes
        return ["--tlsverify", *[f"--{option}={self.directory / file}" for option, file in files.items()]]

    def far(self, host: str = "127.0.0.1", **changes: str) -> Far:
        return Far.of(self.served.wherry, "-H", f"tcp://{host}:{self.port}", *self.options(**changes))


@pytest.fixture(scope="module")
def tls(as_root: Wherry, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tls]:
    directory = tmp_path_factory.mktemp("tls")
    authority = Authority(directory)
    other = Authority(_made(directory / "other"))
    certificate, key = authority.issue("server", f"IP:127.0.0.1,DNS:localhost,DNS:{socket.gethostname()}")
    for name, source in (("ca.pem", authority.ca), ("other-ca.pem", other.ca)):
        (directory / name).write_bytes(source.read_bytes())
    for start, one in (("", authority), ("other-", other)):
        for name, path in zip(("cert.pem", "key.pem"), one.issue("client"), strict=True):
            (directory / f"{start}{name}").write_bytes(path.read_bytes())
    hosts = ["-H", f"unix://{as_root.run_root}/wherry.sock", "-H", "tcp://127.0.0.1:0"]
    files = ["--tlscacert", str(authority.ca), "--tlscert", str(certificate), "--tlskey", str(key)]
    served = Served(as_root, *hosts, *files)
    assert served.process.stdout is not None
    port = int(served.process.stdout.readline().rpartition(b":")[2])
    yield Tls(served, port, directory, authority)
    served.close()


def _made(directory: Path) -> Path:
    directory.mkdir()
    return directory


def test_every_kind_of_request(tls: Tls) -> None:
    far = tls.far()
    assert far.ok("version", "-f", "{{.Client.Endpoint}}") == f"tcp://127.0.0.1:{tls.port}\n"
    assert far.ok("images", "-q", "busybox").strip()
    result = far(
        "run", "--rm", "-i", "--network", "none", "busybox", "sh", "-c", "cat; echo err >&2; exit 7", input="in\n"
    )
    assert (result.code, result.out, result.err) == (7, "in\n", "err\n")


def test_a_terminal(tls: Tls) -> None:
    with Terminal(tls.far(), "run", "-it", "--rm", "--network", "none", "busybox", "sh") as terminal:
        terminal.expect("/ #")
        terminal.type("tty\n")
        terminal.expect("/dev/pts/0")
        terminal.type("exit 5\n")
        assert terminal.end() == 5


def test_much_goes_both_ways_and_its_end_arrives(tls: Tls) -> None:
    data = bytes(range(256)) * 20_000
    process = tls.far().popen("run", "--rm", "-i", "--network", "none", "busybox", "cat", stdin=subprocess.PIPE)
    out, err = process.communicate(data, timeout=60)
    assert (process.returncode, err) == (0, b"") and out == data


def test_the_socket_beside_it_is_plain(tls: Tls) -> None:
    assert Far.to(tls.served).ok("version", "-f", "{{.Server.APIVersion}}") == "1.50\n"


def test_the_name_in_the_certificate_is_answered_to(tls: Tls) -> None:
    host = socket.gethostname()
    if not any(entry[4][0] == "127.0.0.1" for entry in socket.getaddrinfo(host, None)):
        host = "localhost"
    assert tls.far(host).ok("version", "-f", "{{.Server.APIVersion}}") == "1.50\n"


def test_the_environment_says_it_too(tls: Tls) -> None:
    env = {
        "DOCKER_HOST": f"tcp://localhost:{tls.port}",
        "DOCKER_TLS_VERIFY": "1",
        "DOCKER_CERT_PATH": str(tls.directory),
    }
    found = Far.of(tls.served.wherry)
    assert found.ok("version", "-f", "{{.Client.Endpoint}}", env=env) == f"tcp://localhost:{tls.port}\n"
    assert "(DOCKER_HOST)" in found.ok("info", env=env)
    # what is typed is stronger
    assert "Endpoint" not in found.ok("-c", "default", "version", env=env)


def test_a_context_keeps_the_certificates(tls: Tls, tmp_path: Path) -> None:
    here, env = Far.of(tls.served.wherry), {"DOCKER_CONFIG": str(tmp_path / "docker")}
    parts = [f"host=tcp://127.0.0.1:{tls.port}"]
    parts += [
        f"{name}={tls.directory / file}" for name, file in (("ca", "ca.pem"), ("cert", "cert.pem"), ("key", "key.pem"))
    ]
    here.ok("context", "create", "far", "--docker", ",".join(parts), env=env)
    assert here.ok("-c", "far", "version", "-f", "{{.Client.Context}}", env=env) == "far\n"
    archive = tmp_path / "far.dockercontext"
    here.ok("context", "export", "far", archive, env=env)
    here.ok("context", "import", "again", archive, env=env)
    here.ok("context", "use", "again", env=env)
    assert here.ok("version", "-f", "{{.Client.Context}} {{.Server.APIVersion}}", env=env) == "again 1.50\n"
    keys = list((tmp_path / "docker/contexts/tls").rglob("key.pem"))
    assert len(keys) == 2 and all(path.stat().st_mode & 0o077 == 0 for path in keys)


@pytest.mark.parametrize(
    ("changes", "message", "hint"),
    [
        ({"tlscacert": "other-ca.pem"}, "TLS: certificate verify failed: ", "--tlscacert"),
        ({"tlscert": "other-cert.pem", "tlskey": "other-key.pem"}, "unknown ca", "--tlscert and --tlskey"),
        ({"tlskey": "other-key.pem"}, "key values mismatch", "--tlscert"),
        ({"tlscacert": "nosuch.pem"}, "no such file or directory", "--tlscacert"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_certificates_is_said(tls: Tls, changes: dict[str, str], message: str, hint: str) -> None:
    result = tls.far(**changes)("ps")
    assert result.code == 1 and not result.out
    first, second = result.err.splitlines()
    assert message in first and hint in second, result.err


def test_without_a_certificate_of_ones_own(tls: Tls) -> None:
    far = Far.of(
        tls.served.wherry, "-H", f"tcp://127.0.0.1:{tls.port}", "--tlsverify", f"--tlscacert={tls.directory}/ca.pem"
    )
    result = far("ps")
    assert result.code == 1 and "certificate required" in result.err and "--tlscert and --tlskey" in result.err


def test_a_name_that_the_certificate_does_not_have(tls: Tls) -> None:
    result = tls.far("127.0.0.2")("ps")  # nobody listens there
    assert result.code == 1 and "connection refused; is it running?" in result.err
    with socket.create_server(("127.0.0.2", 0)) as listener:
        threading.Thread(target=_forward, args=(listener, tls.port), daemon=True).start()
        far = Far.of(tls.served.wherry, "-H", f"tcp://127.0.0.2:{listener.getsockname()[1]}", *tls.options())
        result = far("ps")
    assert result.code == 1 and "ip address mismatch" in result.err.lower(), result.err


def _forward(listener: socket.socket, port: int) -> None:
    one, _peer = listener.accept()
    with one, socket.create_connection(("127.0.0.1", port)) as other:
        while select.select([one, other], [], [], 20)[0]:
            for source, target in ((one, other), (other, one)):
                if select.select([source], [], [], 0)[0]:
                    data = source.recv(65536)
                    if not data:
                        return
                    target.sendall(data)


def test_plain_where_tls_is_spoken_and_the_other_way_round(tls: Tls) -> None:
    result = Far.of(tls.served.wherry, "-H", f"tcp://127.0.0.1:{tls.port}")("ps")
    assert result.code == 1 and "--tlsverify" in result.err.splitlines()[1]
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=_answer_in_plain, args=(listener,), daemon=True).start()
        far = Far.of(tls.served.wherry, "-H", f"tcp://127.0.0.1:{listener.getsockname()[1]}", *tls.options())
        result = far("ps")
    assert result.code == 1 and "TLS: " in result.err and "does it speak TLS?" in result.err, result.err


def _answer_in_plain(listener: socket.socket) -> None:
    one, _peer = listener.accept()
    with one:
        one.recv(65536)
        one.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
        os.read(one.fileno(), 65536)


@pytest.mark.needs("docker-client")
def test_docker_ends_its_input_before_the_output_ends(tls: Tls) -> None:
    host = ["-H", f"tcp://127.0.0.1:{tls.port}", *tls.options()]
    command = ["run", "--rm", "-i", "--network", "none", "busybox", "sh", "-c", "cat; usleep 200000; echo late"]
    assert tls.served.ok(*host, *command, input="in\n") == "in\nlate\n"
