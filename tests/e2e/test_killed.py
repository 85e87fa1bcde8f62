"""SIGKILL in the middle: strace delivers it at one system call of a run after another, to whichever process makes that
call first.  Afterwards the container is in one of the defined states, the next commands work, and nothing is left."""

from __future__ import annotations

import os
import signal
import subprocess
import uuid
from pathlib import Path

import pytest

from support import leaks
from support.command import Wherry, kill_and_wait, wait_for

pytestmark = [pytest.mark.survival, pytest.mark.needs("root", "strace")]

POINTS = [
    *[("mkdir", number) for number in range(1, 16)],
    *[("pwrite64", number) for number in (1, 2, 5, 9, 12, 14, 17, 20)],
    *[("clone3", 1), ("clone", 1), ("setsid", 1), ("setsid", 2)],
    *[("sendmsg", number) for number in (1, 2, 3)],
    *[("recvmsg", number) for number in (1, 2, 3)],
    *[("move_mount", number) for number in (1, 3, 10, 20)],
    *[("fsmount", number) for number in (1, 5)],
    *[("pivot_root", 1), ("capset", 1), ("execve", 2), ("seccomp", 1), ("wait4", 1)],
    *[("rmdir", number) for number in (1, 5, 10, 12)],
    *[("unlinkat", number) for number in (1, 2)],
]


def killed_at(box: Wherry, call: str, number: int, *arguments: str) -> int:
    """Run a command of which the process that makes ``call`` for the ``number``-th time is killed there."""
    inject = f"inject={call}:signal=KILL:when={number}"
    traced = Wherry(
        box.directory, prefix=("strace", "-f", "-qq", "-o", "/dev/null", "-e", f"trace={call}", "-e", inject)
    )
    return traced(*arguments, timeout=60).code


@pytest.mark.parametrize(("call", "number"), POINTS, ids=lambda value: str(value))
@pytest.mark.parametrize("remove", [True, False], ids=["rm", "keep"])
def test_a_killed_run_leaves_a_defined_state(
    as_root: Wherry, tmp_path: Path, call: str, number: int, remove: bool
) -> None:
    name, identity = "k-" + uuid.uuid4().hex[:12], tmp_path / "id"
    options = ("--name", name, "--cidfile", str(identity), "-m", "64m")
    killed_at(as_root, call, number, "run", *(["--rm"] if remove else []), *options, "busybox", "true")

    def state() -> str:
        return as_root.ok("ps", "-a", "--filter", f"name={name}", "--format", "{{.State}}").strip()

    wait_for(lambda: state() != "running")  # a monitor that was not hit finishes its work
    assert state() in ("", "created", "exited")
    assert as_root.ok("run", "--rm", "busybox", "echo", "fine") == "fine\n"
    if state():
        as_root.ok("rm", name)
    as_root.ok("run", "--rm", "--name", name, "busybox", "true")  # the name is free again
    assert container_files(as_root) == []
    if identity.exists():
        assert leaks.cgroups_of({identity.read_text()}) == []


def container_files(box: Wherry) -> list[str]:
    """Directories of containers that no row reaches, once whoever is cleaning up has finished."""
    known = set(box.ok("ps", "-a", "-q", "--no-trunc").split())

    def left() -> list[str]:
        return [
            str(parent / name)
            for parent in (box.root / "containers", box.run_root / "containers")
            for name in os.listdir(parent)
            if name not in known
        ]

    try:
        wait_for(lambda: not left(), 5)
    except AssertionError:
        pass
    return left()


def test_the_monitor_is_killed(as_root: Wherry) -> None:
    """Its container ends with it and is shown as exited, with the reason."""
    name = "k-" + uuid.uuid4().hex[:12]
    process = as_root.popen("run", "--name", name, "busybox", "sh", "-c", "echo up; sleep 60")
    assert process.stdout is not None
    assert process.stdout.readline() == b"up\n"
    pid = int(as_root.ok("inspect", "-f", "{{.State.Pid}}", name))
    monitor = int(open(f"/proc/{pid}/stat").read().rpartition(")")[2].split()[1])
    kill_and_wait(monitor)
    assert process.wait(20) == 125
    assert b"monitor ended unexpectedly" in process.stderr.read()  # type: ignore[union-attr]
    wait_for(lambda: not os.path.exists(f"/proc/{pid}"))
    form = "{{.State.Status}} {{.State.ExitCode}} {{.State.Error}}"
    assert as_root.ok("inspect", "-f", form, name) == "exited 137 the container's monitor was killed\n"
    as_root.ok("rm", name)
    assert container_files(as_root) == []


def test_the_first_process_is_killed_from_outside(as_root: Wherry) -> None:
    name = "k-" + uuid.uuid4().hex[:12]
    process = as_root.popen("run", "--rm", "--name", name, "busybox", "sh", "-c", "echo up; sleep 60")
    assert process.stdout is not None
    process.stdout.readline()
    pid = int(as_root.ok("inspect", "-f", "{{.State.Pid}}", name))
    os.kill(pid, signal.SIGKILL)
    assert process.wait(20) == 137
    assert container_files(as_root) == []


def test_two_runs_with_one_name(as_root: Wherry) -> None:
    """Exactly one of several that start at once gets the name; the others say so and leave nothing."""
    name = "k-" + uuid.uuid4().hex[:12]
    command = ("run", "--name", name, "busybox", "sleep", "0.5")
    racing = [as_root.popen(*command, stderr=subprocess.PIPE) for _ in range(6)]
    ends = [process.wait(60) for process in racing]
    assert sorted(ends) == [0, 125, 125, 125, 125, 125]
    as_root.ok("rm", name)
    assert container_files(as_root) == []


@pytest.mark.parametrize(
    "number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGKILL], ids=lambda one: one.name
)
def test_a_volume_is_filled_whole_or_not_at_all(as_root: Wherry, number: signal.Signals) -> None:
    """The signal comes in the middle of the copy; but for SIGKILL nothing of the container is left either."""
    name, volume = "k-" + uuid.uuid4().hex[:12], "v-" + uuid.uuid4().hex[:12]
    inject = f"inject=fchmod:signal={number.name.removeprefix('SIG')}:when=4"
    prefix = ("strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=fchmod", "-e", inject)
    traced = Wherry(as_root.directory, prefix=prefix)
    result = traced("run", "--name", name, "-v", f"{volume}:/usr/share", "-v", f"{volume}-2:/etc", "busybox", "true")
    assert result.code == 128 + number or number == signal.SIGKILL, str(result)
    data = as_root.root / "volumes" / volume / "_data"
    assert not data.exists() or not os.listdir(data) or number == signal.SIGKILL
    left = as_root.ok("ps", "-a", "--filter", f"name={name}", "--format", "{{.State}}").strip()
    assert left == ("created" if number == signal.SIGKILL else "")
    if left:
        as_root.ok("rm", name)
    out = as_root.ok("run", "--rm", "-v", f"{volume}-2:/etc", "busybox", "ls", "/etc")
    assert {"passwd", "group", "shadow", "os-release"} <= set(out.split())
    assert container_files(as_root) == []


def test_many_first_commands_at_once(wherry_as: object) -> None:
    """The store is made by whichever comes first; the others wait for it."""
    for _ in range(4):
        box: Wherry = wherry_as()  # type: ignore[operator]
        commands = [box.popen("images", "-q") for _ in range(8)]
        assert [(process.wait(60), process.stderr.read()) for process in commands] == [(0, b"")] * 8  # type: ignore[union-attr]
