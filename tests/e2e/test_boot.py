"""`wherry boot`: what runs after the machine was started.  A restart of the machine is played: every monitor is killed
at once, the directories and control groups that a restart clears are cleared, and the database remembers another
boot."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from support import images, leaks
from support.command import Wherry, kill_and_wait

pytestmark = pytest.mark.survival
POLICIES = ("always", "unless-stopped", "on-failure", "no")


def statuses(box: Wherry) -> dict[str, str]:
    lines = box.ok("ps", "-a", "--format", "{{.Names}} {{.State}}").splitlines()
    return dict(line.split(" ") for line in lines)


def restart_the_machine(box: Wherry) -> None:
    identities = leaks.container_ids(box.directory)
    for pid in leaks.processes_of(box.directory):
        kill_and_wait(pid)
    for identity in identities:
        leaks.remove_cgroups(identity)
    shutil.rmtree(box.run_root)
    with sqlite3.connect(box.root / "wherry.db") as db:
        db.execute("UPDATE containers SET boot = 'another' WHERE boot != ''")
    db.close()


@pytest.fixture
def machine(anyone: Wherry) -> Wherry:
    """One of the test's own."""
    archive = images.busybox().docker_archive(anyone.directory / "image.tar", "busybox:latest")
    os.chmod(archive, 0o644)
    anyone.load(archive)
    return anyone


def test_what_runs_again(machine: Wherry) -> None:
    for policy in POLICIES:
        for suffix in ("running", "stopped"):
            machine.ok("run", "-d", "--name", f"{policy}-{suffix}", "--restart", policy, "busybox", "sleep", "90")
    machine.ok("create", "--name", "never-started", "--restart", "always", "busybox", "sleep", "90")
    machine.ok("run", "-d", "--name", "gone", "--rm", "busybox", "sleep", "90")
    machine.ok("stop", "-t", "0", *[f"{policy}-stopped" for policy in POLICIES])
    before = statuses(machine)
    assert machine.ok("boot") == ""  # everything is as it was left
    assert statuses(machine) == before
    restart_the_machine(machine)
    started = machine.ok("boot").split()
    assert started == ["always-running", "always-stopped", "unless-stopped-running"]  # the oldest first
    found = statuses(machine)
    assert {name for name, status in found.items() if status == "running"} == set(started)
    assert found["never-started"] == "created"
    assert "gone" not in found
    form = "{{.State.Status}} {{.State.ExitCode}} {{.State.Error}}"
    assert machine.ok("inspect", "-f", form, "no-running") == "exited 255 the machine was restarted\n"
    assert machine.ok("inspect", "-f", form, "unless-stopped-stopped") == "exited 137 \n"
    assert machine.ok("boot") == ""
    machine.ok("stop", "-t", "0", "always-running")
    assert machine.ok("boot") == ""  # stopped since: that holds until the next restart
    machine.ok("rm", "-f", *found)


def test_an_orderly_end(machine: Wherry) -> None:
    """What was stopped for the machine to go down was not stopped by anybody."""
    machine.ok(
        "run", "-d", "--name", "one", "--restart", "unless-stopped", "--stop-timeout", "0", "busybox", "sleep", "90"
    )
    machine.ok("run", "-d", "--name", "two", "--stop-timeout", "0", "busybox", "sleep", "90")
    assert sorted(machine.ok("boot", "--stop").split()) == ["one", "two"]
    assert statuses(machine) == {"one": "exited", "two": "exited"}
    restart_the_machine(machine)
    assert machine.ok("boot") == "one\n"
    machine.ok("rm", "-f", "one", "two")


def test_one_that_cannot_start_keeps_nobody(machine: Wherry) -> None:
    (machine.directory / "bound").mkdir()
    os.chmod(machine.directory / "bound", 0o755)
    bind = ("--mount", f"type=bind,src={machine.directory}/bound,dst=/m")
    machine.ok("run", "-d", "--name", "one", "--restart", "always", *bind, "busybox", "sleep", "90")
    machine.ok("run", "-d", "--name", "two", "--restart", "always", "busybox", "sleep", "90")
    restart_the_machine(machine)
    (machine.directory / "bound").rmdir()
    result = machine("boot")
    assert (result.code, result.out) == (1, "two\n")
    assert "one: " in result.err
    machine.ok("rm", "-f", "one", "two")


def test_the_unit(wherry_as: Callable[..., Wherry], tmp_path: Path) -> None:
    box = wherry_as()
    text = box.ok("boot", "--unit")
    lines = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
    assert lines["ExecStart"].endswith(f"/__main__.py --root={box.root} --run-root={box.run_root} boot")
    assert lines["ExecStop"] == lines["ExecStart"] + " --stop"
    done = subprocess.run(["sh", "-c", lines["ExecStart"]], env=box.environment(), capture_output=True, check=False)
    assert (done.returncode, done.stdout) == (0, b"")
    if shutil.which("systemd-analyze"):
        unit = tmp_path / "wherry.service"
        unit.write_text(text)
        done = subprocess.run(["systemd-analyze", "verify", "--man=no", unit], capture_output=True, check=False)
        assert b"wherry.service" not in done.stderr, done.stderr
