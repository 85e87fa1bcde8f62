"""Monitors that rest: the small process that a monitor becomes loses nothing, and is the monitor again when needed.

Most tests use a copy of the package in which a monitor rests at once and after every interruption.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from support import images, leaks, needs, places
from support.command import ROOT, Result, Wherry, kill_and_wait, killed_at, wait_for
from support.terminal import Terminal

pytestmark = pytest.mark.needs("root")
COUNT = "i=0; while [ $i -lt 3000 ]; do i=$((i+1)); echo $i; done; sleep 300"


@dataclass
class Copied(Wherry):
    """The command line of a copy of the package."""

    package: Path = Path()

    def argv(self, *arguments: str | Path) -> list[str]:
        words = super().argv(*arguments)
        at = words.index("-S") + 1
        return [*words[:at], str(self.package / "wherry" / "__main__.py"), *words[at + 1 :]]


def copy_package(target: Path) -> Path:
    """The package, without byte code; its monitors rest at once."""
    shutil.copytree(ROOT / "src", target, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    keep = target / "wherry" / "monitor" / "keep.py"
    text, found = re.subn(
        r"^REST_AFTER, REST_AGAIN = .*$", "REST_AFTER, REST_AGAIN = 0.0, 0.05", keep.read_text(), flags=re.M
    )
    assert found == 1
    keep.write_text(text)
    return target


def make(directory: Path) -> Copied:
    made = Wherry.make()
    one = Copied(made.directory, package=copy_package(directory / "src"))
    archive = images.busybox().docker_archive(directory / "busybox.tar", "busybox")
    one.load(archive)
    return one


@pytest.fixture(scope="module")
def eager() -> Iterator[Copied]:
    """Root's command line with busybox."""
    for name in ("root", "debian", "busybox"):
        if not needs.present(name):
            pytest.skip(needs.reason(name))
    directory = places.make("eager")
    one = make(directory)
    one.ok("run", "--rm", "busybox", "true")  # leaves the package in one file
    yield one
    found = leaks.settled(one.directory)
    one.close()
    shutil.rmtree(directory)
    assert not found, "left behind:\n" + "\n".join(found)


def monitor_of(box: Wherry, container: str) -> int:
    pid = box.ok("inspect", "-f", "{{.State.Pid}}", container).strip()
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def rests(monitor: int) -> bool:
    """Whether it has become small, and still has what it needs when it wakes."""
    if b"import marshal" not in Path(f"/proc/{monitor}/cmdline").read_bytes():
        return False
    for link in Path(f"/proc/{monitor}/fd").iterdir():
        try:
            if os.readlink(link).startswith("/memfd:kept"):
                return True
        except FileNotFoundError:  # closed since
            continue
    return False


def open_files(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/fd"))


def resting(box: Wherry, *arguments: str) -> tuple[str, int]:
    """A container whose monitor rests, and the monitor."""
    name = "q-" + uuid.uuid4().hex[:12]
    box.ok("run", "-d", "--name", name, *arguments)
    monitor = monitor_of(box, name)
    wait_for(lambda: rests(monitor), 60)
    return name, monitor


def private(pid: int) -> int:
    """Bytes of memory that nobody shares."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) << 10 for line in lines if line.startswith("Private_"))


def test_a_container_that_stays_takes_little_memory(as_root: Wherry) -> None:
    """The package as it is: resting begins by itself, and what wakes the monitor works."""
    name, monitor = resting(as_root, "busybox", "sleep", "300")
    assert private(monitor) < 3 << 20
    as_root.ok("pause", name)
    as_root.ok("unpause", name)
    assert monitor_of(as_root, name) == monitor
    as_root.ok("stop", "-t", "0", name)
    assert as_root.ok("wait", name) == "137\n"
    as_root.ok("rm", name)


def test_a_stop_that_runs_out_when_the_monitor_would_rest(as_root: Wherry) -> None:
    """SIGKILL and the rest are due in the same moment, as with ``stop -t 2`` right after the start."""
    name, _monitor = resting(as_root, "busybox", "sleep", "300")  # what resting needs is there then
    as_root.ok("restart", "-t", "0", name)
    monitor = monitor_of(as_root, name)
    with as_root.popen("stop", "-t", "1", name) as stop:
        wait_for(lambda: '"kill"' in as_root.ok("events", "--since", "1m", "--until", "0s", "--format", "json"))
        os.kill(monitor, signal.SIGSTOP)
        time.sleep(2.5)  # both are due now
        os.kill(monitor, signal.SIGCONT)
        assert stop.wait(10) == 0
    assert as_root.ok("inspect", "-f", "{{.State.ExitCode}}", name).strip() == "137"
    as_root.ok("rm", name)


def test_a_monitor_that_rests_until_a_stop_runs_out(eager: Copied) -> None:
    name, monitor = resting(eager, "busybox", "sh", "-c", 'trap "echo asked" TERM; while :; do sleep 0.1; done')
    with eager.popen("stop", "-t", "3", name) as stop:
        wait_for(lambda: eager.ok("logs", name) == "asked\n")
        wait_for(lambda: rests(monitor), 60)
        assert stop.poll() is None
        assert stop.wait(30) == 0
    assert eager.ok("inspect", "-f", "{{.State.ExitCode}}", name).strip() == "137"
    eager.ok("rm", name)


def test_what_happens_to_a_container_whose_monitor_rests(eager: Copied) -> None:
    name, monitor = resting(
        eager, "--restart", "on-failure", "busybox", "sh", "-c", "trap 'exit 3' USR1; sleep 300 & wait"
    )
    descriptors = open_files(monitor)
    for command in (("pause",), ("unpause",), ("update", "--pids-limit", "50"), ("exec",)):
        rest = ("true",) if command == ("exec",) else ()
        eager.ok(*command, name, *rest)
        wait_for(lambda: rests(monitor), 60)
    wait_for(lambda: open_files(monitor) <= descriptors)
    first = eager.ok("inspect", "-f", "{{.State.Pid}}", name)
    eager("exec", name, "sh", "-c", "kill -USR1 1")  # it may be killed with the container before it ends
    wait_for(lambda: eager.ok("inspect", "-f", "{{.State.Status}} {{.RestartCount}}", name) == "running 1\n")
    assert eager.ok("inspect", "-f", "{{.State.Pid}}", name) != first
    wait_for(lambda: rests(monitor), 60)
    waiting = eager.popen("wait", name)
    eager.ok("rm", "-f", name)
    assert waiting.wait(30) == 0
    wait_for(lambda: not leaks.alive(monitor), 60)


@pytest.mark.parametrize("driver", ["json-file", "local", "non-blocking"])
def test_no_line_is_lost(eager: Copied, driver: str) -> None:
    """The lines are written while the monitor becomes small, and part of a line is there before it and after it."""
    log = ("--log-opt", "mode=non-blocking") if driver == "non-blocking" else ("--log-driver", driver)
    attached = eager.popen("run", "-i", *log, "--name", f"lines-{driver}", "busybox", "sh", "-c",
                           COUNT.replace("sleep 300", "printf half; read line; echo $line"),
                           stdin=subprocess.PIPE)  # fmt: skip
    assert attached.stdin is not None
    wait_for(lambda: eager("inspect", f"lines-{driver}").code == 0)
    wait_for(lambda: eager.ok("inspect", "-f", "{{.State.Pid}}", f"lines-{driver}") != "0\n")
    monitor = monitor_of(eager, f"lines-{driver}")
    wait_for(lambda: rests(monitor), 60)
    wait_for(lambda: "3000\n" in eager.ok("logs", f"lines-{driver}"))
    out, _err = attached.communicate(b"done\n", timeout=60)
    expected = "".join(f"{number}\n" for number in range(1, 3001)) + "halfdone\n"
    assert out.decode() == expected
    assert eager.ok("logs", f"lines-{driver}") == expected
    eager.ok("rm", f"lines-{driver}")


def test_a_terminal_goes_on(eager: Copied) -> None:
    with Terminal(eager, "run", "-it", "--rm", "--name", "screen", "busybox", "sh") as terminal:
        terminal.expect("#")
        monitor = monitor_of(eager, "screen")
        wait_for(lambda: rests(monitor), 60)
        terminal.type("echo $((6 * 7))\n")
        terminal.expect("42")
        terminal.resize(31, 97)
        terminal.type("sleep 0.2; stty size\n")
        terminal.expect("31 97")
        terminal.type("exit 5\n")
        assert terminal.end() == 5


def test_an_exec_that_stays(eager: Copied) -> None:
    name, _monitor = resting(eager, "busybox", "sleep", "300")
    running = eager.popen("exec", "-i", name, "sh", "-c", "read line; echo $line; exit 4", stdin=subprocess.PIPE)
    wait_for(lambda: any(rests(pid) for pid in leaks.processes_of(eager.directory) if _title(pid).endswith("/exec")))
    out, _err = running.communicate(b"hello\n", timeout=60)
    assert (out, running.returncode) == (b"hello\n", 4)
    eager.ok("rm", "-f", name)


def _title(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_text().rstrip("\0").rpartition("\0")[2]


def test_names_and_rules_of_networks(eager: Copied) -> None:
    """The monitor holds the sockets of the name server, published ports, and what tells of flushed rules."""
    eager.ok("network", "create", "calm")
    name, monitor = resting(eager, "--network", "calm", "-p", "127.0.0.1::80", "busybox", "sleep", "300")
    assert name in eager.ok("exec", name, "nslookup", name)
    port = eager.ok("port", name, "80").strip().rpartition(":")[2]
    wait_for(lambda: rests(monitor), 60)
    table = f"inet {leaks.table_of(eager.directory)}"
    subprocess.run(["nft", "delete", "table", *table.split()], check=True)
    wait_for(lambda: f"{port}" in _rules())
    eager.ok("rm", "-f", name)
    eager.ok("network", "rm", "calm")


def test_what_others_do_to_rules_wakes_nobody(eager: Copied) -> None:
    """Neither another program, nor the containers and networks that come and go; but for very large changes, which some
    test may make just then."""
    name, monitor = resting(eager, "busybox", "sleep", "300")
    own = f"wt-{os.getpid()}"

    def is_left_alone() -> bool:
        before = naps(monitor)
        eager.ok("network", "create", "coming")
        for change in (
            f"add table ip {own}; add chain ip {own} c; add rule ip {own} c accept",
            f"delete table ip {own}",
        ):
            subprocess.run(["nft", change], check=True)
        eager.ok("run", "--rm", "--network", "coming", "-p", "127.0.0.1::80", "busybox", "true")
        eager.ok("network", "rm", "coming")
        return naps(monitor) == before

    wait_for(is_left_alone)
    eager.ok("rm", "-f", name)


def naps(pid: int) -> int:
    """How often it has begun to wait."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"^voluntary_ctxt_switches:\s+(\d+)$", status, re.M)[1])  # type: ignore[index]


def _rules() -> str:
    return subprocess.run(["nft", "list", "ruleset"], capture_output=True, text=True, check=True).stdout


def test_another_version_is_installed_meanwhile(tmp_path: Path) -> None:
    """What a resting monitor loads is what it was left by, from the first container after an installation on."""
    directory = places.make("upgrade")
    box = make(directory)
    try:
        name, monitor = resting(box, "--restart", "always", "busybox", "sleep", "300")
        for source in (box.package / "wherry").rglob("*.py"):
            source.write_text("raise SystemExit('the new version')\n")
        shutil.rmtree(box.package / "wherry" / "__pycache__")
        new = Copied(box.directory, package=copy_package(tmp_path / "src"))
        new.ok("pause", name)
        new.ok("unpause", name)
        new.ok("exec", name, "true")
        new.ok("stop", "-t", "0", name)
        assert new.ok("wait", name) == "137\n"
        wait_for(lambda: not leaks.alive(monitor), 60)
        new.ok("rm", name)
        assert leaks.settled(box.directory) == []
    finally:
        box.close()
        shutil.rmtree(directory)


@pytest.mark.survival
@pytest.mark.needs("root", "strace")
@pytest.mark.parametrize(
    "point", ["memfd_create:1", "memfd_create:2", "execve:3", "execve:4", "pread64:12", "close:30"]
)
def test_a_monitor_that_is_killed_on_the_way(eager: Copied, point: str) -> None:
    """The container ends with it, or goes on, and what it was is told."""
    call, number = point.split(":")
    name = "q-" + uuid.uuid4().hex[:12]
    inject = ("-e", f"trace={call}", "-e", f"inject={call}:signal=KILL:when={number}")
    prefix = ("strace", "-f", "-qq", "-o", "/dev/null", *inject)
    traced = Copied(eager.directory, prefix=prefix, package=eager.package)
    traced("run", "-d", "--name", name, "busybox", "sleep", "1")
    wait_for(lambda: _state(eager, name).out in ("", "exited\n", "created\n"))
    eager("rm", "-f", name)
    assert eager.ok("run", "--rm", "--name", name, "busybox", "echo", "fine") == "fine\n"
    assert eager.ok("system", "check") == ""


def _state(box: Wherry, name: str) -> Result:
    return box("ps", "-a", "--filter", f"name=^{name}$", "--format", "{{.State}}")


@pytest.mark.survival
@pytest.mark.needs("root", "strace")
@pytest.mark.parametrize("point", ["recvfrom:1", "openat:2", "pread64:1", "pread64:8", "sendto:1", "pwrite64:1"])
@pytest.mark.parametrize("command", ["pause", "stop -t 0", "rm -f"])
def test_a_monitor_that_is_killed_while_it_wakes(eager: Copied, command: str, point: str) -> None:
    """Whoever woke it is told of the end; the container has ended, or is gone if that was asked for.

    Without a network, for which it would look whenever anybody changes the host's rules of nftables.
    """
    name, monitor = resting(eager, "--network", "none", "busybox", "sleep", "300")
    pid = int(eager.ok("inspect", "-f", "{{.State.Pid}}", name))
    call, number = point.split(":")
    with killed_at(monitor, call, number):
        result = eager(*command.split(), name)
    assert result.code in ((0, 1) if command == "pause" else (0,)), str(result)
    if not leaks.alive(monitor):
        wait_for(lambda: _state(eager, name).out == ("" if command == "rm -f" else "exited\n"))
        wait_for(lambda: not leaks.alive(pid))
    eager("rm", "-f", name)
    wait_for(lambda: eager.ok("system", "check") == "")


@pytest.mark.survival
@pytest.mark.needs("root", "strace")
@pytest.mark.parametrize("paused", [False, True], ids=["", "paused-since"])
def test_a_commit_that_is_killed_lets_its_container_go_on(eager: Copied, paused: bool) -> None:
    """However long it has paused it, so that its monitor has come to rest; a pause that somebody asked for stays."""
    name, monitor = resting(eager, "busybox", "sleep", "300")
    halt = ("-e", "trace=lgetxattr", "-e", "inject=lgetxattr:signal=STOP:when=1")  # it looks what has been changed
    prefix = ("strace", "-f", "-qq", "-o", "/dev/null", *halt)
    tracer = Copied(eager.directory, prefix=prefix, package=eager.package).popen("commit", name)
    wait_for(lambda: _state(eager, name).out == "paused\n")
    if paused:
        eager.ok("unpause", name)
        eager.ok("pause", name)
    wait_for(lambda: rests(monitor), 60)
    kill_and_wait(int(Path(f"/proc/{tracer.pid}/task/{tracer.pid}/children").read_text()))
    tracer.communicate(timeout=60)
    if paused:
        assert _state(eager, name).out == "paused\n"
        eager.ok("unpause", name)
    wait_for(lambda: _state(eager, name).out == "running\n")
    assert eager.ok("exec", name, "echo", "fine") == "fine\n"
    eager.ok("rm", "-f", name)


@pytest.mark.survival
def test_a_resting_monitor_that_is_killed(eager: Copied) -> None:
    name, monitor = resting(eager, "busybox", "sleep", "300")
    kill_and_wait(monitor)
    assert eager.ok("inspect", "-f", "{{.State.Status}} {{.State.ExitCode}}", name) == "exited 137\n"
    eager.ok("rm", name)
