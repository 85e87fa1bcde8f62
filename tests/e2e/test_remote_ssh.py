"""Over ssh: `wherry -H ssh://` and the docker command, against an ssh server on loopback."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.command import Wherry, wait_for
from support.remote import Far
from support.sshd import Sshd
from support.terminal import Terminal

pytestmark = [pytest.mark.needs("root", "sshd"), pytest.mark.xdist_group("remote")]


@pytest.fixture(scope="module")
def sshd(as_root: Wherry) -> Iterator[Sshd]:
    """At its far end is our command line, and no server runs yet."""
    one = Sshd({"wherry": as_root.argv()})
    yield one
    one.close()
    _end_servers(as_root)


def _end_servers(wherry: Wherry) -> None:
    """The servers that `system dial-stdio` has started on the state of ``wherry``."""
    for process in _servers(wherry):
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, signal.SIGTERM)
    wait_for(lambda: not _servers(wherry))


def _servers(wherry: Wherry) -> list[int]:
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().split(b"\0")
        except OSError:
            continue
        if b"serve" in words and f"--run-root={wherry.run_root}".encode() in words:
            found.append(int(path.parent.name))
    return found


@pytest.fixture
def far(sshd: Sshd, as_root: Wherry) -> Far:
    one = Far.of(as_root, "-H", sshd.host)
    one.env.update(sshd.environment)
    return one


def test_every_kind_of_request_with_one_server(far: Far, as_root: Wherry, sshd: Sshd) -> None:
    """The first connection starts a server, which the next ones find."""
    assert far.ok("version", "-f", "{{.Client.Endpoint}} {{.Server.APIVersion}}") == f"{sshd.host} 1.50\n"
    there = os.stat(as_root.run_root / "wherry.sock")
    assert far.ok("images", "-q", "busybox").strip()
    script = "cat; echo err >&2; exit 7"
    result = far("run", "--rm", "-i", "--network", "none", "busybox", "sh", "-c", script, input="in\n")
    assert (result.code, result.out, result.err) == (7, "in\n", "err\n")
    after = os.stat(as_root.run_root / "wherry.sock")
    assert (after.st_ino, after.st_mtime_ns) == (there.st_ino, there.st_mtime_ns)


def test_a_terminal(far: Far) -> None:
    with Terminal(far, "run", "-it", "--rm", "--network", "none", "busybox", "sh") as terminal:
        terminal.expect("/ #")
        terminal.type("sh -c 'echo st\"\"art; exec sleep 1000'\n")  # a shell that has just forked loses an interrupt
        terminal.expect("start")
        terminal.type("\x03")  # is the container's, not ssh's
        terminal.expect("/ #")
        terminal.type("tty\n")
        terminal.expect("/dev/pts/0")
        terminal.type("exit 5\n")
        assert terminal.end() == 5


def test_much_goes_both_ways(far: Far) -> None:
    data = bytes(range(256)) * 20_000
    process = far.popen("run", "--rm", "-i", "--network", "none", "busybox", "cat", stdin=subprocess.PIPE)
    out, err = process.communicate(data, timeout=60)
    assert (process.returncode, err) == (0, b"") and out == data


@pytest.mark.needs("docker-client")
def test_the_docker_command_reaches_us(sshd: Sshd, as_root: Wherry, tmp_path: Path) -> None:
    """It asks for `docker system dial-stdio` at the far end, which is ours by that name."""
    sshd.add("docker", as_root.argv())
    env = sshd.environment | {"HOME": str(tmp_path), "DOCKER_HOST": sshd.host}
    command = ["docker", "run", "--rm", "-i", "--network", "none", "busybox", "cat"]
    done = subprocess.run(command, env=env, input=b"in\n", capture_output=True, timeout=60, check=False)
    (sshd.programs / "docker").unlink()
    assert (done.returncode, done.stdout, done.stderr) == (0, b"in\n", b"")


def test_where_wherry_is_not_there_docker_is_asked(sshd: Sshd, far: Far) -> None:
    (sshd.programs / "wherry").rename(sshd.programs / "docker")
    try:
        assert far.ok("images", "-q", "busybox").strip()
    finally:
        (sshd.programs / "docker").rename(sshd.programs / "wherry")


def test_a_socket_at_the_far_end(sshd: Sshd, far: Far, as_root: Wherry) -> None:
    far.ok("version")  # a server runs
    sshd.add("wherry", [*as_root.argv()[:-6]])  # without directories, which would say whose engine it is
    try:
        other = Far.of(as_root, "-H", f"{sshd.host}{as_root.run_root}/wherry.sock")
        other.env.update(sshd.environment)
        assert other.ok("images", "-q", "busybox").strip()
        missing = Far.of(as_root, "-H", f"{sshd.host}/nosuch.sock")
        missing.env.update(sshd.environment)
        result = missing("ps")
        assert result.code == 1 and "cannot connect to the engine at unix:///nosuch.sock" in result.err
    finally:
        sshd.add("wherry", as_root.argv())


def test_what_is_wrong_is_said(sshd: Sshd, as_root: Wherry, tmp_path: Path) -> None:
    def said(host: str, **env: str) -> str:
        far = Far.of(as_root, "-H", host)
        far.env.update(sshd.environment | env)
        result = far("ps")
        assert result.code == 1 and not result.out and len(result.err.splitlines()) == 2
        return result.err

    assert "Host key verification failed" in said(f"ssh://localhost:{sshd.port}")
    assert "Permission denied (publickey" in said(f"ssh://nosuchuser@127.0.0.1:{sshd.port}")
    assert "Connection refused" in said("ssh://127.0.0.1:1")
    assert "ssh is not installed" in said(sshd.host, PATH=str(tmp_path))
    (sshd.programs / "wherry").rename(sshd.programs / "aside")
    try:
        text = said(sshd.host)
        assert "docker: command not found" in text or "docker: not found" in text
        assert "find 'wherry' or 'docker' there" in text
    finally:
        (sshd.programs / "aside").rename(sshd.programs / "wherry")
