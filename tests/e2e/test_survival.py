"""What a container and its store must survive: SIGKILL anywhere, two commands at once, a full disk, a power failure.

A run samples the points at which it kills; the seed is in the test's name, and ``WHERRY_SEED`` sets it.
``WHERRY_EVERYTHING=1`` goes through all points and makes 200 containers.
"""

from __future__ import annotations

import json
import os
import random
import re
import sqlite3
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from support import images, leaks
from support.command import Wherry, kill_and_wait, killed_at, wait_for
from support.serving import Served

pytestmark = pytest.mark.survival
EVERYTHING = bool(os.environ.get("WHERRY_EVERYTHING"))
SEED = os.environ.get("WHERRY_SEED") or (os.environ.get("PYTEST_XDIST_TESTRUNUID") or uuid.uuid4().hex)[:8]
DEFINED = ("created", "running", "restarting", "paused", "exited")
CALLS = {
    "pwrite64": 12, "mkdir": 10, "rmdir": 10, "unlink": 4, "unlinkat": 4, "sendto": 5, "recvfrom": 5, "flock": 6,
    "clone3": 2, "clone": 3, "execve": 4, "memfd_create": 2, "wait4": 2, "pidfd_send_signal": 1, "connect": 2,
    "bind": 2, "setsid": 3, "pivot_root": 1, "write": 12, "rename": 2, "epoll_wait": 4,
}  # fmt: skip
JSON = {"Content-Type": "application/json"}
BRIEF = ("busybox", "sleep", "3")  # strace stays until everything that it follows has ended
VERBS = ("run", "start", "stop", "restart", "rm", "exec", "kill", "update", "create", "pause", "unpause", "rename",
         "commit", "cp", "connect", "disconnect", "volume")  # fmt: skip
MENDED = ("connect", "disconnect", "volume")  # what they leave half done, `system check --repair` finishes
WATCHED = ("stop", "restart", "kill", "pause", "unpause", "update", "connect", "disconnect")
MONITOR_CALLS = {
    "sendto": 12,
    "recvfrom": 4,
    "write": 4,
    "pwrite64": 8,
    "rmdir": 8,
    "unlink": 2,
    "openat": 12,
    "clone": 2,
}


def points() -> list[tuple[str, str, int]]:
    every = [(verb, call, number) for verb in VERBS for call, most in CALLS.items() for number in range(1, most + 1)]
    return every if EVERYTHING else sorted(random.Random(SEED).sample(every, 8))


def monitor_points() -> list[tuple[str, str, int]]:
    every = [(verb, call, n) for verb in WATCHED for call, most in MONITOR_CALLS.items() for n in range(1, most + 1)]
    return every if EVERYTHING else sorted(random.Random(SEED).sample(every, 5))


def name() -> str:
    return "s-" + uuid.uuid4().hex[:12]


def state(box: Wherry, container: str) -> str:
    return box.ok("ps", "-a", "--filter", f"name=^{container}$", "--format", "{{.State}}").strip()


def commands(verb: str, container: str) -> tuple[str, ...]:
    return {
        "run": ("run", "-d", "--restart", "on-failure:1", "--name", container, *BRIEF),
        "exec": ("exec", container, "true"),
        "stop": ("stop", "-t", "0", container),
        "restart": ("restart", "-t", "0", container),
        "rm": ("rm", "-f", container),
        "update": ("update", "--restart", "always", "--pids-limit", "50", container),
        "create": ("create", "--name", container, "-v", f"{container}:/etc", *BRIEF),
        "rename": ("rename", container, f"{container}-2"),
        "commit": ("commit", container, container),
        "cp": ("cp", f"{container}:/bin/busybox", "-"),
        "connect": ("network", "connect", container, container),
        "disconnect": ("network", "disconnect", container, container),
        "volume": ("volume", "rm", container),
    }.get(verb, (verb, container))


class Stage:
    """What a verb is about: a container, and a network and a volume of its name where it is about those."""

    def __init__(self, box: Wherry, verb: str) -> None:
        self.box, self.verb, self.name = box, verb, name()
        if verb in ("connect", "disconnect"):
            box.ok("network", "create", self.name)
        if verb == "volume":
            box.ok("volume", "create", self.name)
            (box.root / "volumes" / self.name / "_data" / "file").touch()
        if verb not in ("run", "create"):
            network = ("--network", self.name) if verb == "disconnect" else ()
            box.ok("run", "-d", "-p", "80", *network, "--name", self.name, *BRIEF)
        if verb == "start":
            box.ok("stop", "-t", "0", self.name)
        if verb == "unpause":
            box.ok("pause", self.name)

    def end(self) -> None:
        """Whatever has become of it is a defined state; it can be removed, and then nothing is left."""
        box = self.box
        called = f"{self.name}-2" if self.verb == "rename" and state(box, f"{self.name}-2") else self.name
        found = state(box, called)
        assert found in ("", *DEFINED)
        if self.verb == "commit":
            wait_for(lambda: state(box, called) != "paused")
        box.ok("ps", "-a")  # sweeps
        if self.verb in MENDED:
            wait_for(lambda: box("system", "check", "--repair").code == 0, 10, step=0.2)
        assert_agreement(box)
        identity = box.ok("inspect", "-f", "{{.Id}}", called).strip() if found else ""
        if found:
            box.ok("rm", "-f", called)
        box("volume", "rm", self.name)
        if self.verb in ("connect", "disconnect"):
            box.ok("network", "rm", self.name)
        if self.verb == "commit":
            box("rmi", self.name)
        assert box.ok("run", "--rm", "--name", self.name, "busybox", "echo", "fine") == "fine\n"  # the name is free
        is_settled(box, *([identity] if identity else []))


def assert_agreement(box: Wherry) -> None:
    """Interfaces and published ports are what the database says: nothing else answers, and everything does."""

    def differences() -> list[str]:
        with closing(sqlite3.connect(f"file:{box.root}/wherry.db?mode=ro", uri=True)) as db:
            endpoints = [
                json.loads(record).get("host_interface", "")
                for (record,) in db.execute(
                    "SELECT e.record FROM endpoints e JOIN containers c ON c.id = e.container_id "
                    "WHERE e.active AND c.status IN ('running', 'paused') AND e.record != ''"
                )
            ]
            ports = {str(port) for (port,) in db.execute("SELECT host_port FROM ports")}
            ended = db.execute(
                "SELECT c.name FROM endpoints e JOIN containers c ON c.id = e.container_id "
                "WHERE e.active AND c.status IN ('created', 'exited', 'dead')"
            ).fetchall()
        found = [f"no {one}" for one in endpoints if one and not os.path.exists(f"/sys/class/net/{one}")]
        table = leaks.table_of(box.directory)
        listed = subprocess.run(["nft", "list", "table", "inet", table], capture_output=True, text=True, check=False)
        open_ = set(re.findall(r"(?:tcp|udp) \. (\d+) :", listed.stdout)) if table else set()
        found += [f"an address of {one}" for (one,) in ended]
        return found + sorted(f"port {one}" for one in open_ ^ ports)

    try:
        wait_for(lambda: not differences(), 10, step=0.2)  # a monitor may be in the middle of it
    except AssertionError:
        raise AssertionError(differences()) from None


def is_settled(box: Wherry, *gone: str) -> None:
    """Nothing is wrong, nothing is left, and everything still works."""
    box.ok("ps", "-a")  # sweeps

    def wrong() -> str:
        return box("system", "check").out

    try:
        wait_for(lambda: not wrong(), 10, step=0.2)
    except AssertionError:
        raise AssertionError(wrong()) from None
    known = set(box.ok("ps", "-a", "-q", "--no-trunc").split())
    for parent in (box.root / "containers", box.run_root / "containers"):  # a monitor may still be clearing up
        wait_for(lambda at=parent: not at.exists() or set(os.listdir(at)) <= known, 10)  # type: ignore[misc]
    for container in gone:
        assert leaks.cgroups_of({container}) == []


@pytest.mark.needs("root", "strace", "nft")
@pytest.mark.parametrize("point", points(), ids=lambda point: f"{SEED}-{'-'.join(map(str, point))}")
def test_sigkill_at_any_point(as_root: Wherry, point: tuple[str, str, int]) -> None:
    """Whichever process makes the call first is the one that dies: the command, the monitor, or the container's own."""
    verb, call, number = point
    stage = Stage(as_root, verb)
    inject = ("-e", f"trace={call}", "-e", f"inject={call}:signal=KILL:when={number}")
    traced = Wherry(as_root.directory, prefix=("strace", "-f", "-qq", "-o", "/dev/null", *inject))
    traced(*commands(verb, stage.name), timeout=60)
    stage.end()


@pytest.mark.needs("root", "strace", "nft")
@pytest.mark.parametrize("point", monitor_points(), ids=lambda point: f"{SEED}-{'-'.join(map(str, point))}")
def test_sigkill_of_the_monitor_at_any_point(as_root: Wherry, point: tuple[str, str, int]) -> None:
    """In the middle of what a command has asked of it, or of its container's end."""
    verb, call, number = point
    stage = Stage(as_root, verb)
    pid = int(as_root.ok("inspect", "-f", "{{.State.Pid}}", stage.name))
    monitor = parent(pid)
    with killed_at(monitor, call, number):
        result = as_root(*commands(verb, stage.name), timeout=60)
    assert "internal error" not in result.err, str(result)
    if not leaks.alive(monitor):
        wait_for(lambda: state(as_root, stage.name) in ("", "running", "exited"))
        assert state(as_root, stage.name) != "running" or parent(pid) != monitor  # or it was restarted by another
        wait_for(lambda: not leaks.alive(pid))
    stage.end()


@pytest.mark.needs("root", "strace", "nft")
def test_what_a_killed_start_had_taken_is_free_again(as_root: Wherry) -> None:
    """Its address and its ports, which it takes before there is anything of it in the run root."""
    for number in (3, 4, 5):
        container = name()
        as_root.ok("run", "-p", "80", "--name", container, "busybox", "true")
        inject = ("-e", "trace=write", "-e", f"inject=write:signal=KILL:when={number}")
        traced = Wherry(as_root.directory, prefix=("strace", "-f", "-qq", "-o", "/dev/null", *inject))
        traced("start", container, timeout=60)
        as_root.ok("ps", "-a")
        wait_for(lambda one=container: state(as_root, one) == "exited")  # type: ignore[misc]
        assert_agreement(as_root)
        as_root.ok("rm", container)


def parent(pid: int) -> int:
    """0 for a process that is gone."""
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except FileNotFoundError:
        return 0


@pytest.mark.parametrize(
    ("one", "other"),
    [("start", "start"), ("stop", "rm"), ("exec", "rm"), ("restart", "restart"), ("restart", "rm"), ("stop", "start"),
     ("kill", "update"), ("rename", "rm")],
)  # fmt: skip
def test_two_at_once(box: Wherry, one: str, other: str) -> None:
    """Whoever is second finds what the first has made of it; nobody crashes, and nothing is left."""
    container = name()
    box.ok("run", "-d", "--name", container, "busybox", "sleep", "60")
    if "start" in (one, other) and "stop" not in (one, other):
        box.ok("stop", "-t", "0", container)
    racing = [box.popen(*commands(verb, container)) for verb in (one, other)]
    for process in racing:
        _out, err = process.communicate(timeout=60)
        assert b"internal error" not in err, err
        assert process.returncode in (0, 1, 126, 137), err
    for called in (container, f"{container}-2"):  # as it may be by now
        found = state(box, called)
        assert found in ("", *DEFINED)
        if found:
            box.ok("rm", "-f", called)
    is_settled(box)


def test_a_name_is_used_again_at_once(box: Wherry) -> None:
    container = name()
    for number in range(6):
        box.ok("run", "-d", "--name", container, "busybox", "sleep", "60")
        assert box.ok("rm", "-f", container) == f"{container}\n"
        assert box.ok("run", "--rm", "--name", container, "busybox", "echo", str(number)) == f"{number}\n"


@pytest.mark.needs("root")
def test_many_containers(as_root: Wherry) -> None:
    """Made and started ten at a time; all run, all are seen, all go."""
    count = 200 if EVERYTHING else 30
    label = name()
    for _ in range(count // 10):
        batch = [as_root.popen("run", "-d", "-l", label, "busybox", "sleep", "300") for _ in range(10)]
        assert [process.wait(120) for process in batch] == [0] * 10
    running = as_root.ok("ps", "-q", "--filter", f"label={label}").split()
    assert len(set(running)) == count
    as_root.ok("rm", "-f", *running, timeout=300)
    assert as_root.ok("ps", "-a", "-q", "--filter", f"label={label}") == ""
    is_settled(as_root)


@pytest.fixture
def small(wherry_as: Callable[..., Wherry]) -> Iterator[Wherry]:
    """A store on a file system of 24 MB, in a mount namespace of its own: else every other test's containers would
    copy the mount."""
    box = wherry_as()
    box.root.mkdir(mode=0o700)
    holder = subprocess.Popen(["unshare", "--mount", "--propagation", "private", "sleep", "600"])
    wait_for(lambda: Path(f"/proc/{holder.pid}/comm").read_text() == "sleep\n")
    inside = Wherry(box.directory, prefix=("nsenter", "--mount", "--target", str(holder.pid)))
    try:
        mount = ("mount", "-t", "tmpfs", "-o", "size=24m,mode=700", "tmpfs", str(box.root))
        subprocess.run([*inside.prefix, *mount], check=True)
        inside.load(images.busybox().docker_archive(box.directory / "image.tar", "busybox:latest"))
        yield inside
    finally:
        holder.kill()
        holder.wait()


def inside(box: Wherry) -> Path:
    """The root of the small store, as it is seen from here."""
    return Path(f"/proc/{box.prefix[-1]}/root{box.root}")


def fill(box: Wherry) -> Path:
    filler = inside(box) / "ingest" / "filler"
    with filler.open("wb", buffering=0) as file:
        try:
            while file.write(b"\0" * 65536):
                pass
        except OSError:
            pass
        try:
            while file.write(b"\0"):
                pass
        except OSError:
            pass
    return filler


@pytest.mark.needs("root")
def test_a_full_disk(small: Wherry) -> None:
    """What runs goes on, what ends is known, what cannot be made says why and leaves nothing."""
    end = "until test -e /dev/shm/go; do sleep 0.05; done; exit 7"
    small.ok("run", "-d", "--name", "one", "busybox", "sh", "-c", end)
    small.ok("run", "-d", "--name", "two", "busybox", "sleep", "60")
    filler = fill(small)
    result = small("run", "--name", "three", "busybox", "true")
    assert result.code == 125
    assert "no space left" in result.err
    small.ok("exec", "one", "touch", "/dev/shm/go")
    wait_for(lambda: state(small, "one") == "exited")
    assert state(small, "two") == "running"
    small.ok("stop", "-t", "0", "two")
    assert small.ok("inspect", "-f", "{{.State.ExitCode}}", "one") == "7\n"
    filler.unlink()
    assert small.ok("inspect", "-f", "{{.State.ExitCode}} {{.State.Error}}", "one") == "7 \n"
    assert small.ok("run", "--rm", "--name", "three", "busybox", "echo", "fine") == "fine\n"
    small.ok("start", "one")
    small.ok("rm", "-f", "one", "two")
    is_settled(small)


@pytest.mark.needs("root")
def test_what_makes_room_on_a_full_disk(small: Wherry) -> None:
    """It works, by what is kept for it; without that it fails, and what was to be removed is there."""
    small.ok("create", "--name", "one", "busybox", "true")
    small.ok("network", "create", "net")
    small.ok("run", "--rm", "-v", "data:/data", "busybox", "touch", "/data/file")
    links, reserve = leaks.interfaces_of(small.directory), inside(small) / "reserve"
    reserve.unlink()
    filler = fill(small)
    for words in ("volume rm data", "network rm net", "network create other", "rm one", "tag busybox b"):
        result = small(*words.split())
        assert (result.code, "no space left" in result.err) == (1, True), str(result)
    filler.unlink()
    assert small.ok("run", "--rm", "-v", "data:/data", "busybox", "ls", "/data") == "file\n"
    assert leaks.interfaces_of(small.directory) == links
    small.ok("container", "prune", "-f")
    assert reserve.stat().st_blocks * 512 >= 1 << 19
    filler = fill(small)
    assert "no space left" in small("create", "busybox", "true").err
    small.ok("volume", "rm", "data")
    small.ok("network", "rm", "net")
    small.ok("system", "prune", "-a", "-f")
    assert small.ok("images", "-q") == ""
    filler.unlink()
    is_settled(small)


@pytest.mark.needs("root")
def test_a_command_that_ends_on_a_full_disk(small: Wherry) -> None:
    """How it ended is known to whoever asks by its id, then and later."""
    small.ok("run", "-d", "--name", "one", "--network", "none", "busybox", "sleep", "60")
    served = Served(small)
    try:
        words = {"Cmd": ["sh", "-c", "until [ -e /dev/shm/go ]; do sleep 0.05; done; exit 9"]}
        status, made = served.ask("POST", "/containers/one/exec", json.dumps(words).encode(), JSON)
        assert status == 201, made
        identity = json.loads(made)["Id"]
        assert served.ask("POST", f"/exec/{identity}/start", b'{"Detach": true}', JSON)[0] == 200

        def end() -> int | None:
            return json.loads(served.ask("GET", f"/exec/{identity}/json")[1])["ExitCode"]  # type: ignore[no-any-return]

        filler = fill(small)
        status, refused = served.ask("POST", "/containers/one/exec", json.dumps(words).encode(), JSON)
        assert status >= 500 and b"no space left" in refused
        small.ok("exec", "one", "touch", "/dev/shm/go")
        wait_for(lambda: end() is not None)
        assert end() == 9
        filler.unlink()
        assert end() == 9
        assert os.listdir(small.run_root / "execs") == []
    finally:
        served.close()
    small.ok("rm", "-f", "one")
    is_settled(small)


@pytest.mark.needs("root")
def test_the_power_fails(wherry_as: Callable[..., Wherry]) -> None:
    """Every process ends at once, the run root is gone, the database's log is cut anywhere, files are half written."""
    chance = random.Random(SEED)
    box = wherry_as()
    box.load(images.busybox().docker_archive(box.directory / "image.tar", "busybox:latest"))
    with closing(sqlite3.connect(box.root / "wherry.db")) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")  # the image is not of the last moments
    for round_ in range(3):
        names = [f"p{round_}-{number}" for number in range(3)]
        for container in names:
            box.ok("run", "-d", "--network", "none", "--name", container, "busybox", "sleep", "60")
        for pid in leaks.processes_of(box.directory):
            kill_and_wait(pid)
        for config in (box.run_root / "containers").glob("*/config.json"):
            os.truncate(config, chance.randrange(config.stat().st_size))
        log = box.root / "wherry.db-wal"
        os.truncate(log, chance.randrange(log.stat().st_size))
        (box.root / "wherry.db-shm").unlink(missing_ok=True)
        found = dict(line.split() for line in box.ok("ps", "-a", "--format", "{{.Names}} {{.State}}").splitlines())
        assert set(found.values()) <= {"created", "exited"}, f"{found} (seed {SEED})"
        is_settled(box)
        assert box.ok("run", "--rm", "--network", "none", "busybox", "echo", "fine") == "fine\n"
        if found:
            box.ok("rm", *found)
        leaks.sweep(box.directory)


@pytest.mark.needs("root")
def test_a_clock_that_jumps(as_root: Wherry) -> None:
    """Pauses and intervals are not measured by the clock that people set: here it goes back a day at every look."""
    container = name()
    backwards = (
        "import runpy, sys, time; real = time.time_ns; seen = [0]\n"
        "def jumping():\n    seen[0] += 86400 * 10**9\n    return real() - seen[0]\n"
        "time.time_ns = jumping; time.time = lambda: jumping() / 1e9\n"
        "sys.argv = sys.argv[1:]; runpy.run_path(sys.argv[0], run_name='__main__')\n"
    )
    command = as_root.argv("run", "-d", "--name", container, "--restart", "on-failure:2", "--health-cmd", "true",
                           "--health-interval", "50ms", "busybox", "sh", "-c", "sleep 0.4; exit 3")  # fmt: skip
    main = command.index("-S") + 1
    jumping = [sys.executable, "-I", "-S", "-c", backwards, *command[main:]]
    subprocess.run(jumping, env=as_root.environment(), check=True, capture_output=True, timeout=60)
    form = "{{.State.Status}} {{.RestartCount}} {{.State.ExitCode}}"
    wait_for(lambda: as_root.ok("inspect", "-f", form, container) == "exited 2 3\n")
    assert "0" in as_root.ok("inspect", "-f", "{{range .State.Health.Log}}{{.ExitCode}} {{end}}", container).split()
    as_root.ok("rm", container)


@pytest.mark.parametrize("remove", [True, False], ids=["rm", "keep"])
def test_a_stranger_in_its_control_group_keeps_nothing(as_root: Wherry, remove: bool) -> None:
    """A control group with processes cannot be removed at once; everything else goes, and then the group."""
    with subprocess.Popen(["sleep", "600"]) as stranger:
        try:
            options = ("--rm",) if remove else ()
            identity = as_root.ok("run", "-d", *options, "busybox", "sleep", "600").strip()
            groups = leaks.cgroups_of({identity})
            (groups[0] / "cgroup.procs").write_text(str(stranger.pid))
            as_root.ok("kill", identity)
            wait_for(lambda: not leaks.cgroups_of({identity}))
            wait_for(lambda: not (as_root.run_root / "containers" / identity).exists())
            wait_for(lambda: not leaks.interfaces_of(as_root.directory))
        finally:
            stranger.kill()
    if not remove:
        as_root.ok("rm", identity)


def test_the_lock_of_a_container_that_is_gone_goes_too(box: Wherry) -> None:
    """Whoever removed it was killed in the last moment."""
    lock = box.run_root / "locks" / ("0123456789abcdef" * 4)
    lock.touch()
    if box.user is not None:
        os.chown(lock, box.user.uid, box.user.gid)
    box.ok("ps", "-a")
    assert not lock.exists()
