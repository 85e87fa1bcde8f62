"""What the prunes take and what they leave, in stores of their own."""

from __future__ import annotations

from pathlib import Path

import pytest

from support import images
from support.command import Wherry

pytestmark = pytest.mark.needs("debian", "busybox")


@pytest.fixture
def box(anyone: Wherry, busybox: images.Built, tmp_path: Path) -> Wherry:
    archive = busybox.docker_archive(tmp_path / "image.tar", "busybox:latest")
    for path in (archive, *archive.parents[:3]):
        path.chmod(0o755)
    anyone.load(archive)
    return anyone


def test_system_prune_takes_what_nobody_uses(box: Wherry) -> None:
    box.ok("tag", "busybox", "again:1")
    box.ok("run", "-d", "--name", "runs", "-v", "/anonymous", "-v", "named:/named", "busybox", "sleep", "99")
    stopped = box.ok("create", "--name", "stopped", "-v", "/other", "busybox").strip()
    out = box.ok("system", "prune", input="no\n")
    assert out.startswith("WARNING! This will remove:\n  - all stopped containers\n") and "Deleted" not in out
    out = box.ok("system", "prune", "-af", "--volumes")
    assert out.startswith(f"Deleted Containers:\n{stopped}\n\nDeleted Volumes:\n")
    assert "Images" not in out  # a container runs that was made from it
    assert len(box.ok("volume", "ls", "-q").split()) == 2
    box.ok("rm", "-f", "runs")
    out = box.ok("image", "prune", "-f")
    assert out == "Total reclaimed space: 0B\n"  # it has names
    out = box.ok("system", "prune", "-af")
    lines = out.splitlines()
    assert lines[:3] == ["Deleted Images:", "untagged: again:1", "untagged: busybox:latest"]
    assert lines[3].startswith("deleted: sha256:") and lines[-1].startswith("Total reclaimed space: ")
    assert not lines[-1].endswith(" 0B")
    assert box.ok("images", "-q") == ""
    assert len(box.ok("volume", "ls", "-q").split()) == 2  # of these, one was named by nobody
    assert len(box.ok("volume", "prune", "-f").split("\n")) == 5
    assert box.ok("volume", "ls", "-q") == "named\n"
    out = box.ok("events", "--since", "1h", "--until", "0s", "--filter", "event=prune", "--format", "{{.Type}}")
    assert out.split().count("image") == 3 and {"container", "volume"} <= set(out.split())


def test_filters(box: Wherry) -> None:
    for name, label in (("first", "a=1"), ("second", "a=2"), ("third", "b")):
        box.ok("create", "--name", name, "--label", label, "busybox")
    names = ["ps", "-a", "--format", "{{.Names}}"]
    box.ok("container", "prune", "-f", "--filter", "until=1h")
    assert box.ok(*names).split() == ["third", "second", "first"]
    box.ok("container", "prune", "-f", "--filter", "label=a=2")
    assert box.ok(*names).split() == ["third", "first"]
    box.ok("container", "prune", "-f", "--filter", "label!=b", "--filter", "until=0.001s")
    assert box.ok(*names).split() == ["third"]
    for command in (["container", "prune"], ["image", "prune"], ["volume", "prune"], ["system", "prune"]):
        result = box(*command, "-f", "--filter", "nope=1")
        assert result.code == 1 and "invalid filter 'nope'" in result.err
    assert box("system", "prune", "-f", "--volumes", "--filter", "until=1h").code == 1
    box.ok("container", "prune", "-f", "--filter", "label!=a")


def test_images_without_a_name(box: Wherry) -> None:
    """`image prune` takes those, unless a container holds them, and only those that are old enough."""
    first = box.ok("images", "-q", "--no-trunc").strip()
    box.ok("run", "-d", "--name", "holds", first, "sleep", "99")
    box.ok("rmi", "-f", "busybox")
    assert box.ok("images", "-q", "--no-trunc").strip() == first
    assert box.ok("image", "prune", "-af") == "Total reclaimed space: 0B\n"
    box.ok("rm", "-f", "holds")
    assert box.ok("image", "prune", "-f", "--filter", "label=x") == "Total reclaimed space: 0B\n"
    assert f"deleted: {first}" in box.ok("image", "prune", "-f").splitlines()
