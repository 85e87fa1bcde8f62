"""The command line against an engine somewhere else: `wherry -H` and `wherry serve`."""

from __future__ import annotations

import pytest

from support.remote import Far
from support.serving import Served

pytestmark = pytest.mark.xdist_group("remote")


@pytest.fixture
def far(served: Served) -> Far:
    return Far.to(served)


def test_who_answers_is_said(far: Far, served: Served) -> None:
    assert far.ok("version", "-f", "{{.Client.Endpoint}} {{.Server.APIVersion}}") == f"unix://{served.socket} 1.50\n"
    assert f" Endpoint:   unix://{served.socket} (-H)\n" in far.ok("info")


@pytest.mark.parametrize(
    ("command", "code", "out", "err"),
    [
        (["echo", "hello"], 0, "hello\n", ""),
        (["sh", "-c", "echo out; echo err >&2; exit 7"], 7, "out\n", "err\n"),
        (["nothere"], 127, "", 'wherry: exec: "nothere": executable file not found in $PATH\n'),
        (["/etc/passwd"], 126, "", 'wherry: exec: "/etc/passwd": permission denied\n'),
    ],
)
def test_run_in_the_foreground(far: Far, command: list[str], code: int, out: str, err: str) -> None:
    result = far("run", "--rm", "--network", "none", "busybox", *command)
    assert (result.code, result.out, result.err) == (code, out, err)
    assert not far.ok("ps", "-aq")


def test_run_takes_input_until_its_end(far: Far) -> None:
    assert far.ok("run", "--rm", "-i", "--network", "none", "busybox", "sort", input="b\na\n") == "a\nb\n"
