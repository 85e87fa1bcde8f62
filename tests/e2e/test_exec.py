"""`wherry exec` as people type it, on a real kernel, as root and rootless."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from support import leaks
from support.command import Wherry, wait_for
from support.terminal import Terminal


@contextlib.contextmanager
def running(box: Wherry, *options: str, command: tuple[str, ...] = ("sleep", "600")) -> Iterator[str]:
    """The name of a container that runs meanwhile."""
    name = "t-" + uuid.uuid4().hex[:12]
    process = box.popen("run", "--rm", "--name", name, *options, "busybox", *command)
    try:
        wait_for(lambda: _runs(box, name, process), step=0.05)
        yield name
    finally:
        box("rm", "-f", name)
        process.communicate(timeout=60)
        assert not box.ok("ps", "-a", "-q", "--filter", f"name={name}")


def _runs(box: Wherry, name: str, process: subprocess.Popen[bytes]) -> bool:
    assert process.poll() is None, process.communicate()
    return "Up" in box.ok("ps", "--filter", f"name={name}", "--format", "{{.Status}}")


@pytest.fixture
def container(box: Wherry) -> Iterator[str]:
    with running(box) as name:
        yield name


# -- streams and exit status


def test_output_and_exit_status_are_the_commands(box: Wherry, container: str) -> None:
    result = box("exec", container, "sh", "-c", "echo out; echo err >&2; exit 7")
    assert (result.out, result.err, result.code) == ("out\n", "err\n", 7)
    assert box("container", "exec", container, "sh", "-c", "kill -KILL $$").code == 137


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["C", "nothere"], 127, 'exec: "nothere": executable file not found in $PATH'),
        (["C", "/etc/passwd"], 126, 'exec: "/etc/passwd": permission denied'),
        (["C", "/etc"], 126, 'exec: "/etc": is a directory'),
        (["-w", "/nothere", "C", "true"], 126, 'chdir to cwd ("/nothere") set in config.json failed: no such file'),
        (["-w", "relative", "C", "true"], 126, "the working directory 'relative' is invalid"),
        (["-u", "stranger", "C", "true"], 126, "unable to find user stranger: no matching entries in passwd file"),
        (["-u", ":strangers", "C", "true"], 126, "unable to find group strangers"),
        (["-u", "4294967296", "C", "true"], 126, "uids and gids must be in range"),
        (["-e", "=x", "C", "true"], 125, "invalid environment variable: =x"),
        (["-d", "C", "nothere"], 1, 'exec: "nothere": executable file not found in $PATH'),
        (["-it", "C", "true"], 1, "the input device is not a TTY"),
        (["C"], 1, "requires at least 2 arguments"),
        (["--nothere", "C", "true"], 125, "unknown flag: --nothere"),
        (["nothere", "true"], 1, "No such container: nothere"),
        (["--detach-keys", "ctrl-", "C", "true"], 1, "invalid detach keys"),
    ],
)
def test_what_cannot_be(box: Wherry, container: str, arguments: list[str], code: int, words: str) -> None:
    result = box("exec", *(container if word == "C" else word for word in arguments))
    assert words in result.err, str(result)
    assert result.code == code, str(result)


def test_a_container_that_does_not_run(box: Wherry) -> None:
    identity = box.ok("create", "busybox", "true").strip()
    result = box("exec", identity[:12], "true")
    assert result.code == 1
    assert f"container {identity} is not running" in result.err
    box.ok("rm", identity)


@pytest.mark.needs("root")
def test_a_paused_container(as_root: Wherry) -> None:
    with running(as_root) as name:
        as_root.ok("pause", name)
        result = as_root("exec", name, "true")
        assert result.code == 1
        assert f"container {name} is paused, unpause the container before exec" in result.err
        as_root.ok("unpause", name)
        as_root.ok("exec", name, "true")


def test_input_is_piped_in_and_ends(box: Wherry, container: str) -> None:
    data = os.urandom(1 << 20) * 4
    assert box("exec", "-i", container, "cat", input=data).raw == data
    assert box("exec", "-i", container, "true", input=b"y\n" * 1_000_000).code == 0
    assert box.ok("exec", container, "cat", input="not read") == ""


def test_streams_can_be_opened_again(box: Wherry, container: str) -> None:
    assert box.ok("exec", container, "sh", "-c", "echo again > /dev/stdout") == "again\n"
    if box.user is None:
        assert box.ok("exec", "-u", "bob", container, "sh", "-c", "echo again > /dev/stdout") == "again\n"


# -- who, where and with what


def test_users_and_groups(box: Wherry) -> None:
    with running(box, "-u", "bob", "--group-add", "5") as name:
        assert box.ok("exec", name, "id", "-un").strip() == "bob"
        assert {"5", "44"} <= set(box.ok("exec", name, "id", "-G").split())
        assert box.ok("exec", "-u", "0", name, "id", "-u").strip() == "0"
        assert box.ok("exec", "-u", "7:8", name, "sh", "-c", "id -u; id -g").split() == ["7", "8"]


def test_users_are_those_of_the_running_container(box: Wherry, container: str) -> None:
    box.ok(
        "exec",
        container,
        "sh",
        "-c",
        "echo new:x:1234:1235::/newhome:/bin/sh >> /etc/passwd; echo g:x:77:new >> /etc/group",
    )
    out = box.ok("exec", "-u", "new", container, "sh", "-c", "id -u; id -g; id -G; echo $HOME")
    assert out.split("\n")[:2] == ["1234", "1235"]
    assert "77" in out.split("\n")[2].split()
    assert out.split("\n")[3] == "/newhome"


def test_environment(box: Wherry, scratch: Path) -> None:
    (scratch / "variables").write_text("FILE=1\nMINE\n# no\n")
    with running(box, "-e", "A=1", "-e", "B=2", "-w", "/etc") as name:
        result = box.ok(
            "exec", "-e", "B=3", "-e", "MINE", "-e", "A", "--env-file", str(scratch / "variables"), name, "env",
            env={"MINE": "yes"},
        )  # fmt: skip
        found = dict(line.split("=", 1) for line in result.splitlines())
        assert found.pop("HOSTNAME") == box.ok("exec", name, "hostname").strip()
        assert found == {
            "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "B": "3",
            "FILE": "1",
            "MINE": "yes",
            "HOME": "/root",
        }
        assert box.ok("exec", name, "pwd") == "/etc\n"
        assert box.ok("exec", "-w", "/tmp", name, "pwd") == "/tmp\n"


def test_it_is_in_the_container(box: Wherry, container: str) -> None:
    """Every namespace, and the same privileges and filter as the first process has."""
    script = "cd /proc/%s; readlink ns/*; grep -E '^(Cap|Seccomp|NoNew)' status; cat cgroup"
    first = box.ok("exec", container, "sh", "-c", script.replace("%s", "1"))
    assert "seccomp" in first.lower()
    assert box.ok("exec", container, "sh", "-c", script.replace("%s", "self")) == first
    assert "Seccomp:\t2" in first


def test_its_monitor_stays_outside(box: Wherry, container: str) -> None:
    """It may have been inside for a moment, to give birth to the command there."""
    line = f"sleep\0{600 + uuid.uuid4().int % 10**9}\0"
    client = box.popen("exec", container, *line.split("\0")[:2])
    try:
        wait_for(lambda: _found(line), step=0.05)
        command = Path("/proc") / str(_found(line)[0])
        monitor = Path("/proc") / (command / "stat").read_text().rpartition(")")[2].split()[1]
        for name in ("pid_for_children", "mnt", "net", "user", "ipc", "uts", "cgroup"):
            assert os.readlink(monitor / "ns" / name) == os.readlink(f"/proc/self/ns/{name}"), name
        for name in ("pid", "mnt", "user"):
            assert os.readlink(command / "ns" / name) != os.readlink(f"/proc/self/ns/{name}"), name
        assert os.readlink(monitor / "root") == os.readlink(monitor / "cwd") == "/"
        assert (monitor / "oom_score_adj").read_text() == Path("/proc/self/oom_score_adj").read_text()
    finally:
        client.kill()
        client.communicate(timeout=60)


def _found(line: str) -> list[int]:
    """The processes with this command line."""
    found = []
    for pid in leaks.processes():
        with contextlib.suppress(OSError):
            if Path(f"/proc/{pid}/cmdline").read_text() == line:
                found.append(pid)
    return found


def test_limits_are_the_containers(box: Wherry) -> None:
    with running(
        box, "--ulimit", "nofile=321:654", "--oom-score-adj", "321", "--security-opt", "no-new-privileges"
    ) as name:
        out = box.ok("exec", name, "sh", "-c", "ulimit -n; cat /proc/self/oom_score_adj; grep NoNew /proc/self/status")
        assert out.split() == ["321", "321", "NoNewPrivs:", "1"]


def test_privileged(box: Wherry, container: str) -> None:
    def capabilities(*options: str) -> int:
        return int(box.ok("exec", *options, container, "grep", "CapEff", "/proc/self/status").split()[1], 16)

    assert capabilities() & 1 << 21 == 0
    assert capabilities("--privileged") & 1 << 21
    assert capabilities("--privileged", "-u", "bob") == 0


@pytest.mark.parametrize(
    "options",
    [["--init"], ["--pid", "host"], ["--userns", "host"], ["--privileged"], ["--read-only"], ["--ipc", "none"],
     ["--network", "host", "--uts", "host"], ["--cgroupns", "host"], ["--security-opt", "seccomp=unconfined"]],
    ids=" ".join,
)  # fmt: skip
def test_containers_of_every_kind(box: Wherry, options: list[str]) -> None:
    with running(box, *options) as name:
        assert box.ok(
            "exec", name, "sh", "-c", "id -u; cat /etc/hostname; ls /usr/bin/busybox /bin/busybox 2>/dev/null"
        ).startswith("0\n")
        result = box("exec", "-i", "-u", "bob", name, "sh", "-c", "cat; id -un; exit 3", input="in\n")
        assert (result.out, result.code) == ("in\nbob\n", 3), str(result)
        assert box("exec", name, "nothere").code == 127


def test_a_container_that_joins_another(box: Wherry, container: str) -> None:
    with running(box, "--network", f"container:{container}", "--pid", f"container:{container}") as name:
        assert "sleep 600" in box.ok("exec", name, "ps")
        theirs, ours = (box.ok("exec", one, "readlink", "/proc/self/ns/net") for one in (container, name))
        assert theirs == ours


@pytest.mark.needs("root", "runc")
def test_a_container_of_runc(as_root: Wherry) -> None:
    with running(as_root, "--runtime", "runc") as name:
        result = as_root("exec", "-i", name, "sh", "-c", "cat; id -u; exit 3", input="in\n")
        assert (result.out, result.code) == ("in\n0\n", 3), str(result)
        assert as_root("exec", name, "nothere").code == 127


@pytest.mark.needs("root", "cgroup-v1")
def test_it_is_in_the_containers_groups(as_root: Wherry) -> None:
    with running(as_root, "-m", "32m", "--cgroupns", "host") as name:
        theirs, own = (as_root.ok("exec", name, "cat", f"/proc/{pid}/cgroup") for pid in ("1", "self"))
        assert theirs == own
        assert as_root.ok("inspect", "-f", "{{.Id}}", name).strip() in own


# -- a terminal


def test_a_shell_with_a_terminal(box: Wherry, container: str) -> None:
    with Terminal(box, "exec", "-it", container, "sh", rows=33, columns=121) as terminal:
        terminal.expect("/ # ")
        terminal.type("stty size; tty; echo TERM=$TERM\n")
        terminal.expect("33 121")
        terminal.expect("/dev/pts/0")
        terminal.expect("TERM=xterm")
        terminal.expect("/ # ")
        terminal.resize(50, 99)
        if box.user is not None:  # no controlling terminal there: the signal comes from here
            terminal.process.send_signal(signal.SIGWINCH)
        wait_for(lambda: _size(terminal) == "50 99", step=0.2)
        terminal.type("exit 5\n")
        assert terminal.end() == 5
        assert terminal.mode_is_restored()


def _size(terminal: Terminal) -> str:
    terminal.type("echo =`stty size`=\n")
    terminal.expect("\n=")
    return terminal.expect("=")[:-1]


def test_detaching_leaves_the_command(box: Wherry, container: str) -> None:
    with Terminal(box, "exec", "-it", "--detach-keys", "ctrl-a,d", container, "sh") as terminal:
        terminal.expect("/ # ")
        terminal.type("touch /tmp/up; exec sleep 601\n")
        wait_for(lambda: box("exec", container, "test", "-e", "/tmp/up").code == 0)
        terminal.type(b"\x01d")
        assert terminal.end() == 0
        assert terminal.mode_is_restored()
    assert "sleep 601" in box.ok("exec", container, "ps")


def test_a_client_that_is_ended_leaves_a_sane_terminal(box: Wherry, container: str) -> None:
    with Terminal(box, "exec", "-it", container, "sh") as terminal:
        terminal.expect("/ # ")
        terminal.process.send_signal(signal.SIGTERM)
        assert terminal.end() == 143
        assert terminal.mode_is_restored()


# -- lives and deaths


def test_detached(box: Wherry, container: str) -> None:
    assert box.ok("exec", "-d", container, "sh", "-c", "touch /tmp/there; exec sleep 602") == ""
    wait_for(lambda: box("exec", container, "test", "-e", "/tmp/there").code == 0)
    assert "sleep 602" in box.ok("exec", container, "ps")
    assert box.ok("exec", "-d", "-t", container, "sh", "-c", "tty > /tmp/tty") == ""
    wait_for(lambda: "/dev/pts/" in box("exec", container, "cat", "/tmp/tty").out)


def test_the_command_survives_its_client(box: Wherry, container: str) -> None:
    """Signals are not forwarded, as in Docker; SIGKILL could not be."""
    for number in (signal.SIGKILL, signal.SIGTERM):
        client = box.popen("exec", container, "sh", "-c", "echo up; sleep 1; touch /tmp/done; sleep 603")
        assert client.stdout is not None
        assert client.stdout.readline() == b"up\n"
        client.send_signal(number)
        client.wait()
        wait_for(lambda: box("exec", container, "rm", "/tmp/done").code == 0)


@pytest.mark.parametrize("options", [[], ["--init"], ["--pid", "host"]], ids=["plain", "init", "pid-host"])
def test_it_ends_with_the_container(box: Wherry, options: list[str]) -> None:
    with running(box, *options) as name:
        client = box.popen("exec", name, "sh", "-c", "echo up; exec sleep 604")
        assert client.stdout is not None
        assert client.stdout.readline() == b"up\n"
        box.ok("exec", "-d", name, "sleep", "604")
        box.ok("rm", "-f", name)
        assert client.wait(20) == 137
        wait_for(lambda: not _runs_sleep())


def _runs_sleep() -> bool:
    found = []
    for pid in leaks.processes():
        with contextlib.suppress(OSError):
            found.append(Path(f"/proc/{pid}/cmdline").read_bytes())
    return b"sleep\x00604\x00" in found


def test_a_client_that_does_not_read_does_not_hold_the_container(box: Wherry) -> None:
    with running(box) as name:
        client = box.popen("exec", name, "yes")
        assert client.stdout is not None
        client.stdout.readline()
        os.kill(client.pid, signal.SIGSTOP)
        box.ok("rm", "-f", name, timeout=20)
        client.kill()
        client.communicate()


def test_many_at_once_while_the_container_is_removed(box: Wherry) -> None:
    with running(box) as name:
        clients = [box.popen("exec", name, "true") for _ in range(4)]
        box.ok("rm", "-f", name)
        clients += [box.popen("exec", name, "true") for _ in range(2)]
        for client in clients:
            _out, err = client.communicate(timeout=60)
            assert client.returncode in (0, 1, 137), err
            assert (client.returncode == 1) == (b"is not running" in err or b"No such container" in err), err
