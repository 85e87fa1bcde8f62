"""Volumes as things of their own, and what prune and `system df` make of them."""

from __future__ import annotations

import json
import os
import uuid
from pathlib import Path

import pytest

from support.command import Wherry, kill_and_wait, wait_for


def name() -> str:
    return "v-" + uuid.uuid4().hex[:12]


def volumes(box: Wherry, *options: str) -> list[str]:
    return box.ok("volume", "ls", "-q", *options).split()


def test_made_used_and_removed(box: Wherry) -> None:
    volume, container = name(), name()
    assert box.ok("volume", "create", "--label", "tier=front", volume) == f"{volume}\n"
    assert box.ok("volume", "create", volume) == f"{volume}\n"  # it is there already: nothing happens
    (found,) = json.loads(box.ok("volume", "inspect", volume))
    assert Path(found["Mountpoint"]).parts[-3:] == ("volumes", volume, "_data")
    assert (found["Labels"], found["Options"], found["Driver"], found["Scope"]) == (
        {"tier": "front"}, None, "local", "local"
    )  # fmt: skip
    box.ok("run", "--rm", "-v", f"{volume}:/data", "busybox", "sh", "-c", "echo kept > /data/file")
    box.ok("create", "--name", container, "-v", f"{volume}:/data:ro", "busybox", "cat", "/data/file")
    identity = box.ok("inspect", "-f", "{{.Id}}", container).strip()
    for options in ([], ["-f"]):
        result = box("volume", "rm", *options, volume)
        assert result.code == 1 and f"remove {volume}: volume is in use - [{identity}]" in result.err
    assert volume not in volumes(box, "--filter", "dangling=true")
    assert volume in volumes(box, "--filter", "dangling=0", "--filter", f"name={volume[2:]}")
    assert box.ok("start", "-a", container) == "kept\n"
    box.ok("rm", "-v", container)
    assert volumes(box, "--filter", "label=tier=front", "--filter", f"name={volume}") == [volume]  # somebody named it
    assert box.ok("volume", "rm", volume) == f"{volume}\n"
    assert not Path(found["Mountpoint"]).exists()
    result = box("volume", "rm", volume)
    assert result.code == 1 and f"get {volume}: no such volume" in result.err
    assert box.ok("volume", "rm", "-f", volume) == f"{volume}\n"


def test_nobody_names_it(box: Wherry) -> None:
    """Only such volumes does `volume prune` remove, and `rm -v`, and never one that a container has."""
    named, kept, gone = name(), name(), name()
    own = box.ok("volume", "create").strip()
    box.ok("volume", "create", "--label", "keep", named)
    for container in (kept, gone):
        box.ok("create", "--name", container, "-v", "/data", "busybox")
    form = "{{range .Mounts}}{{.Name}}{{end}}"
    held, free = (box.ok("inspect", "-f", form, container).strip() for container in (kept, gone))
    box.ok("rm", gone)  # without -v
    out = box.ok("volume", "prune", "-f")
    assert {own, free} <= set(out.split()) and not {held, named} & set(out.split())
    assert "Total reclaimed space: 0B" in out
    assert "WARNING!" in box.ok("volume", "prune", input="n\n")
    assert named not in box.ok("volume", "prune", "-af", "--filter", "label!=keep").split()
    assert box.ok("volume", "prune", "-a", "--filter", "label=keep", input="y\n").split("\n")[-4:-1] == [
        named, "", "Total reclaimed space: 0B"
    ]  # fmt: skip
    box.ok("rm", "-v", kept)
    assert held not in volumes(box)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["-d", "nope"], 'plugin "nope" not found'),
        (["-o", "colour=red"], 'invalid option: "colour"'),
        (["-o", "type=tmpfs"], 'missing required option: "device"'),
        (["-o", "type=none", "-o", "device=relative", "-o", "o=bind"], "absolute path"),
        (["-o", "type=none", "-o", "device=/x", "-o", "o=bind,uid=1"], "cannot have the option uid=1"),
        (["-o", "size=1g"], "quota size requested"),
        (["--name", "a2"], "cannot specify a volume name through both"),
        (["--sharing", "all"], "no swarm"),
    ],
)
def test_refused(as_root: Wherry, options: list[str], message: str) -> None:
    result = as_root("volume", "create", *options, "refused")
    assert result.code in (1, 125) and message in result.err
    assert "refused" not in volumes(as_root)


def test_a_bind(box: Wherry) -> None:
    """A volume that is a directory of the host: seen in containers, and left alone when the volume goes."""
    volume, directory = name(), box.directory / name()
    directory.mkdir(mode=0o755)
    if box.user:
        os.chown(directory, box.user.uid, box.user.gid)
    options = ["--opt", "type=none", "--opt", f"device={directory}"]
    box.ok("volume", "create", *options, "--opt", "o=bind", volume)
    box.ok("run", "--rm", "-v", f"{volume}:/data", "busybox", "sh", "-c", "echo here > /data/file")
    assert (directory / "file").read_text() == "here\n"
    box.ok("volume", "rm", volume)
    box.ok("volume", "create", *options, "--opt", "o=bind,ro", volume)
    result = box("run", "--rm", "-v", f"{volume}:/data", "busybox", "touch", "/data/file")
    assert result.code == 1 and "Read-only file system" in result.err
    box.ok("volume", "rm", volume)
    assert (directory / "file").exists()


def mounted(volume: str) -> bool:
    return f"/volumes/{volume}/_data " in Path("/proc/self/mounts").read_text()


def test_a_file_system_of_its_own(as_root: Wherry) -> None:
    """Mounted while containers use it, one for all of them; gone, with what it held, when the last has ended."""
    box, volume, container = as_root, name(), name()
    box.ok("volume", "create", "-o", "type=tmpfs", "-o", "device=tmpfs", "-o", "o=size=1m,nosuid", volume)
    box.ok(
        "run", "-d", "--name", container, "-v", f"{volume}:/data", "busybox", "sh", "-c", "echo a > /data/f; sleep 99"
    )
    wait_for(lambda: box("exec", container, "test", "-e", "/data/f").code == 0)
    out = box.ok("run", "--rm", "-v", f"{volume}:/data", "busybox", "sh", "-c", "cat /data/f; df -m /data | tail -1")
    assert out.split()[:3] == ["a", "tmpfs", "1"]
    assert mounted(volume)
    box.ok("kill", container)
    wait_for(lambda: not mounted(volume))
    box.ok("start", container)
    assert mounted(volume)
    box.ok("rm", "-f", container)
    wait_for(lambda: not mounted(volume))
    box.ok("volume", "rm", volume)


def test_a_monitor_that_is_killed_leaves_no_mount(as_root: Wherry) -> None:
    """Whoever looks at the container next puts that right; what another one uses stays."""
    box, volume, first, second = as_root, name(), name(), name()
    box.ok("volume", "create", "-o", "type=tmpfs", "-o", "device=tmpfs", volume)
    for container in (first, second):
        box.ok("run", "-d", "--name", container, "-v", f"{volume}:/data", "busybox", "sleep", "99")
    for container, left in ((first, True), (second, False)):
        pid = box.ok("inspect", "-f", "{{.State.Pid}}", container).strip()
        kill_and_wait(int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1]))
        wait_for(lambda: box.ok("inspect", "-f", "{{.State.Status}}", container).strip() == "exited")  # noqa: B023
        assert mounted(volume) is left
    box.ok("rm", first, second)
    box.ok("volume", "rm", volume)


def test_what_a_killed_remover_left_is_swept(as_root: Wherry) -> None:
    left = as_root.root / "volumes" / f".removing-{name()}"
    (left / "_data").mkdir(parents=True)
    as_root.ok("volume", "prune", "-f", "--filter", "label=nothing has it")
    assert not left.exists()


def test_a_file_system_that_cannot_be_mounted(as_root: Wherry) -> None:
    box, volume, container = as_root, name(), name()
    box.ok("volume", "create", "-o", "type=ext4", "-o", "device=/nowhere", volume)
    result = box("run", "--name", container, "-v", f"{volume}:/data", "busybox", "true")
    assert result.code != 0 and "failed to mount local volume: mount /nowhere:" in result.err
    box.ok("rm", container)
    box.ok("volume", "rm", volume)


def test_only_root_mounts(as_user: Wherry) -> None:
    result = as_user("volume", "create", "-o", "type=tmpfs", "-o", "device=tmpfs", name())
    assert result.code == 1 and "has to be mounted by root" in result.err


def test_how_much_room_things_take(box: Wherry) -> None:
    volume, container = name(), name()
    write = "dd if=/dev/zero of=/data/f bs=1000 count=3; mkdir -m 0 /h; dd if=/dev/zero of=/h/g bs=1000 count=2"
    box.ok("run", "--name", container, "-v", f"{volume}:/data", "busybox", "sh", "-c", write)
    form = "{{json .Volumes}}"
    (found,) = [one for one in json.loads(box.ok("system", "df", "-v", "--format", form)) if one["Name"] == volume]
    assert (found["Links"], found["Size"]) == ("1", "3kB")
    whole = json.loads(box.ok("system", "df", "-v", "--format", "json"))
    (found,) = [one for one in whole["Containers"] if one["Names"] == container]
    assert (found["Size"], found["LocalVolumes"], found["State"]) == ("2kB", "1", "exited")
    images = {one["Repository"]: one for one in whole["Images"]}
    assert int(images["busybox"]["Containers"]) >= 1
    lines = [json.loads(line) for line in box.ok("system", "df", "--format", "json").splitlines()]
    assert [one["Type"] for one in lines] == ["Images", "Containers", "Local Volumes", "Build Cache"]
    assert lines[0]["TotalCount"] == str(len(images))
    box.ok("rm", container)
    box.ok("volume", "rm", volume)
