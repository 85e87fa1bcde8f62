"""A person whose container is somewhere else, and what goes on when one of the two goes away."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest

from support.command import wait_for
from support.remote import Far
from support.serving import Served

pytestmark = pytest.mark.xdist_group("remote")


@pytest.fixture
def far(served: Served) -> Far:
    return Far.to(served)


@pytest.fixture
def web(far: Far) -> Iterator[str]:
    """The name of a container, removed at the end."""
    name = "r-" + uuid.uuid4().hex[:12]
    yield name
    far("rm", "-f", name)


def test_exec_in_the_background(far: Far, web: str) -> None:
    far.ok("run", "-d", "--name", web, "--network", "none", "busybox", "sleep", "1000")
    assert far("exec", "-d", web, "touch", "/made").code == 0
    wait_for(lambda: far("exec", web, "test", "-e", "/made").code == 0)


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


def test_logs_also_while_they_are_written(far: Far, web: str) -> None:
    script = "echo one; echo two >&2; read x; echo three"
    far.ok("run", "-di", "--name", web, "--network", "none", "busybox", "sh", "-c", script)
    process = far.popen("logs", "-f", web)
    assert process.stdout is not None and process.stdout.readline() == b"one\n"
    assert far("attach", web, input="\n").code == 0
    out, err = process.communicate(timeout=20)
    assert (out, err) == (b"three\n", b"two\n")
    assert far.ok("logs", "-n", "1", "-t", web).endswith("Z three\n")
