"""The container commands as people type them, and the two that look into the engine."""

from __future__ import annotations

import json
import os
import subprocess
import uuid
from pathlib import Path

import pytest

from support.command import Wherry
from support.images import Built
from support.terminal import Terminal


def name() -> str:
    return "c-" + uuid.uuid4().hex[:12]


def test_ps_rm_and_inspect(box: Wherry) -> None:
    first, second = name(), name()
    assert box("run", "--name", first, "-l", "kind=a", "busybox", "sh", "-c", "exit 3").code == 3
    identity = box.ok("create", "--name", second, "-l", "kind=b", "busybox", "echo", "two words").strip()
    assert len(identity) == 64
    mine = ["--filter", f"name={first}", "--filter", f"name={second}"]
    assert box.ok("ps", "-q", *mine) == ""  # neither runs
    lines = box.ok("ps", "-a", *mine).splitlines()
    assert lines[0].split() == ["CONTAINER", "ID", "IMAGE", "COMMAND", "CREATED", "STATUS", "PORTS", "NAMES"]
    assert lines[1].split()[0] == identity[:12] and "Created" in lines[1] and "\"echo 'two words'\"" in lines[1]
    assert "Exited (3)" in lines[2]
    assert box.ok("ps", "-aq", "--no-trunc", "--filter", "status=created", *mine) == identity + "\n"
    assert box.ok("ps", "-q", "--filter", "exited=3", *mine) == ""  # only among those that do not run
    assert box.ok("ps", "-aq", "--filter", "exited=3", *mine) == box.ok("ps", "-aq", "--filter", f"name={first}")
    assert box.ok("ps", "-aq", "--filter", "label=kind=b", *mine) == identity[:12] + "\n"
    assert box.ok("ps", "-a", "--format", '{{.Names}} {{.Label "kind"}} {{.State}}', *mine) == (
        f"{second} b created\n{first} a exited\n"
    )
    assert box("ps", "--filter", "status=nonsense").code == 1
    assert box.ok(
        "inspect", second, "-f", "{{.Name}} {{.State.Status}} {{.HostConfig.NetworkMode}} {{.Path}} {{.Args}}"
    ) == (f"/{second} created {'none' if box.user or os.geteuid() else 'bridge'} echo [two words]\n")
    (document,) = json.loads(box.ok("container", "inspect", identity[:12]))
    assert document["Id"] == identity and document["Config"]["Labels"]["kind"] == "b"
    done = box("rm", first, "nothing", second)
    assert (done.code, done.out, done.err) == (1, f"{first}\n{second}\n", "wherry: No such container: nothing\n")
    assert box("rm", "-f", "nothing").code == 0


def test_names_are_taken_once(box: Wherry) -> None:
    container = name()
    box.ok("create", "--name", container, "busybox")
    done = box("create", "--name", container, "busybox")
    assert done.code == 1 and f'The container name "/{container}" is already in use' in done.err
    box.ok("rm", container)


def test_prune_asks(wherry: Wherry, busybox: Built, scratch: Path) -> None:
    wherry.load(busybox.docker_archive(scratch / "b.tar", "busybox"))
    identity = wherry.ok("create", "busybox").strip()
    asked = wherry("container", "prune", input="n\n")
    assert asked.code == 0 and asked.out.startswith("WARNING! This will remove all stopped containers.")
    assert wherry.ok("ps", "-aq") == identity[:12] + "\n"
    pruned = wherry.ok("container", "prune", "-f")
    assert pruned.startswith(f"Deleted Containers:\n{identity}\n\nTotal reclaimed space: ")
    assert wherry.ok("container", "prune", "-f") == "Total reclaimed space: 0B\n"


def test_info_and_version(box: Wherry) -> None:
    assert box.ok("version", "--format", "{{.Client.Version}}") == box.ok("info", "-f", "{{.ServerVersion}}")
    assert box.ok("version").startswith("Client:\n Version:")
    facts = json.loads(box.ok("info", "--format", "json"))
    assert facts["Images"] >= 1 and facts["DockerRootDir"] == str(box.root)
    assert ("name=rootless" in facts["SecurityOptions"]) == (box.user is not None)


def test_debug_plan_leaves_nothing(box: Wherry) -> None:
    before = box.ok("ps", "-aq")
    plan = box.ok("debug", "plan", "-e", "A=b", "busybox", "echo", "hi").splitlines()
    assert [int(line.split()[0]) for line in plan] == list(range(1, len(plan) + 1))
    assert plan[0].split()[1:3] == ["outside", "MakeCgroup"] and plan[-1].split()[1:3] == ["inside", "Execute"]
    assert "args=['echo', 'hi']" in plan[-1] and "'A=b'" in plan[-1]
    operations = json.loads(box.ok("debug", "plan", "--format", "json", "busybox", "echo", "hi"))
    assert operations[-1]["operation"] == "Execute" and operations[-1]["args"] == ["echo", "hi"]
    spec = json.loads(box.ok("debug", "plan", "--format", "spec", "busybox", "echo", "hi"))
    assert spec["process"]["args"] == ["echo", "hi"]
    assert box.ok("ps", "-aq") == before


@pytest.fixture
def bundle(scratch: Path) -> Path:
    """An OCI bundle as `runc spec` makes it, with a static busybox as its file system."""
    (scratch / "rootfs/bin").mkdir(parents=True)
    for directory in ("proc", "sys", "dev", "tmp"):
        (scratch / "rootfs" / directory).mkdir()
    subprocess.run(["cp", "/bin/busybox", scratch / "rootfs/bin/sh"], check=True)
    subprocess.run(["runc", "spec"], cwd=scratch, check=True)
    return scratch


def write(bundle: Path, *args: str, terminal: bool = False) -> None:
    config = json.loads((bundle / "config.json").read_text())
    config["process"] |= {"args": list(args), "terminal": terminal}
    (bundle / "config.json").write_text(json.dumps(config))


@pytest.mark.needs("root", "busybox", "runc")
def test_a_bundle_runs_without_the_engine(wherry: Wherry, bundle: Path) -> None:
    write(bundle, "sh", "-c", "echo out; echo err >&2; read x; echo $x; exit 7")
    done = wherry("runtime", "run", "--bundle", bundle, name(), input="in\n")
    assert (done.code, done.out, done.err) == (7, "out\nin\n", "err\n")
    write(bundle, "sh", "-c", "kill -9 $$")
    assert wherry("runtime", "run", "-b", bundle, name()).code in (0, 137)  # pid 1 does not get its own SIGKILL
    write(bundle, "nothing")
    assert wherry("runtime", "run", "-b", bundle, name()).code == 127
    write(bundle, "/proc")
    assert wherry("runtime", "run", "-b", bundle, name()).code == 126
    assert wherry("runtime", "run", "-b", bundle / "rootfs", name()).code == 125
    assert not wherry.root.exists()


@pytest.mark.needs("root", "busybox", "runc")
def test_a_bundle_with_a_terminal(wherry: Wherry, bundle: Path) -> None:
    write(bundle, "sh", "-c", "stty size; read x; echo got $x", terminal=True)
    with Terminal(wherry, "runtime", "run", "-b", str(bundle), name(), rows=33, columns=77) as terminal:
        terminal.expect("33 77")
        terminal.type("abc\r")
        terminal.expect("got abc")
        assert terminal.end() == 0
