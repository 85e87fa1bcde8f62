"""The life of a container as people type it: detached, stopped, started again, attached to, renamed, removed; and what
is left when two do it at once, or one is killed in the middle."""

from __future__ import annotations

import os
import re
import stat
import subprocess
import time
import uuid

import pytest

from support.command import Wherry, wait_for
from support.terminal import Terminal

TICKS = "i=0; while :; do i=$((i+1)); echo $i; sleep 0.1; done"


def name() -> str:
    return "l-" + uuid.uuid4().hex[:12]


def detached(box: Wherry, *arguments: str) -> str:
    """The name of a container that runs."""
    container = name()
    identity = box.ok("run", "-d", "--name", container, *arguments)
    assert re.fullmatch(r"[0-9a-f]{64}\n", identity)
    return container


def state(box: Wherry, container: str) -> str:
    return box.ok("ps", "-a", "--filter", f"name={container}", "--format", "{{.State}}").strip()


def inspected(box: Wherry, container: str, form: str) -> str:
    return box.ok("inspect", "-f", form, container).strip()


# -- detached


def test_a_detached_container_runs_on_and_is_waited_for(box: Wherry) -> None:
    container = detached(box, "busybox", "sh", "-c", "until test -e /go; do sleep 0.05; done; exit 7")
    assert state(box, container) == "running"
    waiting = box.popen("wait", container)
    box.ok("exec", container, "touch", "/go")
    assert waiting.communicate(timeout=60)[0] == b"7\n"
    assert inspected(box, container, "{{.State.Status}} {{.State.ExitCode}} {{.State.Pid}}") == "exited 7 0"
    assert box.ok("wait", container) == "7\n"
    box.ok("rm", container)


@pytest.mark.parametrize(("command", "code"), [("nothere", 127), ("/etc/passwd", 126)])
def test_a_detached_command_that_cannot_run(box: Wherry, command: str, code: int) -> None:
    container = name()
    result = box("run", "-d", "--name", container, "busybox", command)
    assert (result.code, result.out) == (code, "")
    assert state(box, container) == "created"
    result = box("start", container)
    assert result.code == 1
    assert f"failed to start containers: {container}" in result.err
    box.ok("rm", container)
    assert box("run", "-d", "--rm", "--name", container, "busybox", command).code == code
    assert state(box, container) == ""


def test_options_that_contradict_detaching(box: Wherry) -> None:
    result = box("run", "-d", "-a", "stdout", "busybox", "true")
    assert result.code == 125
    assert "conflicting options: cannot specify both --attach and --detach" in result.err


def test_the_socket_is_its_owners_alone(box: Wherry) -> None:
    container = detached(box, "busybox", "sleep", "60")
    identity = inspected(box, container, "{{.Id}}")
    found = (box.run_root / "containers" / identity / "monitor.sock").lstat()
    assert stat.S_ISSOCK(found.st_mode)
    assert stat.S_IMODE(found.st_mode) == 0o600
    with open("/proc/net/unix") as file:
        assert not any("@" in line and "wherry" in line for line in file)
    box.ok("rm", "-f", container)


# -- start, stop, kill, restart


def test_a_container_starts_again_on_what_it_wrote(box: Wherry) -> None:
    container = detached(box, "busybox", "sh", "-c", "echo again >> /kept; cat /kept")
    box.ok("wait", container)
    assert box.ok("start", "-a", container) == "again\nagain\n"
    assert box.ok("start", container) == f"{container}\n"
    box.ok("wait", container)
    assert box.ok("logs", container) == "again\n" * 6  # the same log goes on
    box.ok("rm", container)


def test_what_was_created_is_started_with_its_input(box: Wherry) -> None:
    container = name()
    box.ok("create", "-i", "--name", container, "busybox", "sh", "-c", "wc -c; exit 3")
    result = box("start", "-a", "-i", container, input="x" * 100_000)
    assert (result.out, result.code) == ("100000\n", 3)
    box.ok("rm", container)


def test_stop_asks_and_then_insists(box: Wherry) -> None:
    polite = detached(box, "busybox", "sh", "-c", 'trap "exit 5" TERM; while :; do sleep 0.05; done')
    deaf = detached(box, "busybox", "sh", "-c", 'trap "" TERM; while :; do sleep 0.05; done')
    other = detached(box, "--stop-signal", "USR1", "busybox", "sh", "-c", 'trap "exit 6" USR1; sleep 60 & wait')
    time.sleep(0.3)  # until the traps are set
    before = time.monotonic()
    assert box.ok("stop", "-t", "1", polite, deaf, other).split() == [polite, deaf, other]
    assert time.monotonic() - before < 8
    codes = [inspected(box, one, "{{.State.ExitCode}}") for one in (polite, deaf, other)]
    assert codes == ["5", "137", "6"]
    assert box.ok("stop", deaf) == f"{deaf}\n"  # it has stopped already
    box.ok("rm", polite, deaf, other)


def test_several_stop_at_once(box: Wherry) -> None:
    many = [detached(box, "--stop-timeout", "1", "busybox", "sleep", "60") for _ in range(4)]
    before = time.monotonic()
    box.ok("stop", *many)
    assert time.monotonic() - before < 3.5
    box.ok("rm", *many)


def test_kill_sends_any_signal(box: Wherry) -> None:
    script = 'trap "echo hup" HUP; echo ready; while :; do sleep 0.05; done'
    container = detached(box, "busybox", "sh", "-c", script)
    wait_for(lambda: box.ok("logs", container) == "ready\n")
    assert box.ok("kill", "-s", "HUP", container) == f"{container}\n"
    wait_for(lambda: box.ok("logs", container) == "ready\nhup\n")
    assert box("kill", "-s", "NOSUCH", container).code == 1
    box.ok("container", "kill", container)
    assert box.ok("wait", container) == "137\n"
    result = box("kill", container)
    assert result.code == 1
    assert re.search(r"cannot kill container: \S+: container [0-9a-f]{64} is not running", result.err)
    box.ok("rm", container)


def test_restart(box: Wherry) -> None:
    container = detached(box, "busybox", "sh", "-c", "echo up; exec sleep 60")
    first = inspected(box, container, "{{.State.Pid}}")
    assert box.ok("restart", "-t", "0", container) == f"{container}\n"
    second = inspected(box, container, "{{.State.Pid}}")
    assert first != second
    box.ok("stop", "-t", "0", container)
    box.ok("restart", container)
    assert state(box, container) == "running"
    wait_for(lambda: box.ok("logs", container) == "up\n" * 3)
    box.ok("rm", "-f", container)


def test_restart_of_a_container_that_is_removed_when_it_ends(box: Wherry) -> None:
    container = detached(box, "--rm", "busybox", "sleep", "60")
    box.ok("restart", "-t", "0", container)
    assert state(box, container) == "running"
    box.ok("stop", "-t", "0", container)
    assert state(box, container) == ""


def test_what_is_not_there(box: Wherry) -> None:
    for command in ("start", "stop", "kill", "restart", "wait", "pause", "unpause", "attach", "logs", "top", "port"):
        result = box(command, "nosuch")
        assert result.code == 1, str(result)
        assert "No such container: nosuch" in result.err


# -- pause, rename, rm, prune


def test_pause(box: Wherry) -> None:
    container = detached(box, "busybox", "sh", "-c", TICKS)
    result = box("pause", container)
    if box.user is not None and result.code:
        assert "control group" in result.err  # none is delegated to this user
        box.ok("rm", "-f", container)
        return
    assert state(box, container) == "paused"
    assert "(Paused)" in box.ok("ps", "--filter", f"name={container}", "--format", "{{.Status}}")
    before = box.ok("logs", container)
    time.sleep(0.5)
    assert box.ok("logs", container) == before
    for command, words in (
        ("pause", "is already paused"),
        ("start", "cannot start a paused container, try unpause instead"),
        ("attach", "cannot attach to a paused container, unpause it first"),
        ("rm", "container is paused and must be unpaused first"),
    ):
        result = box(command, container)
        assert result.code == 1
        assert words in result.err
    box.ok("unpause", container)
    wait_for(lambda: box.ok("logs", container) != before)
    assert "is not paused" in box("unpause", container).err
    box.ok("pause", container)
    box.ok("stop", "-t", "0", container)  # what is frozen goes on, to end
    assert state(box, container) == "exited"
    box.ok("rm", container)


def test_rename(box: Wherry) -> None:
    container, other = detached(box, "busybox", "sleep", "60"), name()
    box.ok("rename", container, other)
    assert box.ok("ps", "--filter", f"name={other}", "--format", "{{.Names}}") == f"{other}\n"
    assert "same name as its current name" in box("rename", other, other).err
    assert "Invalid container name" in box("rename", other, "a/b").err
    taken = detached(box, "busybox", "sleep", "60")
    result = box("rename", other, taken)
    assert result.code == 1
    assert f'The container name "/{taken}" is already in use' in result.err
    assert state(box, container) == ""
    box.ok("rm", "-f", other, taken)


def test_rm_takes_several(box: Wherry) -> None:
    one, two = detached(box, "busybox", "sleep", "60"), detached(box, "busybox", "true")
    box.ok("wait", two)
    result = box("rm", one, two)
    assert result.code == 1
    assert result.out == f"{two}\n"
    assert "container is running: stop the container before removing or force remove" in result.err
    box.ok("rm", "-f", one)
    assert state(box, one) == ""


def test_prune_by_label(box: Wherry) -> None:
    label = name()
    one, two = detached(box, "-l", label, "busybox", "true"), detached(box, "-l", f"{label}=x", "busybox", "true")
    box.ok("wait", one, two)
    out = box.ok("container", "prune", "-f", "--filter", f"label={label}=x")
    assert "Deleted Containers:" in out
    assert (state(box, one), state(box, two)) == ("exited", "")
    box.ok("container", "prune", "-f", "--filter", f"label={label}", "--filter", "until=1h")
    assert state(box, one) == "exited"
    box.ok("container", "prune", "-f", "--filter", f"label={label}", "--filter", "until=0s")
    assert state(box, one) == ""
    assert box("container", "prune", "-f", "--filter", "color=blue").code == 1


# -- attach, logs, top, port


def test_two_attach_and_one_detaches(box: Wherry) -> None:
    container = detached(box, "-i", "-t", "busybox", "sh")
    with (
        Terminal(box, "attach", "--detach-keys", "ctrl-a,d", container) as one,
        Terminal(box, "attach", container) as two,
    ):
        time.sleep(0.5)
        one.type("echo $((6*7))\n")
        one.expect("\n42")
        two.expect("\n42")
        one.type(b"\x01d")
        one.expect("read escape sequence")
        assert one.end() == 1
        assert one.mode_is_restored()
        two.type("exit 9\n")
        assert two.end() == 9
    assert state(box, container) == "exited"
    result = box("attach", "--no-stdin", container)
    assert result.code == 1
    assert "cannot attach to a stopped container, start it first" in result.err
    box.ok("rm", container)


def test_attach_gives_signals_and_the_exit_status(box: Wherry) -> None:
    script = 'trap "echo term; exit 4" TERM; while :; do echo tick; sleep 0.05; done'
    container = detached(box, "busybox", "sh", "-c", script)
    process = box.popen("attach", container)
    assert process.stdout is not None
    assert process.stdout.readline() == b"tick\n"
    process.terminate()
    assert process.communicate(timeout=20)[0].endswith(b"term\n")
    assert process.returncode == 4
    box.ok("rm", container)


@pytest.mark.survival
def test_a_killed_client_does_the_container_no_harm(box: Wherry) -> None:
    container = detached(box, "busybox", "sh", "-c", TICKS)
    process = box.popen("attach", container)
    assert process.stdout is not None
    process.stdout.readline()
    process.kill()
    process.communicate()
    before = box.ok("logs", container)
    wait_for(lambda: box.ok("logs", container) != before)
    box.ok("rm", "-f", container)


def test_logs(box: Wherry) -> None:
    container = detached(box, "busybox", "sh", "-c", "echo one; echo two >&2; sleep 0.4; echo three; printf four")
    box.ok("wait", container)
    result = box("logs", container)
    assert (result.out, result.err) == ("one\nthree\nfour", "two\n")
    assert box.ok("logs", "-n", "2", container) == "three\nfour"
    assert box.ok("logs", "--tail", "0", container) == ""
    stamped = box.ok("logs", "-t", container).splitlines()
    assert all(re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z ", line) for line in stamped)
    third = stamped[1].split()[0]
    assert box.ok("logs", "--since", third, container) == "three\nfour"
    assert box.ok("logs", "--until", third, container) == "one\nthree\n"
    assert box.ok("logs", "--since", "1h", "--details", container) == " one\n three\n four"
    assert box.ok("logs", "--until", "1h", container) == ""
    assert box.ok("logs", "--since", str(int(time.time()) + 60), container) == ""
    result = box("logs", "--since", "yesterday", container)
    assert result.code == 1
    assert 'invalid value for "since"' in result.err
    box.ok("rm", container)


def test_logs_are_followed_to_the_end(box: Wherry) -> None:
    container = detached(box, "busybox", "sh", "-c", "for i in 1 2 3 4 5; do echo $i; sleep 0.1; done; seq 6 20000")
    assert box.ok("logs", "-f", container) == "".join(f"{number}\n" for number in range(1, 20001))
    assert box.ok("logs", "-f", "-n", "1", container) == "20000\n"
    box.ok("rm", container)


def test_top(box: Wherry) -> None:
    container = detached(box, "busybox", "sh", "-c", "sleep 61 & sleep 62; true")
    wait_for(lambda: len(box.ok("top", container).splitlines()) == 4)
    lines = box.ok("top", container).splitlines()
    assert lines[0].split()[:3] == ["UID", "PID", "PPID"]
    lines = box.ok("top", container, "-o", "pid,args").splitlines()  # of whatever terminal and person
    assert len(lines) == 4
    lines = box.ok("top", container, "-eo", "pid,args").splitlines()
    assert sorted(line.split(None, 1)[1] for line in lines[1:]) == [
        "sh -c sleep 61 & sleep 62; true",
        "sleep 61",
        "sleep 62",
    ]
    assert "Couldn't find PID field" in box("top", container, "-eo", "args").err
    box.ok("rm", "-f", container)


def test_top_sees_an_init_and_what_it_started(box: Wherry) -> None:
    container = detached(box, "--init", "busybox", "sleep", "61")
    wait_for(lambda: "sleep 61" in box.ok("top", container))
    assert len(box.ok("top", container).splitlines()) == 3
    box.ok("rm", "-f", container)


def test_port(box: Wherry) -> None:
    container = detached(box, "busybox", "sleep", "60")
    assert box.ok("port", container) == ""
    result = box("port", container, "80")
    assert result.code == 1
    assert f"no public port '80/tcp' published for {container}" in result.err
    box.ok("rm", "-f", container)


# -- two at once, and SIGKILL


@pytest.mark.survival
def test_many_start_one_container(box: Wherry) -> None:
    """Each succeeds, and it runs once."""
    container = name()
    box.ok("create", "--name", container, "busybox", "sh", "-c", "echo up; exec sleep 60")
    racing = [box.popen("start", container) for _ in range(5)]
    assert [process.wait(60) for process in racing] == [0] * 5
    wait_for(lambda: box.ok("logs", container) == "up\n")
    time.sleep(0.3)
    assert box.ok("logs", container) == "up\n"
    racing = [box.popen("restart", "-t", "0", container) for _ in range(3)]
    assert [process.wait(60) for process in racing] == [0] * 3
    assert state(box, container) == "running"
    assert len(box.ok("top", container).splitlines()) == 2
    box.ok("rm", "-f", container)


@pytest.mark.survival
def test_start_and_remove_at_once(box: Wherry) -> None:
    for _ in range(3):
        container = name()
        box.ok("create", "--name", container, "busybox", "sleep", "60")
        start, remove = box.popen("start", container), box.popen("rm", container)
        codes = (start.wait(60), remove.wait(60))
        assert codes in ((0, 1), (1, 0)), (codes, start.communicate(), remove.communicate())
        assert state(box, container) == ("running" if codes == (0, 1) else "")
        if codes == (0, 1):
            box.ok("rm", "-f", container)


@pytest.mark.survival
def test_stop_and_remove_at_once(box: Wherry) -> None:
    container = detached(box, "busybox", "sleep", "60")
    stop, remove = box.popen("stop", "-t", "0", container), box.popen("rm", "-f", container)
    assert remove.wait(60) == 0
    assert stop.wait(60) in (0, 1)  # 1: it was gone already
    assert state(box, container) == ""


@pytest.mark.survival
def test_a_client_that_does_not_read_keeps_nobody_from_removing(box: Wherry) -> None:
    container = detached(box, "busybox", "sh", "-c", "sleep 0.5; yes")
    process = box.popen("attach", container)
    assert process.stdout is not None
    process.stdout.read(2)
    time.sleep(0.5)
    box.ok("rm", "-f", container)
    assert state(box, container) == ""
    assert set(process.communicate(timeout=30)[0].decode().split()) == {"y"}
    assert process.returncode == 137


@pytest.mark.survival
def test_many_rename_to_one_name(box: Wherry) -> None:
    many, wanted = [detached(box, "busybox", "sleep", "60") for _ in range(3)], name()
    racing = [box.popen("rename", one, wanted) for one in many]
    assert sorted(process.wait(60) for process in racing) == [0, 1, 1]
    box.ok("rm", "-f", *box.ok("ps", "-q", "--filter", "name=l-").split())


POINTS = [
    *[(("start",), call, number) for call, number in (("bind", 1), ("listen", 1), ("pwrite64", 2), ("execve", 2))],
    *[(("start",), call, number) for call, number in (("flock", 1), ("clone3", 1), ("pivot_root", 1), ("setsid", 1))],
    *[(("stop", "-t", "0"), call, number) for call, number in (("connect", 1), ("sendto", 1), ("recvfrom", 1))],
    *[(("restart", "-t", "0"), call, number) for call, number in (("recvfrom", 1), ("bind", 1), ("setsid", 1))],
    *[(("rm", "-f"), call, number) for call, number in (("flock", 2), ("pwrite64", 1), ("unlinkat", 1), ("rmdir", 2))],
    *[(("pause",), call, number) for call, number in (("connect", 1), ("sendto", 1))],
]


@pytest.mark.survival
@pytest.mark.needs("root", "strace")
@pytest.mark.parametrize(("command", "call", "number"), POINTS, ids=lambda value: str(value))
def test_a_killed_command_leaves_a_defined_state(
    as_root: Wherry, command: tuple[str, ...], call: str, number: int
) -> None:
    container = detached(as_root, "busybox", "sh", "-c", "echo up; exec sleep 60")
    if command == ("start",):
        as_root.ok("stop", "-t", "0", container)
    inject = f"inject={call}:signal=KILL:when={number}"
    traced = Wherry(
        as_root.directory, prefix=("strace", "-f", "-qq", "-o", "/dev/null", "-e", f"trace={call}", "-e", inject)
    )
    traced(*command, container, timeout=60)
    wait_for(lambda: state(as_root, container) in ("", "running", "exited", "paused"))
    if state(as_root, container):
        as_root("unpause", container)
        as_root.ok("restart", "-t", "0", container)
        assert state(as_root, container) == "running"
        as_root.ok("rm", "-f", container)
    known = set(as_root.ok("ps", "-a", "-q", "--no-trunc").split())
    for parent in (as_root.root / "containers", as_root.run_root / "containers"):
        wait_for(lambda parent=parent: set(os.listdir(parent)) <= known)


@pytest.mark.survival
@pytest.mark.needs("root")
def test_the_monitor_of_a_paused_container_is_killed(as_root: Wherry) -> None:
    container = detached(as_root, "busybox", "sleep", "60")
    pid = int(inspected(as_root, container, "{{.State.Pid}}"))
    monitor = int(open(f"/proc/{pid}/stat").read().rpartition(")")[2].split()[1])
    as_root.ok("pause", container)
    waiting = as_root.popen("wait", container, stdout=subprocess.PIPE)
    time.sleep(0.3)
    os.kill(monitor, 9)
    assert waiting.communicate(timeout=20)[0] == b"137\n"
    assert inspected(as_root, container, "{{.State.Status}}") == "exited"
    wait_for(lambda: not os.path.exists(f"/proc/{pid}"))
    as_root.ok("start", container)
    as_root.ok("rm", "-f", container)
