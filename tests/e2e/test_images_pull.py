"""`wherry pull`, `images`, `rmi` and `image inspect` against a real registry, as root and rootless."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from support import images, stored
from support.command import Wherry
from support.images import Image, Layer
from support.needs import present
from support.registry import Registry
from support.users import User


def test_pull_list_inspect_remove(anyone: Wherry, registry: Registry, python_image: images.Built) -> None:
    name = registry.push(python_image, "pulling/python:3")
    out = anyone.ok("pull", name)
    shorts = [layer["digest"][7:19] for layer in python_image.manifest["layers"]]
    lines = out.splitlines()
    assert lines[0] == "3: Pulling from pulling/python"
    for short in shorts:
        assert f"{short}: Pulling fs layer" in lines
        assert f"{short}: Pull complete" in lines
    assert lines[-3:] == [f"Digest: {python_image.digest}", f"Status: Downloaded newer image for {name}", name]

    again = anyone.ok("pull", name).splitlines()
    assert again[-2] == f"Status: Image is up to date for {name}"
    assert anyone.ok("pull", "-q", name) == f"{name}\n"

    assert anyone.ok("images", "-q", "--no-trunc").split() == [python_image.id]
    document = json.loads(anyone.ok("image", "inspect", name))[0]
    assert document["Id"] == python_image.id
    assert document["RepoTags"] == [name]
    assert document["RepoDigests"] == [f"{registry.host}/pulling/python@{python_image.digest}"]
    assert document["RootFS"]["Layers"] == python_image.config["rootfs"]["diff_ids"]

    removed = anyone.ok("rmi", name).splitlines()
    assert removed[:3] == [
        f"Untagged: {name}",
        f"Untagged: {registry.host}/pulling/python@{python_image.digest}",
        f"Deleted: {python_image.id}",
    ]
    assert anyone.ok("images", "-q") == ""
    left = anyone("image", "inspect", name)
    assert left.code == 1
    assert f"No such image: {name}" in left.err


@pytest.mark.parametrize("compression", ["gzip", "zstd", "none"])
def test_compressions(anyone: Wherry, registry: Registry, tmp_path: Path, compression: images.Compression) -> None:
    layer = Layer(compression=compression).directory("etc").file("etc/x", b"hello")
    built = Image([layer]).build(tmp_path)
    name = registry.push(built, f"compressed/{compression}:1")
    anyone.ok("pull", name)
    assert anyone.ok("images", "-q", "--no-trunc").split() == [built.id]


def test_docker_media_types(anyone: Wherry, registry: Registry, tmp_path: Path) -> None:
    layer = Layer().directory("etc").file("etc/x", b"hello")
    built = Image([layer], media_types=images.DOCKER).build(tmp_path)
    name = registry.push(built, "dockertypes:1")
    assert f"Digest: {built.digest}" in anyone.ok("pull", name)


def test_by_digest(anyone: Wherry, registry: Registry, busybox: images.Built) -> None:
    registry.push(busybox, "bydigest:1")
    name = f"{registry.host}/bydigest@{busybox.digest}"
    out = anyone.ok("pull", name)
    assert f"Status: Downloaded newer image for {name}" in out
    document = json.loads(anyone.ok("image", "inspect", name))[0]
    assert (document["RepoTags"], document["RepoDigests"]) == ([], [name])
    wrong = anyone("pull", f"{registry.host}/bydigest@sha256:{'0' * 64}")
    assert wrong.code == 1
    assert "manifest unknown" in wrong.err


def test_platforms(anyone: Wherry, registry: Registry, tmp_path: Path) -> None:
    built = {}
    for architecture in ("amd64", "arm64"):
        layer = Layer().file("arch", architecture.encode())
        built[architecture] = Image([layer], architecture=architecture).build(tmp_path / architecture)
    index = images.index_of(built.values())
    name = registry.push_index(list(built.values()), "platforms:1", index, images.OCI["index"])
    host = images.ARCHITECTURE
    other = "arm64" if host == "amd64" else "amd64"
    anyone.ok("pull", name)
    assert anyone.ok("image", "inspect", "-f", "{{.Id}}", name).strip() == built[host].id
    anyone.ok("pull", "--platform", f"linux/{other}", name)
    assert anyone.ok("image", "inspect", "-f", "{{.Architecture}}", name).strip() == other
    missing = anyone("pull", "--platform", "linux/s390x", name)
    assert missing.code == 1
    assert "no matching manifest for linux/s390x in the manifest list entries" in missing.err
    assert anyone("pull", "--platform", "no where", name).code == 1
    alone = registry.push(built[other], "alone:1")
    mismatch = anyone("pull", "--platform", f"linux/{host}", alone)
    assert mismatch.code == 1
    assert f"its platform (linux/{other}) does not match the specified platform (linux/{host})" in mismatch.err


def test_a_tag_that_moves(wherry: Wherry, registry: Registry, tmp_path: Path) -> None:
    first = Image([Layer().file("a", b"1")]).build(tmp_path / "1")
    second = Image([Layer().file("a", b"2")]).build(tmp_path / "2")
    name = registry.push(first, "moving:1")
    wherry.ok("pull", name)
    registry.push(second, "moving:1")
    assert "Status: Downloaded newer image" in wherry.ok("pull", name)
    assert wherry.ok("image", "inspect", "-f", "{{.Id}}", name).strip() == second.id
    assert set(wherry.ok("images", "-q", "--no-trunc").split()) == {first.id, second.id}
    assert "<none>" in wherry.ok("images")


def test_layers_are_shared(wherry: Wherry, registry: Registry, busybox: images.Built, tmp_path: Path) -> None:
    above = Image([Layer().file("above", b"x")]).build(tmp_path, busybox)
    base, name = registry.push(busybox, "shared/base:1"), registry.push(above, "shared/above:1")
    wherry.ok("pull", base)
    out = wherry.ok("pull", name)
    short = busybox.manifest["layers"][0]["digest"][7:19]
    assert f"{short}: Already exists" in out
    removed = wherry.ok("rmi", base)
    assert f"Deleted: {busybox.id}" in removed
    assert removed.count("Deleted") == 1
    assert {name[-64:] for name in stored.names(wherry)} >= {one[7:] for one in above.config["rootfs"]["diff_ids"]}
    wherry.ok("rmi", name)
    assert stored.names(wherry) == []
    assert list((wherry.root / "blobs" / "sha256").iterdir()) == []


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("{}/nothing/here:1", "manifest for {}/nothing/here:1 not found"),
        ("{}/UPPER", "must be lowercase"),
        ("{}/a..b", "invalid reference format"),
        ("127.0.0.1:1/x", "refused"),
    ],
)
def test_names_that_lead_nowhere(wherry: Wherry, registry: Registry, name: str, words: str) -> None:
    result = wherry("pull", name.format(registry.host))
    assert result.code == 1
    assert words.format(registry.host) in result.err
    assert len(result.err.strip().splitlines()) <= 2


def test_with_a_single_id(
    wherry_as: Callable[[User], Wherry], rootless_single: User, registry: Registry, tmp_path: Path
) -> None:
    """Without subordinate ids every file belongs to the caller, whoever the layer says it belongs to."""
    layer = Layer().directory("home/x", uid=1000, gid=1000).file("home/x/f", b"x", uid=1000, mode=0o640)
    layer.device("dev/null", "c", 1, 3).file("etc/gone", b"")
    built = Image([layer, Layer().whiteout("etc/gone")]).build(tmp_path)
    name = registry.push(built, "single:1")
    wherry = wherry_as(rootless_single)
    wherry.ok("pull", name)
    files = [path for path in (wherry.root / "layers").rglob("*") if path.name == "f"]
    assert [(path.stat().st_uid, path.stat().st_mode & 0o777) for path in files] == [(rootless_single.uid, 0o640)]
    assert "Deleted" in wherry.ok("rmi", name)
    assert stored.names(wherry) == []


def test_owners_are_subordinate_ids(
    wherry_as: Callable[[User], Wherry], rootless: User, registry: Registry, tmp_path: Path
) -> None:
    layer = Layer().file("root", b"x").file("user", b"x", uid=1000, gid=1000)
    name = registry.push(Image([layer]).build(tmp_path), "owners:1")
    wherry = wherry_as(rootless)
    wherry.ok("pull", name)
    owners = {path.name: path.stat().st_uid for path in (wherry.root / "layers").rglob("*") if path.is_file()}
    assert owners["root"] == rootless.uid
    assert owners["user"] not in (1000, rootless.uid)
    assert "Deleted" in wherry.ok("rmi", name)


@pytest.mark.needs("root")
@pytest.mark.parametrize("snapshotter", ["overlay", "auto"])
def test_layers_that_need_a_fix_up(
    wherry: Wherry, registry: Registry, busybox: images.Built, tmp_path: Path, snapshotter: str
) -> None:
    """A layer that only implies a directory leaves the owner and mode that the one below gave it."""
    below = Layer().directory("srv", mode=0o1777).file("srv/a", b"a")
    above = Layer().file("srv/b", b"b").hardlink("srv/c", "srv/a")
    built = Image([below, above]).build(tmp_path, busybox)
    name = registry.push(built, f"fixup:{snapshotter}")
    wherry.keep_layers(snapshotter)
    wherry.ok("pull", name)
    assert (f"layers/{built.id[7:]}" in stored.names(wherry)) == (snapshotter == "overlay" or not present("erofs"))
    script = "stat -c %a /srv; cat /srv/a /srv/b /srv/c; stat -c %h /srv/c"
    out = wherry.ok("run", "--rm", "--network", "none", name, "sh", "-c", script)
    assert out.split() == ["1777", "aba2"] or out == "1777\naba2\n", out
    wherry.ok("rmi", name)
    assert stored.names(wherry) == []
