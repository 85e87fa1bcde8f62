"""Logs as people ask for them: drivers, rotation, following; disks that are full and readers that are slow."""

from __future__ import annotations

import json
import os
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.command import Wherry, wait_for

COUNT = "i=0; while [ $i -lt {} ]; do echo $i; i=$((i+1)); done"


@pytest.fixture
def container(box: Wherry) -> Iterator[str]:
    """A name whose container is removed in the end."""
    name = "log-" + uuid.uuid4().hex[:12]
    yield name
    box("rm", "-f", name)


def numbers(count: int) -> str:
    return "".join(f"{number}\n" for number in range(count))


def inspected(box: Wherry, container: str, form: str) -> str:
    return box.ok("inspect", "-f", form, container).strip()


def log_files(box: Wherry, container: str) -> list[str]:
    path = Path(inspected(box, container, "{{.LogPath}}"))
    return sorted(found.name.replace(path.name, "LOG") for found in path.parent.glob(f"{path.name}*"))


@pytest.mark.parametrize("driver", ["json-file", "local"])
def test_a_log_that_is_rotated_is_one_log(box: Wherry, container: str, driver: str) -> None:
    options = [
        "--log-driver",
        driver,
        "--log-opt",
        "max-size=4k",
        "--log-opt",
        "max-file=50",
        "--log-opt",
        "compress=1",
    ]
    box.ok("run", "--name", container, *options, "busybox", "sh", "-c", COUNT.format(1000))
    names = log_files(box, container)
    assert "LOG" in names
    assert "LOG.1.gz" in names
    assert len(names) > 3
    assert box.ok("logs", container) == numbers(1000)
    assert box.ok("logs", "-n", "600", container) == "".join(f"{number}\n" for number in range(400, 1000))
    assert json.loads(inspected(box, container, "{{json .HostConfig.LogConfig}}")) == {
        "Type": driver,
        "Config": {"max-size": "4k", "max-file": "50", "compress": "1"},
    }
    box.ok("start", "-a", container)
    assert box.ok("logs", container) == numbers(1000) * 2  # the same log goes on
    box.ok("rm", container)
    assert not os.path.exists(box.root / "containers" / container)


def test_what_was_rotated_away_is_gone(box: Wherry, container: str) -> None:
    options = ["--log-opt", "max-size=4k", "--log-opt", "max-file=2"]
    box.ok("run", "--name", container, *options, "busybox", "sh", "-c", COUNT.format(1000))
    assert log_files(box, container) == ["LOG", "LOG.1"]
    left = box.ok("logs", container)
    assert 0 < len(left) < len(numbers(1000))
    assert numbers(1000).endswith(left)


def test_rotation_is_followed(box: Wherry, container: str) -> None:
    """Whatever was rotated and compressed between two looks: a slow reader sees every line that is kept."""
    options = ["--log-opt", "max-size=20k", "--log-opt", "max-file=100", "--log-opt", "compress=true"]
    box.ok(
        "run", "-d", "--name", container, *options, "busybox", "sh", "-c", f"read x; {COUNT.format(5000)}; sleep 1000"
    )
    follower = box.popen("logs", "-f", container)
    assert follower.stdout is not None
    try:
        wait_for(lambda: inspected(box, container, "{{.State.Running}}") == "true")
    finally:
        box("rm", "-f", container)
    out, err = follower.communicate(timeout=60)
    assert (follower.returncode, err) == (0, b"")
    assert numbers(5000).startswith(out.decode())


def test_following_ends_with_the_container_and_sees_its_last_line(box: Wherry, container: str) -> None:
    options = ["--log-opt", "max-size=10k", "--log-opt", "max-file=100", "--log-opt", "compress=true"]
    box.ok("run", "-d", "-i", "--name", container, *options, "busybox", "sh", "-c", f"read x; {COUNT.format(5000)}")
    follower = box.popen("logs", "-f", container)
    box.ok("attach", container, input="go\n")
    out, err = follower.communicate(timeout=60)
    assert (follower.returncode, err) == (0, b"")
    assert out.decode() == numbers(5000)


def test_attributes_and_tags_are_details(box: Wherry, container: str) -> None:
    options = ["--log-opt", "labels=a", "--log-opt", "env=B", "--log-opt", "tag={{.Name}}"]
    box.ok("run", "--name", container, *options, "-l", "a=1 2", "-e", "B=/", "busybox", "echo", "line")
    assert box.ok("logs", "--details", container) == f"B=%2F,a=1+2,tag={container} line\n"


def test_no_log(box: Wherry, container: str) -> None:
    assert box.ok("run", "--name", container, "--log-driver", "none", "busybox", "echo", "seen") == "seen\n"
    result = box("logs", container)
    assert result.code == 1
    assert "configured logging driver does not support reading" in result.err
    assert inspected(box, container, "{{.LogPath}}|{{.HostConfig.LogConfig.Type}}") == "|none"


@pytest.mark.skipif(os.path.exists("/run/systemd/journal/socket"), reason="this machine has a journal")
def test_no_journal(box: Wherry, container: str) -> None:
    result = box("run", "--name", container, "--log-driver", "journald", "busybox", "true")
    assert result.code == 125
    assert "failed to initialize logging driver: journald is not enabled on this host" in result.err


def test_a_log_that_does_not_keep_the_container_waiting(box: Wherry, container: str) -> None:
    options = ["--log-opt", "mode=non-blocking", "--log-opt", "max-buffer-size=64m"]
    box.ok("run", "--name", container, *options, "busybox", "sh", "-c", COUNT.format(5000))
    assert box.ok("logs", container) == numbers(5000)


def test_a_full_disk_loses_no_line_silently(as_root: Wherry) -> None:
    """The log's file system has room for a part of the output; the container ends as always."""
    box, container = as_root, "full-" + uuid.uuid4().hex[:8]
    options = ["--log-driver", "local", "--log-opt", "max-size=100m"]
    box.ok("create", "--name", container, *options, "busybox", "sh", "-c", f"{COUNT.format(20000)} && echo done")
    place = Path(inspected(box, container, "{{.LogPath}}")).parent
    place.mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "none", place], check=True)
    try:
        assert box.ok("start", "-a", container) == numbers(20000) + "done\n"
        lost = int(inspected(box, container, "{{.Wherry.LogLost}}"))
        kept = box.ok("logs", container).splitlines()
        assert lost > 0
        assert [line for line in kept if "wherry" not in line] == [str(number) for number in range(20001 - lost)]
        subprocess.run(["mount", "-o", "remount,size=16m", place], check=True)
        box.ok("start", "-a", container)
        told = box("logs", container)
        assert "done" in told.out
        assert int(inspected(box, container, "{{.Wherry.LogLost}}")) == lost
    finally:
        subprocess.run(["umount", place], check=True)
        box.ok("rm", container)
