"""Images that are mounted instead of unpacked, by whoever types commands."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import stat
import struct
import tarfile
from pathlib import Path
from typing import Any

import pytest

from support import images, stored
from support.command import Wherry
from support.images import Image, Layer
from support.needs import present
from support.registry import Registry
from support.tars import END, member, pax

pytestmark = pytest.mark.needs("root", "debian", "busybox")
mounted = pytest.mark.needs("erofs")


def graph(wherry: Wherry, kind: str, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(wherry.ok(kind, "inspect", name))[0]["GraphDriver"]
    return found


def load(wherry: Wherry, built: images.Built, name: str, directory: Path) -> None:
    wherry.load(built.docker_archive(directory / f"{name.replace(':', '-')}.tar", name))


def answer(wherry: Wherry) -> Path:
    """Where it is kept whether the kernel can do it."""
    found = [path for path in (wherry.root / "cache").iterdir() if path.name.startswith("erofs-")]
    assert len(found) == 1
    return found[0]


@mounted
def test_nothing_is_unpacked(wherry: Wherry, busybox: images.Built, tmp_path: Path) -> None:
    load(wherry, busybox, "box:1", tmp_path)
    (diff_id,) = busybox.config["rootfs"]["diff_ids"]
    names = stored.names(wherry)
    assert f"erofs/{diff_id[7:]}" in names and len(names) == 2
    assert stored.whole_tar(wherry, diff_id) == gzip.decompress(busybox.blob(busybox.manifest["layers"][0]["digest"]))
    image = graph(wherry, "image", "box:1")
    assert image["Name"] == "erofs" and (Path(image["Data"]["Image"]) / "image").is_file()
    assert wherry.ok("info", "-f", "{{.Driver}}") == "erofs\n"
    script = "touch /bin/new; rm /bin/cat; stat -c %u /bin/busybox; ls /bin/cat /bin/new 2>/dev/null"
    assert (
        wherry.ok("run", "--name", "changed", "--network", "none", "box:1", "sh", "-c", f"{script}; true")
        == "0\n/bin/new\n"
    )
    container = graph(wherry, "container", "changed")
    assert container["Name"] == "erofs" and container["Data"]["UpperDir"].endswith("/upper")
    assert sorted(wherry.ok("diff", "changed").split("\n")) == [
        "",
        "A /usr/bin/new",
        "C /usr",
        "C /usr/bin",
        "D /usr/bin/cat",
    ]
    wherry.ok("cp", "changed:/bin/busybox", str(tmp_path / "out"))
    assert (tmp_path / "out").stat().st_size > 1000
    wherry.ok("rm", "changed")
    wherry.ok("rmi", "box:1")
    assert stored.names(wherry) == stored.unfinished(wherry) == []


@mounted
def test_containers_of_one_image_share_its_mount(wherry: Wherry, busybox: images.Built, tmp_path: Path) -> None:
    """And with it the pages of its files, for as long as one of them runs; on the host nothing is mounted."""
    load(wherry, busybox, "box:1", tmp_path)

    def start(*options: str) -> os.stat_result:
        identity = wherry.ok("run", "-d", "--network", "none", *options, "box:1", "sleep", "99").strip()
        return os.stat(os.readlink(wherry.run_root / "containers" / identity / "lower"))

    first, second = start("--name", "first"), start("--name", "second")
    other_ids = start("--name", "third", "--userns", "host")
    assert first.st_dev == second.st_dev == other_ids.st_dev
    assert "erofs" not in {line.split(" - ")[1].split()[0] for line in open("/proc/self/mountinfo")}
    assert wherry.ok("exec", "second", "sh", "-c", "stat -c %u:%g /bin; id -u") == "0:0\n0\n"
    wherry.ok("rm", "-f", "first", "third")
    assert start("--name", "fourth").st_dev == second.st_dev
    wherry.ok("rm", "-f", "second", "fourth")
    assert wherry.ok("run", "--rm", "--network", "none", "box:1", "echo", "again") == "again\n"


@mounted
def test_what_two_images_share_is_kept_once(wherry: Wherry, busybox: images.Built, tmp_path: Path) -> None:
    noise = os.urandom(3_000_000)
    base = Image([Layer().file("large", noise)]).build(tmp_path / "base", busybox)
    for number in (1, 2):
        above = Image([Layer().file(f"own{number}", os.urandom(200_000))]).build(tmp_path / str(number), base)
        load(wherry, above, f"one:{number}", tmp_path)
    names = stored.names(wherry)
    assert len(names) == 6  # four layers, two images
    total = sum(path.stat().st_blocks * 512 for path in (wherry.root / "erofs").rglob("*"))
    (box,) = busybox.config["rootfs"]["diff_ids"]
    assert total < stored.tar(wherry, box).stat().st_size + 3_000_000 + 2 * 200_000 + 500_000
    wherry.ok("rmi", "one:1")
    assert len(stored.names(wherry)) == 4
    assert wherry.ok("run", "--rm", "--network", "none", "one:2", "sh", "-c", "wc -c < /large") == "3000000\n"


@mounted
def test_each_image_and_container_keeps_what_it_was_made_with(
    wherry: Wherry, busybox: images.Built, tmp_path: Path
) -> None:
    wherry.keep_layers("overlay")
    load(wherry, busybox, "box:1", tmp_path)
    assert wherry.ok("info", "-f", "{{.Driver}}") == "overlay\n"
    assert graph(wherry, "image", "box:1")["Name"] == "overlay2"
    wherry.ok("create", "--network", "none", "--name", "old", "box:1", "sh", "-c", "echo old; ls -d /bin")
    wherry.keep_layers("erofs")
    assert wherry.ok("run", "--rm", "--network", "none", "box:1", "echo", "still unpacked") == "still unpacked\n"
    load(wherry, busybox, "box:1", tmp_path)
    assert graph(wherry, "image", "box:1")["Name"] == "erofs"
    wherry.ok("create", "--network", "none", "--name", "new", "box:1", "sh", "-c", "echo new; ls -d /bin")
    assert wherry.ok("start", "-a", "old") == "old\n/bin\n" and wherry.ok("start", "-a", "new") == "new\n/bin\n"
    assert [graph(wherry, "container", name)["Name"] for name in ("old", "new")] == ["overlay", "erofs"]
    wherry.ok("rm", "old")
    extra = Image([Layer().file("x", b"x")]).build(tmp_path / "extra")
    load(wherry, extra, "extra:1", tmp_path)
    wherry.ok("rmi", "extra:1")  # what nobody needs any more goes, and so does the directory
    assert [name for name in stored.names(wherry) if name.startswith("layers/")] == []
    wherry.keep_layers("overlay")
    blobs = list((wherry.root / "blobs" / "sha256").iterdir())
    load(wherry, busybox, "box:1", tmp_path)
    assert graph(wherry, "image", "box:1")["Name"] == "overlay2"
    assert len(list((wherry.root / "blobs" / "sha256").iterdir())) == len(blobs)
    assert wherry.ok("start", "-a", "new") == "new\n/bin\n"


def test_a_configuration_that_is_not_one(wherry: Wherry, busybox: images.Built, tmp_path: Path) -> None:
    wherry.keep_layers("zfs")
    archive = busybox.docker_archive(tmp_path / "box.tar", "box:1")
    refused = wherry("load", "-i", archive)
    assert refused.code == 1 and "storage.toml: snapshotter is 'zfs'" in refused.err
    assert "zfs" in wherry.ok("info")


def test_a_kernel_that_cannot(wherry: Wherry, busybox: images.Built, tmp_path: Path) -> None:
    """Images are unpacked, and it is said why; who wants the other form is told."""
    archive = busybox.docker_archive(tmp_path / "box.tar", "box:1")
    wherry.load(archive)
    mark = answer(wherry)
    before = graph(wherry, "image", "box:1")["Name"]
    mark.unlink()
    mark.symlink_to("erofs:no such file system")
    assert wherry.ok("info", "-f", "{{.Driver}} {{.DriverStatus}}").startswith("overlay [[Backing Filesystem")
    assert "Not erofs: no such file system" in wherry.ok("info")
    wherry.load(archive)
    assert graph(wherry, "image", "box:1")["Name"] == "overlay2"
    assert wherry.ok("run", "--rm", "--network", "none", "box:1", "echo", "runs") == "runs\n"
    wherry.keep_layers("erofs")
    refused = wherry("load", "-i", archive)
    assert refused.code == 1 and "the erofs snapshotter cannot be used: no such file system" in refused.err
    assert before == ("erofs" if present("erofs") else "overlay2")


def test_a_layer_that_can_only_be_unpacked(wherry: Wherry, busybox: images.Built, tmp_path: Path) -> None:
    """A sparse file of a tebibyte has no place in an image; the whole image is on overlay then, and works."""
    records = {
        "GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.name": "huge",
        "GNU.sparse.realsize": str(1 << 40),
    }  # fmt: skip
    tar = pax(records) + member("GNUSparseFile.0/x", b"1\n0\n4\n".ljust(512, b"\0") + b"data") + END
    built = raw_image(tmp_path / "image", busybox, tar)
    wherry.load(built)
    assert graph(wherry, "image", "huge:1")["Name"] == "overlay2"
    script = "stat -c %s /huge; head -c 4 /huge; ls -d /bin"
    assert wherry.ok("run", "--rm", "--network", "none", "huge:1", "sh", "-c", script) == f"{1 << 40}\ndata/bin\n"
    wherry.load(built)  # known by now
    assert [name for name in stored.names(wherry) if name.startswith("erofs/")] in (
        [], [f"erofs/{busybox.config['rootfs']['diff_ids'][0][7:]}"],
    )  # fmt: skip


def raw_image(directory: Path, base: images.Built, *layers: bytes) -> Path:
    """A docker-archive of ``base`` with more layers, given as tars."""
    directory.mkdir()
    first = gzip.decompress(base.blob(base.manifest["layers"][0]["digest"]))
    config = base.config | {"rootfs": {"type": "layers", "diff_ids": [images.sha256(one) for one in (first, *layers)]}}
    config.pop("history", None)
    files = {f"{number}.tar": data for number, data in enumerate((first, *layers))}
    manifest = [{"Config": "config.json", "RepoTags": ["huge:1"], "Layers": list(files)}]
    files |= {"config.json": json.dumps(config).encode(), "manifest.json": json.dumps(manifest).encode()}
    with tarfile.open(directory / "archive.tar", "w") as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return directory / "archive.tar"


@mounted
def test_a_damaged_index_is_made_anew(wherry: Wherry, busybox: images.Built, tmp_path: Path) -> None:
    load(wherry, busybox, "box:1", tmp_path)
    (diff_id,) = busybox.config["rootfs"]["diff_ids"]
    index = stored.tar(wherry, diff_id).with_name("index")
    whole = index.read_bytes()
    index.write_bytes(whole[:-10])
    above = Image([Layer().file("above", b"x")]).build(tmp_path / "above", busybox)
    load(wherry, above, "above:1", tmp_path)
    assert index.read_bytes() == whole and stat.S_IMODE(index.stat().st_mode) == 0o600
    assert wherry.ok("run", "--rm", "--network", "none", "above:1", "cat", "/above") == "x"


@mounted
def test_a_layer_that_an_earlier_version_has_kept(wherry: Wherry, busybox: images.Built, tmp_path: Path) -> None:
    """Its tar is in one file, and its index has another form."""
    load(wherry, busybox, "box:1", tmp_path)
    (diff_id,) = busybox.config["rootfs"]["diff_ids"]
    path = stored.tar(wherry, diff_id)
    whole = stored.whole_tar(wherry, diff_id)
    path.write_bytes(whole)
    path.with_name("heads").unlink()
    index = path.with_name("index")
    index.write_bytes(b"wherryix" + struct.pack("<IIQQ", 1, 1, len(whole), len(whole) // 512) + bytes(1000))
    above = Image([Layer().file("above", b"x")]).build(tmp_path / "above", busybox)
    load(wherry, above, "above:1", tmp_path)
    load(wherry, busybox, "box:1", tmp_path)
    with tarfile.open(fileobj=io.BytesIO(whole)) as archive:
        (program,) = [one for one in archive if one.isfile() and one.name.endswith("bin/busybox")]
        content = archive.extractfile(program)
        assert content is not None
        expected = hashlib.sha256(content.read()).hexdigest()
    for name in ("above:1", "box:1"):
        script = "sha256sum /bin/busybox | cut -c -64"
        out = wherry.ok("run", "--rm", "--network", "none", name, "sh", "-c", script)
        assert out == f"{expected}\n"
    assert wherry.ok("system", "check") == "" and not path.with_name("heads").exists()
    wherry.keep_layers("overlay")
    load(wherry, busybox, "box:1", tmp_path)
    assert wherry.ok("run", "--rm", "--network", "none", "box:1", "echo", "unpacked") == "unpacked\n"


@mounted
def test_a_layer_of_sparse_files_is_whole(wherry: Wherry, busybox: images.Built, tmp_path: Path) -> None:
    """What is written out for them is no part of the tar that its digest is of."""
    records = {
        "GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.name": "sparse", "GNU.sparse.realsize": "70000",
    }  # fmt: skip
    tar = pax(records) + member("GNUSparseFile.0/x", b"1\n65536\n4\n".ljust(512, b"\0") + b"data") + END
    wherry.load(raw_image(tmp_path / "image", busybox, tar))
    script = "wc -c < /sparse; tail -c +65537 /sparse | head -c 4"
    assert wherry.ok("run", "--rm", "--network", "none", "huge:1", "sh", "-c", script) == "70000\ndata"
    assert wherry.ok("system", "check") == ""


def many(name: str, count: int) -> Layer:
    layer = Layer().directory(name)
    for number in range(count):
        layer.file(f"{name}/file number {number}", f"{name} {number}\n".encode() * (number % 200))
    return layer


@mounted
def test_an_image_of_many_names_is_kept_compressed(wherry: Wherry, busybox: images.Built, tmp_path: Path) -> None:
    load(wherry, Image([many("many", 3000)]).build(tmp_path / "image", busybox), "many:1", tmp_path)
    image = Path(graph(wherry, "image", "many:1")["Data"]["Image"], "image")
    data = image.read_bytes()
    assert data.startswith(b"\x1f\x8b") and len(gzip.decompress(data)) > 4 * len(data)
    script = "ls /many | wc -l; head -n 1 '/many/file number 2999'"
    for number in range(2):
        name = f"one{number}"
        wherry.ok("run", "-d", "--name", name, "--network", "none", "many:1", "sleep", "99")
        assert wherry.ok("exec", name, "sh", "-c", script) == "3000\nmany 2999\n"
    assert not {"erofs", "ramfs"} & {line.split(" - ")[1].split()[0] for line in open("/proc/self/mountinfo")}
    wherry.ok("rm", "-f", "one0", "one1")
    wherry.ok("create", "--name", "viewed", "many:1", "true")
    wherry.ok("cp", "viewed:/many/file number 7", str(tmp_path / "out"))
    assert (tmp_path / "out").read_bytes() == b"many 7\n" * 7
    for damaged in (data[:-100], data[:1000] + bytes(9) + data[1009:], data[:2]):
        image.write_bytes(damaged)
        refused = wherry("run", "--rm", "--network", "none", "many:1", "true")
        assert refused.code == 125 and refused.err == "wherry: mount the image: read: structure needs cleaning\n"


@mounted
def test_a_second_image_of_many_names_takes_less_than_its_own_layer(
    wherry: Wherry, registry: Registry, busybox: images.Built, tmp_path: Path
) -> None:
    """As blob and as tar: the headers in the tar are more than all names of the image."""
    first = Image([many("shared", 3000)]).build(tmp_path / "first", busybox)
    second = Image([many("own", 600)]).build(tmp_path / "second", first)
    names = registry.push(first, "names:1"), registry.push(second, "names:2")
    wherry.ok("pull", names[0])
    before = used(wherry)
    wherry.ok("pull", names[1])
    own = second.manifest["layers"][-1]
    assert used(wherry) - before < own["size"] + len(gzip.decompress(second.blob(own["digest"])))


@pytest.mark.needs("erofs", "runc")
def test_other_runtimes(wherry: Wherry, busybox: images.Built, tmp_path: Path) -> None:
    load(wherry, busybox, "box:1", tmp_path)
    assert wherry.ok("run", "--rm", "--network", "none", "--runtime", "runc", "box:1", "echo", "by runc") == "by runc\n"


@mounted
def test_nobody_else_can_read_a_tar(wherry: Wherry, registry: Registry, busybox: images.Built) -> None:
    name = registry.push(busybox, "closed:1")
    wherry.directory.chmod(0o755)
    wherry.ok("pull", name, preexec_fn=lambda: os.umask(0))
    for path in [wherry.root / "erofs", *(wherry.root / "erofs").rglob("*")]:
        assert stat.S_IMODE(path.lstat().st_mode) & 0o077 == 0, path


@pytest.mark.parametrize("snapshotter", [pytest.param("erofs", marks=mounted), "overlay"])
def test_a_second_image_takes_the_disk_of_its_own_layer(
    wherry: Wherry, registry: Registry, busybox: images.Built, tmp_path: Path, snapshotter: str
) -> None:
    """Two images with the same five packages but for one: the layers that differ, and documents."""
    wherry.keep_layers(snapshotter)

    def package(number: int, version: int) -> Layer:
        layer = Layer().directory(f"p{number}")
        for file in range(20):
            layer.file(f"p{number}/{file}", f"{number} {version} {file}\n".encode() * 5000)
        return layer

    first = Image([package(number, 1) for number in range(5)]).build(tmp_path / "first", busybox)
    second = Image([package(number, 1 + (number == 2)) for number in range(5)]).build(tmp_path / "second", busybox)
    names = registry.push(first, "disk:1"), registry.push(second, "disk:2")
    (own,) = [one for one in second.manifest["layers"] if one not in first.manifest["layers"]]
    wherry.ok("pull", names[0])
    before = used(wherry)
    wherry.ok("pull", names[1])
    layer = own["size"] + len(gzip.decompress(second.blob(own["digest"])))
    documents = 3 * len(second.blob(second.digest)) + 2 * len(second.blob(second.id)) + 32_000
    assert own["size"] < used(wherry) - before <= layer + documents
    wherry.ok("run", "--rm", "--network", "none", names[1], "true")


def used(wherry: Wherry) -> int:
    """Bytes of what the store keeps of images."""
    found = 0
    for name in ("blobs", "erofs", "layers"):
        for path in (wherry.root / name).rglob("*"):
            status = path.lstat()
            found += status.st_size if stat.S_ISREG(status.st_mode) else 0
    return found
