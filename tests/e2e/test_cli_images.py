"""The image commands as people type them: what they print and how they end."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path

import pytest

from support.command import Wherry
from support.images import Built
from support.registry import Registry, free_port
from support.terminal import Terminal


@pytest.fixture
def loaded(anyone: Wherry, busybox: Built, scratch: Path) -> Wherry:
    """The command line, as root and rootless, with the image busybox:latest."""
    archive = busybox.docker_archive(scratch / "busybox.tar", "busybox")
    archive.chmod(0o644)
    assert anyone.load(archive) == "Loaded image: busybox:latest\n"
    return anyone


def test_lists_and_formats(loaded: Wherry) -> None:
    header, line = loaded.ok("images").splitlines()
    assert header.split() == ["REPOSITORY", "TAG", "IMAGE", "ID", "CREATED", "SIZE"]
    assert line.split()[:2] == ["busybox", "latest"]
    identity = loaded.ok("images", "-q", "--no-trunc").strip()
    assert identity.startswith("sha256:") and loaded.ok("images", "-q").strip() == identity[7:19]
    row = json.loads(loaded.ok("images", "--format", "json"))
    assert (row["Repository"], row["Tag"], row["ID"]) == ("busybox", "latest", identity[7:19])
    assert loaded.ok("image", "ls", "--format", "{{.Repository}}:{{.Tag}}|{{upper .Tag}}") == "busybox:latest|LATEST\n"
    assert loaded.ok("images", "--format", "table {{.Tag}}\\t{{.Repository}}").split() == [
        "TAG", "REPOSITORY", "latest", "busybox",
    ]  # fmt: skip
    assert loaded.ok("images", "-q", "busybox") == loaded.ok("images", "-q", "busy*") == identity[7:19] + "\n"
    assert loaded.ok("images", "-q", "nothing") == loaded.ok("images", "-q", "--filter", "dangling=true") == ""
    assert loaded("images", "--filter", "nonsense").code == 125
    assert "invalid filter 'nonsense'" in loaded("images", "--filter", "nonsense=1").err
    assert loaded("images", "--format", "{{.Nope}}").code == 1


def test_names_come_and_go(loaded: Wherry) -> None:
    identity = loaded.ok("images", "-q", "--no-trunc").strip()
    loaded.ok("tag", "busybox", "example.com:5000/a/b:1")
    assert loaded.ok("images", "-q").split() == [identity[7:19]] * 2
    assert loaded.ok("rmi", "busybox") == "Untagged: busybox:latest\n"
    assert loaded.ok("run", "--rm", "example.com:5000/a/b:1", "echo", "hi") == "hi\n"
    last = loaded.ok("image", "rm", "example.com:5000/a/b:1").splitlines()
    assert last[0] == "Untagged: example.com:5000/a/b:1" and f"Deleted: {identity}" in last
    assert loaded.ok("images", "-q", "-a") == ""
    done = loaded("rmi", "busybox", "other")
    assert (done.code, done.out) == (1, "")
    assert done.err == "wherry: No such image: busybox:latest\nwherry: No such image: other:latest\n"
    done = loaded("rmi", "-f", "busybox")
    assert (done.code, done.err) == (0, "No such image: busybox:latest\n")


def test_an_image_in_use_is_not_removed(loaded: Wherry) -> None:
    container = loaded.ok("create", "busybox").strip()
    done = loaded("rmi", "busybox")
    assert done.code == 1 and container[:12] in done.err
    loaded.ok("rm", container)
    loaded.ok("rmi", "busybox")


def test_inspect_and_history(loaded: Wherry) -> None:
    (document,) = json.loads(loaded.ok("image", "inspect", "busybox"))
    assert document["RepoTags"] == ["busybox:latest"]
    assert loaded.ok("inspect", "busybox", "-f", "{{.Id}} {{.Config.Volumes}} {{len .RootFS.Layers}}").split() == [
        document["Id"], "map[]", "1",
    ]  # fmt: skip
    assert json.loads(loaded.ok("inspect", "--type", "image", "-f", "json", "busybox")) == [document]
    done = loaded("inspect", "busybox", "nothing")
    assert done.code == 1 and json.loads(done.out) == [document] and done.err == "wherry: No such object: nothing\n"
    assert loaded("image", "inspect", "-f", "{{", "busybox").code == 64
    assert "no entry for key" in loaded("image", "inspect", "-f", "{{.Nope}}", "busybox").err
    assert loaded.ok("history", "busybox").splitlines()[0].split() == [
        "IMAGE", "CREATED", "CREATED", "BY", "SIZE", "COMMENT",
    ]  # fmt: skip
    assert document["Id"][7:19] in loaded.ok("history", "-q", "busybox").split()


@pytest.mark.parametrize("form", ["docker-archive", "oci-archive"])
def test_save_and_load(loaded: Wherry, form: str) -> None:
    path = loaded.home / "saved.tar"
    assert loaded.ok("save", "--format", form, "-o", path, "busybox") == ""
    with tarfile.open(path) as archive:
        names = archive.getnames()
    assert "index.json" in names and ("manifest.json" in names) == (form == "docker-archive")
    piped = loaded("save", "--format", form, "busybox")
    assert piped.code == 0 and len(piped.raw) == path.stat().st_size
    before = loaded.ok("images", "-q", "--no-trunc")
    loaded.ok("rmi", "busybox")
    assert loaded.ok("load", input=piped.raw) == "Loaded image: busybox:latest\n"
    assert loaded.ok("images", "-q", "--no-trunc") == before
    assert loaded("save", "-o", loaded.home / "no/such/file", "busybox").code == 1
    assert loaded("save", "nothing").code == 1
    assert not [path.name for path in loaded.home.iterdir() if path.name.startswith(".saved")]


def test_load_refuses_what_is_no_archive(wherry: Wherry) -> None:
    done = wherry("load", input=b"not a tar at all" * 100)
    assert done.code == 1 and done.err.startswith("wherry: ") and "Traceback" not in done.err
    assert wherry("load", "-i", "/no/where").err == "wherry: open /no/where: no such file or directory\n"


def test_pull_in_lines(wherry: Wherry, registry: Registry, busybox: Built) -> None:
    name = registry.push(busybox, "cli/lines")
    first = wherry.ok("pull", name).splitlines()
    assert first[0].endswith("Pulling from cli/lines")
    assert first[1].endswith(": Pulling fs layer") and any(line.endswith(": Pull complete") for line in first)
    assert first[-3].startswith("Digest: sha256:")
    assert first[-2:] == [f"Status: Downloaded newer image for {name}", name]
    again = wherry.ok("pull", name).splitlines()
    assert again[-2:] == [f"Status: Image is up to date for {name}", name]
    assert wherry.ok("pull", "-q", name) == f"{name}\n"


def test_pull_on_a_terminal(wherry: Wherry, registry: Registry, busybox: Built) -> None:
    name = registry.push(busybox, "cli/bars")
    with Terminal(wherry, "pull", name) as terminal:
        assert "\x1b[2K" in terminal.expect("Pull complete")
        terminal.expect(f"Downloaded newer image for {name}")
        assert terminal.end() == 0


def test_run_pulls_what_is_missing(wherry: Wherry, registry: Registry, busybox: Built) -> None:
    name = registry.push(busybox, "cli/missing")
    done = wherry("run", "--rm", name, "echo", "hi")
    assert (done.code, done.out) == (0, "hi\n")
    assert done.err.startswith(f"Unable to find image '{name}' locally\n")
    wherry.ok("rmi", name)
    assert wherry("run", "--rm", "-q", name, "echo", "hi").err == ""
    wherry.ok("rmi", name)
    done = wherry("run", "--rm", "--pull", "never", name)
    assert (done.code, done.out) == (125, "") and "No such image" in done.err


def test_a_registry_that_is_not_there(wherry: Wherry) -> None:
    done = wherry("pull", f"127.0.0.1:{free_port()}/x")
    assert done.code == 1 and done.err.count("wherry: ") == 1 and "connection refused" in done.err.lower()
