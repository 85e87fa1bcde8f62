"""`wherry system check`: what it says of a healthy store, of damaged ones, and what `--repair` makes of them."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
from collections.abc import Callable
from contextlib import closing

import pytest

from support import images, leaks
from support.command import Wherry, kill_and_wait, wait_for

pytestmark = pytest.mark.survival
GONE = "0" * 63 + "1"


@pytest.fixture
def store(anyone: Wherry) -> Wherry:
    """A store of the test's own with busybox and a stopped container `one`."""
    archive = images.busybox().docker_archive(anyone.directory / "image.tar", "busybox:latest")
    os.chmod(archive, 0o644)
    anyone.load(archive)
    anyone.ok("run", "--name", "one", "busybox", "sh", "-c", "echo kept > /kept")
    return anyone


def execute(box: Wherry, statement: str, *values: object) -> None:
    with closing(sqlite3.connect(box.root / "wherry.db")) as db, db:
        db.execute(statement, values)


def own(box: Wherry, path: object) -> None:
    if box.user is not None:
        os.chown(str(path), box.user.uid, box.user.gid)


def identity(box: Wherry, name: str = "one") -> str:
    return box.ok("inspect", "-f", "{{.Id}}", name).strip()


def repaired(box: Wherry, *words: str) -> None:
    """`check` tells of this alone and changes nothing; `--repair` mends it; then nothing is wrong."""
    for _ in range(2):
        result = box("system", "check")
        assert result.code == 1, str(result)
        assert len(result.out.splitlines()) == len(words), str(result)
        assert all(word in result.out for word in words), str(result)
    result = box("system", "check", "--repair")
    assert result.code == 0, str(result)
    assert result.out.count("(mended)") == len(words)
    assert box.ok("system", "check") == ""


def test_a_healthy_store(store: Wherry) -> None:
    store.ok("run", "-d", "--name", "two", "busybox", "sleep", "60")
    store.ok("create", "--name", "three", "busybox", "true")
    assert store.ok("system", "check") == ""
    assert store.ok("system", "check", "--repair") == ""
    store.ok("rm", "-f", "one", "two", "three")
    assert store.ok("system", "check") == ""


def test_rows_and_files_that_do_not_agree(store: Wherry) -> None:
    store.ok("create", "--name", "two", "busybox", "echo", "fine")
    execute(store, "UPDATE containers SET created = 1 WHERE name = 'two'")
    shutil.rmtree(store.root / "containers" / identity(store, "two"))
    left = store.root / "containers" / GONE
    left.mkdir(0o700)
    (left / "upper").mkdir(0o700)
    lock = store.run_root / "locks" / GONE.replace("1", "2")
    lock.touch(0o600)
    for path in (left, left / "upper", lock):
        own(store, path)
    repaired(
        store, "container two has lost its files", f"files of a container that is gone: {GONE}", "a lock of a container"
    )
    assert not left.exists()
    assert not lock.exists()
    assert store.ok("start", "-a", "two") == "fine\n"
    store.ok("rm", "one", "two")


def test_a_record_that_cannot_be_read(store: Wherry) -> None:
    container = identity(store)
    execute(store, "UPDATE containers SET record = '{' WHERE name = 'one'")
    repaired(store, "container one: the record of container")
    assert not (store.root / "containers" / container).exists()


def test_a_monitor_that_was_killed(store: Wherry) -> None:
    store.ok("run", "-d", "--name", "two", "busybox", "sleep", "60")
    for pid in leaks.processes_of(store.directory):
        kill_and_wait(pid)
    repaired(store, "container two is said to be running, but its monitor is gone")
    store.ok("start", "two")
    store.ok("rm", "-f", "one", "two")


@pytest.mark.needs("root")
@pytest.mark.parametrize("lost", [False, True], ids=["", "run-root-lost"])
def test_frozen_processes_that_nobody_watches(wherry_as: Callable[..., Wherry], lost: bool) -> None:
    """A signal does not end what a control group of version 1 has frozen: who finds it lets it go on for that."""
    box = wherry_as()
    box.load(images.busybox().docker_archive(box.directory / "image.tar", "busybox:latest"))
    box.ok("run", "-d", "--name", "one", "busybox", "sh", "-c", "sleep 60 & exec sleep 60")
    container, pid = identity(box), int(box.ok("inspect", "-f", "{{.State.Pid}}", "one"))
    box.ok("pause", "one")
    kill_and_wait(parent_of(pid))
    if lost:
        shutil.rmtree(box.run_root / "containers" / container)
        execute(box, "UPDATE containers SET status = 'exited' WHERE name = 'one'")
        repaired(box, f"control group of a container that does not run: {container}")
    else:
        repaired(box, "container one is said to be paused, but its monitor is gone")
    wait_for(lambda: not leaks.alive(pid))
    assert leaks.processes_of(box.directory) == []
    assert leaks.cgroups_of({container}) == []
    box.ok("rm", "one")


@pytest.mark.needs("root")
@pytest.mark.parametrize("command", ["ps -a", "rm -f one", "start one", "stop one", "system prune -f", "rm -f lost"])
def test_what_uses_a_frozen_container_next_ends_it(wherry_as: Callable[..., Wherry], command: str) -> None:
    """With the run root ``lost`` too, and then its control group is where the container's options say."""
    box = wherry_as()
    box.load(images.busybox().docker_archive(box.directory / "image.tar", "busybox:latest"))
    name = command.split()[-1] if "lost" in command else "one"
    parent = f"/{box.directory.name}" if name == "lost" else ""
    box.ok("run", "-d", "--cgroup-parent", parent, "--name", name, "busybox", "sleep", "60")
    pid = int(box.ok("inspect", "-f", "{{.State.Pid}}", name))
    box.ok("pause", name)
    kill_and_wait(parent_of(pid))
    if name == "lost":
        shutil.rmtree(box.run_root)
    box.ok(*command.split())
    wait_for(lambda: not leaks.alive(pid))
    assert box.ok("system", "check") == ""
    box("rm", "-f", name)
    leaks.remove_cgroups(parent[1:] or "none")


def parent_of(pid: int) -> int:
    with open(f"/proc/{pid}/stat") as file:
        return int(file.read().rpartition(")")[2].split()[1])


def test_volumes_and_their_files(store: Wherry) -> None:
    """Files that no row tells of are listed again, never swept away; those of a volume that is half removed go."""
    store.ok("run", "--rm", "-v", "known:/data", "busybox", "touch", "/data/file")
    execute(store, "DELETE FROM volumes WHERE name = 'known'")
    half = store.root / "volumes" / ".removing-0123456789abcdef"
    half.mkdir()
    (half / "file").touch()
    for path in (half, half / "file"):
        own(store, path)
    repaired(
        store, "a volume that nobody finishes removing", "files of a volume that the database does not know: known"
    )
    assert not half.exists()
    assert store.ok("run", "--rm", "-v", "known:/data", "busybox", "ls", "/data") == "file\n"
    store.ok("volume", "rm", "known")
    store.ok("rm", "one")


@pytest.mark.needs("root", "iproute2")
@pytest.mark.parametrize("verb", ["connect", "disconnect"])
def test_a_network_that_a_container_is_half_in(wherry_as: Callable[..., Wherry], verb: str) -> None:
    """Whoever was connecting it was killed: another attempt works, and so does mending."""
    box = wherry_as()
    box.load(images.busybox().docker_archive(box.directory / "image.tar", "busybox:latest"))
    box.ok("network", "create", "net")
    for again in (True, False):
        container = f"one-{again}"
        box.ok("run", "-d", "--name", container, "--network", "net", "busybox", "sleep", "60")
        state = 2 if verb == "connect" else 3
        execute(box, "UPDATE endpoints SET active = ? WHERE active = 1", state)
        if verb == "disconnect":
            for link in leaks.interfaces_of(box.directory):
                if link.startswith("wv"):
                    subprocess.run(["ip", "link", "delete", link], check=True)
        if again:
            box.ok("network", verb, "net", container)
        else:
            repaired(box, f"container {container} is half in network net")
        shown = box.ok("inspect", "-f", "{{json .NetworkSettings.Networks}}", container)
        assert ("net" in shown) == (again and verb == "connect"), shown
        assert box.ok("system", "check") == ""
        addresses = box.ok("exec", container, "ip", "-o", "-4", "address")
        assert ("eth" in addresses) == (again and verb == "connect"), addresses
        box.ok("rm", "-f", container)
    box.ok("network", "rm", "net")


@pytest.mark.needs("root")
def test_a_control_group_that_was_left(wherry_as: Callable[..., Wherry]) -> None:
    box = wherry_as()
    box.load(images.busybox().docker_archive(box.directory / "image.tar", "busybox:latest"))
    box.ok("run", "-d", "--name", "one", "busybox", "sleep", "60")
    container = identity(box)
    groups = leaks.cgroups_of({container})
    box.ok("rm", "-f", "one")
    assert leaks.cgroups_of({container}) == []
    for group in groups:
        group.mkdir()
    repaired(box, f"control group of a container that does not run: {container}")
    assert leaks.cgroups_of({container}) == []


def test_a_layer_that_nobody_finishes(store: Wherry) -> None:
    half = store.root / "layers" / ".staging-x"
    half.mkdir(0o700)
    own(store, half)
    repaired(store, "a layer that nobody finishes")
    assert not half.exists()
    store.ok("rm", "one")


def test_a_database_that_is_damaged(store: Wherry) -> None:
    """Rows behind the damage are saved, and files of containers whose rows are lost are kept aside."""
    for number in range(40):
        store.ok("create", "--name", f"c{number}", "-l", f"filler={'x' * 800}", "busybox", "true")
    with closing(sqlite3.connect(store.root / "wherry.db")) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        (root,) = db.execute("SELECT rootpage FROM sqlite_master WHERE name = 'containers'").fetchone()
        (size,) = db.execute("PRAGMA page_size").fetchone()
        (pages,) = db.execute("PRAGMA page_count").fetchone()
    before = set(os.listdir(store.root / "containers"))
    assert root < pages
    with (store.root / "wherry.db").open("r+b") as file:
        file.seek((pages - 3) * size)
        file.write(b"\xff" * size)
    result = store("system", "check")
    assert result.code == 1
    assert "is damaged" in result.out
    result = store("system", "check", "--repair")
    assert (result.code, "(mended)" in result.out) == (0, True), str(result)
    assert store.ok("system", "check") == ""
    known = set(store.ok("ps", "-a", "-q", "--no-trunc").split())
    (aside,) = [name for name in os.listdir(store.root) if name.startswith("damaged-")]
    kept = set(os.listdir(store.root / aside / "containers"))
    assert known | kept == before
    assert not known & kept
    assert len(known) > 20
    assert store.ok("run", "--rm", "busybox", "echo", "fine") == "fine\n"


def test_a_file_that_is_no_database(store: Wherry) -> None:
    container = identity(store)
    for suffix in ("-wal", "-shm"):
        (store.root / f"wherry.db{suffix}").unlink(missing_ok=True)
    (store.root / "wherry.db").write_bytes(b"no database\n" * 1000)
    assert "is damaged" in store("ps").err
    assert store("system", "check").code == 1
    store.ok("system", "check", "--repair")
    assert store.ok("ps", "-a", "-q") == ""
    (aside,) = [name for name in os.listdir(store.root) if name.startswith("damaged-")]
    assert (store.root / aside / "containers" / container / "upper" / "kept").read_text() == "kept\n"


@pytest.mark.needs("root")
def test_a_database_that_is_in_use_is_not_replaced(wherry_as: Callable[..., Wherry]) -> None:
    box = wherry_as()
    archive = images.busybox().docker_archive(box.directory / "image.tar", "busybox:latest")
    box.load(archive)
    box.ok("run", "-d", "--network", "none", "--name", "one", "busybox", "sleep", "60")
    with closing(sqlite3.connect(box.root / "wherry.db")) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    with (box.root / "wherry.db").open("r+b") as file:
        file.write(b"\xff" * 4096)
    result = box("system", "check", "--repair")
    assert result.code == 1
    assert "containers are running" in result.out
    for pid in leaks.processes_of(box.directory):
        kill_and_wait(pid)
    box.ok("system", "check", "--repair")


@pytest.mark.needs("root", "iproute2", "nft")
def test_networks_of_a_database_that_is_lost(wherry_as: Callable[..., Wherry]) -> None:
    """Their bridges and rules go: another network may have their addresses."""
    box = wherry_as()
    box.load(images.busybox().docker_archive(box.directory / "image.tar", "busybox:latest"))
    box.ok("network", "create", "kept-by-nobody")
    for network in ("kept-by-nobody", "bridge"):
        box.ok("run", "-d", "--network", network, "-p", "80", "busybox", "sleep", "60")
    bridges = {name for name in leaks.interfaces_of(box.directory) if name.startswith("wh-")}
    assert len(bridges) == 2
    assert box.ok("system", "check") == ""
    for pid in leaks.processes_of(box.directory):
        kill_and_wait(pid)
    assert leaks.table_of(box.directory)
    for suffix in ("", "-wal", "-shm"):
        (box.root / f"wherry.db{suffix}").unlink(missing_ok=True)
    (box.root / "wherry.db").write_bytes(b"no database\n" * 1000)
    result = box("system", "check", "--repair")
    assert result.code == 0 and all(f"network that is gone: {name}" in result.out for name in bridges), str(result)
    assert not any(os.path.exists(f"/sys/class/net/{name}") for name in bridges)
    assert not leaks.table_of(box.directory)
    assert box.ok("system", "check") == ""
