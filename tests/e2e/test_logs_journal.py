"""Logs that are in the journal: a journald of the test's own, in a mount namespace, is read as Docker reads it."""

from __future__ import annotations

import dataclasses
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.command import Wherry, wait_for

pytestmark = pytest.mark.needs("root", "journald")

BEGIN = """
mount --make-rprivate / && mount -t tmpfs none /run && mount -t tmpfs none /var/log || exit 1
mkdir -p /run/systemd/journal /run/log/journal /run/systemd/journald.conf.d
printf '[Journal]\\nAudit=no\\nReadKMsg=no\\nRateLimitBurst=0\\n' >/run/systemd/journald.conf.d/test.conf
exec /lib/systemd/systemd-journald
"""


@pytest.fixture
def journaled(as_root: Wherry) -> Iterator[Wherry]:
    """A command whose machine has a journal."""
    journald = subprocess.Popen(["unshare", "-m", "sh", "-c", BEGIN], stderr=subprocess.DEVNULL)
    try:
        wait_for((Path(f"/proc/{journald.pid}/root/run/systemd/journal/socket")).exists)
        yield dataclasses.replace(as_root, prefix=("nsenter", "-t", str(journald.pid), "-m"))
    finally:
        journald.kill()
        journald.wait()


@pytest.fixture
def container(journaled: Wherry) -> Iterator[str]:
    name = "journal-" + uuid.uuid4().hex[:12]
    yield name
    journaled("rm", "-f", name)


SAY = "printf 'a\\377\\n'; for i in 1 2 3; do echo $i; done; echo bad >&2; head -c 20000 /dev/zero | tr '\\0' x"


def test_logs_reads_the_journal(journaled: Wherry, container: str) -> None:
    chosen = ["--log-opt", "labels=a-b", "--label", "a-b=c"]
    journaled.ok("run", "--name", container, "--log-driver", "journald", *chosen, "busybox", "sh", "-c", SAY)
    found = journaled("logs", container)
    assert (found.code, found.err) == (0, "bad\n")
    assert found.raw.rstrip(b"\n") == b"a\xff\n1\n2\n3\n" + b"x" * 20000
    assert journaled("logs", "-n", "0", container).raw == b""
    assert journaled.ok("logs", "--until", "10m", container) == ""
    assert journaled.ok("logs", "--since", "10m", "--details", container).splitlines()[1] == "A_B=c 1"
    assert len(journaled.ok("logs", "-t", container).splitlines()[1]) == len("2026-01-01T00:00:00.000000000Z 1")


def test_following_the_journal_ends_with_the_container(journaled: Wherry, container: str) -> None:
    script = "(while :; do echo tick; sleep 0.1; done) & read x; kill $!; seq 0 499"
    journaled.ok("run", "-d", "-i", "--name", container, "--log-driver", "journald", "busybox", "sh", "-c", script)
    wait_for(lambda: journaled.ok("logs", "-n", "1", container) == "tick\n")
    followers = [journaled.popen("logs", "-f", *options, container) for options in ((), ("-n", "0"))]
    for follower in followers:
        assert follower.stdout is not None
        assert follower.stdout.readline() == b"tick\n"
    journaled.ok("attach", container, input="go\n")
    for follower in followers:
        out, err = follower.communicate(timeout=60)
        assert (follower.returncode, err) == (0, b"")
        assert out.decode().replace("tick\n", "") == "".join(f"{number}\n" for number in range(500))
