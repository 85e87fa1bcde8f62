"""A person at a terminal whose container is somewhere else: raw bytes over a connection that was HTTP."""

from __future__ import annotations

import signal
import subprocess
import uuid
from collections.abc import Iterator

import pytest

from support.command import Wherry, wait_for
from support.remote import Far
from support.serving import Served
from support.terminal import Terminal

pytestmark = pytest.mark.xdist_group("remote")


@pytest.fixture(scope="module")
def served(as_root: Wherry) -> Iterator[Served]:
    one = Served(as_root)
    yield one
    one.close()


@pytest.fixture
def far(served: Served) -> Far:
    return Far.to(served)


@pytest.fixture
def web(far: Far) -> Iterator[str]:
    """The name of a container, removed at the end."""
    name = "r-" + uuid.uuid4().hex[:12]
    yield name
    far("rm", "-f", name)


def test_a_terminal_and_its_size(far: Far) -> None:
    with Terminal(far, "run", "-it", "--rm", "--network", "none", "busybox", "sh") as terminal:
        terminal.expect("/ #")
        terminal.type("stty size; tty\n")
        terminal.expect("24 80")
        terminal.expect("/dev/pts/0")
        terminal.resize(40, 100)
        terminal.type("while [ \"$(stty size)\" != '40 100' ]; do usleep 10000; done; echo re''sized\n")
        terminal.expect("resized")
        terminal.type("exit 5\n")
        assert terminal.end() == 5
        terminal.drain()


def test_detach_and_attach_again(far: Far, web: str) -> None:
    with Terminal(far, "run", "-it", "--name", web, "--network", "none", "busybox", "sh") as terminal:
        terminal.expect("/ #")
        terminal.type("\x10\x11")
        assert terminal.end() == 0
    assert far.ok("inspect", "-f", "{{.State.Running}}", web) == "true\n"
    with Terminal(far, "attach", "--detach-keys", "ctrl-x,x", web) as terminal:
        terminal.expect("/ #")  # drawn anew
        terminal.type("\x10\x11echo st''ill\n")  # are no keys of this one
        terminal.expect("still")
        terminal.type("\x18x")
        assert terminal.end() == 1
        assert b"read escape sequence" in terminal.screen
    with Terminal(far, "attach", web) as terminal:
        terminal.type("exit 4\n")
        assert terminal.end() == 4


def test_exec_in_a_terminal(far: Far, web: str) -> None:
    far.ok("run", "-d", "--name", web, "--network", "none", "busybox", "sleep", "1000")
    with Terminal(far, "exec", "-it", web, "sh") as terminal:
        terminal.expect("/ #")
        terminal.type("stty size\n")
        terminal.expect("24 80")
        terminal.type("exit 6\n")
        assert terminal.end() == 6
    result = far("exec", "-i", web, "sh", "-c", "cat; echo err >&2; exit 3", input="typed\n")
    assert (result.code, result.out, result.err) == (3, "typed\n", "err\n")
    assert far("exec", "-d", web, "touch", "/made").code == 0
    wait_for(lambda: far("exec", web, "test", "-e", "/made").code == 0)


def test_signals_are_passed_on(far: Far, web: str) -> None:
    script = "trap 'echo got; exit 9' TERM; echo ready; while :; do usleep 10000; done"
    process = far.popen("run", "--name", web, "--network", "none", "busybox", "sh", "-c", script)
    assert process.stdout is not None and process.stdout.readline() == b"ready\n"
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=20)
    assert (process.returncode, out, err) == (9, b"got\n", b"")


def test_a_client_that_is_killed_leaves_the_container(far: Far, web: str) -> None:
    process = far.popen("run", "--name", web, "--network", "none", "busybox", "sh", "-c", "echo ready; sleep 1000")
    assert process.stdout is not None and process.stdout.readline() == b"ready\n"
    process.kill()
    process.communicate()
    assert far.ok("inspect", "-f", "{{.State.Running}}", web) == "true\n"
    far.ok("kill", web)
    assert far.ok("wait", web) == "137\n"


def test_a_server_that_is_killed_is_told_of(far: Far, served: Served, web: str) -> None:
    process = far.popen("run", "--name", web, "--network", "none", "busybox", "sh", "-c", "echo ready; sleep 1000")
    assert process.stdout is not None and process.stdout.readline() == b"ready\n"
    served.kill()
    try:
        _out, err = process.communicate(timeout=20)
        assert process.returncode == 125 and err.startswith(b"wherry: lost the connection to the engine at unix://")
        refused = far("ps")
        assert refused.code == 1 and "connection refused; is it running?" in refused.err
    finally:
        served.restart()
    assert far.ok("inspect", "-f", "{{.State.Running}}", web) == "true\n"


def test_start_attached(far: Far, web: str) -> None:
    far.ok("create", "-i", "--name", web, "--network", "none", "busybox", "sh", "-c", "cat; echo err >&2; exit 3")
    for text in ("one\n", "two\n"):
        result = far("start", "-ai", web, input=text)
        assert (result.code, result.out, result.err) == (3, text, "err\n")


def test_much_goes_both_ways(far: Far) -> None:
    data = bytes(range(256)) * 40_000  # 10 MB, more than all buffers on the way together
    process = far.popen("run", "--rm", "-i", "--network", "none", "busybox", "cat", stdin=subprocess.PIPE)
    out, err = process.communicate(data, timeout=60)
    assert (process.returncode, err) == (0, b"") and out == data


def test_logs_also_while_they_are_written(far: Far, web: str) -> None:
    script = "echo one; echo two >&2; read x; echo three"
    far.ok("run", "-di", "--name", web, "--network", "none", "busybox", "sh", "-c", script)
    process = far.popen("logs", "-f", web)
    assert process.stdout is not None and process.stdout.readline() == b"one\n"
    assert far("attach", web, input="\n").code == 0
    out, err = process.communicate(timeout=20)
    assert (out, err) == (b"three\n", b"two\n")
    assert far.ok("logs", "-n", "1", "-t", web).endswith("Z three\n")
