"""`wherry save` and `load` against archives of other tools: skopeo, umoci, and what docker wrote in the past."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import pytest

from support import images, stored
from support.command import Wherry
from support.images import Image, Layer


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> images.Built:
    """Two layers, the second with a whiteout."""
    first = Layer().directory("etc").file("etc/name", b"first").file("etc/gone", b"x")
    second = Layer(compression="zstd").file("etc/name", b"second").whiteout("etc/gone")
    config = {"Env": ["A=b"], "Labels": {"k": "v"}}
    return Image([first, second], config=config).build(tmp_path_factory.mktemp("small"))


def run(*argv: str | Path) -> str:
    done = subprocess.run(list(map(str, argv)), capture_output=True, check=False, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def add(tar: tarfile.TarFile, name: str, data: bytes = b"", **more: Any) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(data)
    for key, value in more.items():
        setattr(info, key, value)
    tar.addfile(info, io.BytesIO(data))


def is_loaded(wherry: Wherry, built: images.Built, *names: str) -> None:
    document = json.loads(wherry.ok("image", "inspect", built.id))[0]
    assert sorted(document["RepoTags"]) == sorted(names)
    assert document["RootFS"]["Layers"] == built.config["rootfs"]["diff_ids"]


# -- what we write ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["docker-archive", "oci-archive"])
def test_there_and_back(anyone: Wherry, small: images.Built, scratch: Path, form: str) -> None:
    name = "example.com/team/small:1"
    assert anyone.load(small.oci_archive(scratch / "in.tar", name)) == f"Loaded image: {name}\n"
    first = anyone("save", "--format", form, name).raw
    assert anyone("save", "--format", form, name).raw == first, "the same image makes the same archive"
    (scratch / "out.tar").write_bytes(first)
    assert "Deleted" in anyone.ok("rmi", name)
    assert anyone.ok("load", stdin=(scratch / "out.tar").open("rb")) == f"Loaded image: {name}\n"
    is_loaded(anyone, small, name)
    assert anyone.ok("image", "inspect", "-f", "{{.Size}}", name).strip() == str(len("first" + "x" + "second"))


@pytest.mark.parametrize(("form", "transport"), [("docker-archive", "docker-archive"), ("oci-archive", "oci-archive")])
@pytest.mark.needs("skopeo")
def test_skopeo_reads_what_we_save(
    wherry: Wherry, busybox: images.Built, tmp_path: Path, form: str, transport: str
) -> None:
    wherry.load(busybox.oci_archive(tmp_path / "in.tar", "one.example/busy:1"))
    wherry.ok("tag", "one.example/busy:1", "one.example/busy:2")
    wherry.ok("save", "--format", form, "-o", tmp_path / "out.tar", "one.example/busy:1")
    found = json.loads(run("skopeo", "inspect", "--config", f"{transport}:{tmp_path}/out.tar"))
    assert found["rootfs"]["diff_ids"] == busybox.config["rootfs"]["diff_ids"]
    run("skopeo", "copy", f"{transport}:{tmp_path}/out.tar", f"dir:{tmp_path}/dir")
    assert (tmp_path / "dir" / "manifest.json").exists()


@pytest.mark.needs("skopeo")
def test_skopeo_reads_zstd_in_what_we_save(wherry: Wherry, small: images.Built, tmp_path: Path) -> None:
    wherry.load(small.oci_archive(tmp_path / "in.tar", "small:1"))
    wherry.ok("save", "-o", tmp_path / "out.tar", "small:1")
    run("skopeo", "copy", f"docker-archive:{tmp_path}/out.tar", f"oci:{tmp_path}/again:1")
    run("skopeo", "copy", f"oci-archive:{tmp_path}/out.tar", f"oci:{tmp_path}/again:2")


@pytest.mark.needs("umoci")
def test_umoci_reads_what_we_save(wherry: Wherry, busybox: images.Built, tmp_path: Path) -> None:
    wherry.load(busybox.oci_archive(tmp_path / "in.tar", "busy:1"))
    wherry.ok("save", "--format", "oci-archive", "-o", tmp_path / "out.tar", "busy:1")
    (tmp_path / "layout").mkdir()
    run("tar", "-xf", tmp_path / "out.tar", "-C", tmp_path / "layout")
    assert run("umoci", "ls", "--layout", tmp_path / "layout").split() == ["1"]
    run("umoci", "unpack", "--rootless", "--image", f"{tmp_path}/layout:1", tmp_path / "bundle")
    assert (tmp_path / "bundle" / "rootfs" / "bin" / "busybox").exists()


@pytest.mark.needs("root", "skopeo", "umoci")
def test_the_store_is_an_oci_layout(wherry: Wherry, busybox: images.Built, tmp_path: Path) -> None:
    wherry.load(busybox.oci_archive(tmp_path / "in.tar", "example.com/busy:1"))
    found = json.loads(run("skopeo", "inspect", f"oci:{wherry.root}:example.com/busy:1"))
    assert found["Digest"] == busybox.digest
    assert run("umoci", "ls", "--layout", wherry.root).split() == ["example.com/busy:1"]


def test_several_images_in_one_archive(
    wherry: Wherry, small: images.Built, busybox: images.Built, tmp_path: Path
) -> None:
    wherry.load(small.oci_archive(tmp_path / "1.tar", "small:1"))
    wherry.load(busybox.oci_archive(tmp_path / "2.tar", "busy:1"))
    wherry.ok("tag", "small:1", "small:2")
    wherry.ok("save", "-o", tmp_path / "all.tar", "small", "busy:1")
    manifest = json.loads(tarfile.open(tmp_path / "all.tar").extractfile("manifest.json").read())  # type: ignore[union-attr]
    assert [entry["RepoTags"] for entry in manifest] == [["small:1", "small:2"], ["busy:1"]]
    wherry.ok("rmi", "-f", small.id, busybox.id)
    out = wherry.load(tmp_path / "all.tar")
    assert out == "Loaded image: small:1\nLoaded image: small:2\nLoaded image: busy:1\n"
    wherry.ok("save", "-o", tmp_path / "id.tar", small.id)
    manifest = json.loads(tarfile.open(tmp_path / "id.tar").extractfile("manifest.json").read())  # type: ignore[union-attr]
    assert manifest[0]["RepoTags"] is None
    assert wherry("save", "-o", tmp_path / "no.tar", "nothing:1").code == 1


# -- what others write -----------------------------------------------------------------------------------------------


def test_what_docker_wrote_before_version_25(anyone: Wherry, small: images.Built, scratch: Path) -> None:
    archive = small.docker_archive(scratch / "in.tar", "small:old", "example.com/small:old")
    assert anyone.load(archive) == "Loaded image: small:old\nLoaded image: example.com/small:old\n"
    is_loaded(anyone, small, "small:old", "example.com/small:old")


@pytest.mark.parametrize("how", ["gzip", "zstd"])
def test_a_compressed_archive(wherry: Wherry, small: images.Built, tmp_path: Path, how: images.Compression) -> None:
    archive = small.docker_archive(tmp_path / "in.tar", "small:1")
    archive.write_bytes(images.compress(archive.read_bytes(), how))
    assert wherry.load(archive) == "Loaded image: small:1\n"


def test_layers_that_are_links_to_others(wherry: Wherry, tmp_path: Path) -> None:
    """Docker before 25 wrote a layer that two images share as a link from one's directory to the other's."""
    layer = Layer().file("x", b"x").tar()
    config = json.dumps(
        {"os": "linux", "architecture": images.ARCHITECTURE,
         "rootfs": {"type": "layers", "diff_ids": [images.sha256(layer)] * 2}}
    ).encode()  # fmt: skip
    name = hashlib.sha256(config).hexdigest() + ".json"
    with tarfile.open(tmp_path / "in.tar", "w") as tar:
        add(tar, "aaa/", type=tarfile.DIRTYPE)
        add(tar, "aaa/VERSION", b"1.0")
        add(tar, "aaa/json", b"{}")
        add(tar, "aaa/layer.tar", layer)
        add(tar, "bbb/layer.tar", type=tarfile.SYMTYPE, linkname="../aaa/layer.tar")
        add(tar, name, config)
        entry = {"Config": name, "RepoTags": ["linked:1"], "Layers": ["aaa/layer.tar", "bbb/layer.tar"]}
        add(tar, "manifest.json", json.dumps([entry]).encode())
        add(tar, "repositories", b'{"linked":{"1":"bbb"}}')
    assert wherry.load(tmp_path / "in.tar") == "Loaded image: linked:1\n"


@pytest.mark.needs("skopeo")
@pytest.mark.parametrize("transport", ["docker-archive", "oci-archive"])
def test_what_skopeo_writes(anyone: Wherry, busybox: images.Built, tmp_path: Path, transport: str) -> None:
    run("skopeo", "copy", f"oci:{busybox.layout}:latest", f"{transport}:{tmp_path}/in.tar:example.com/skopeo:1")
    (tmp_path / "in.tar").chmod(0o644)
    assert anyone.ok("load", stdin=(tmp_path / "in.tar").open("rb")) == "Loaded image: example.com/skopeo:1\n"
    is_loaded(anyone, busybox, "example.com/skopeo:1")


@pytest.mark.needs("umoci")
def test_what_umoci_writes(wherry: Wherry, small: images.Built, tmp_path: Path) -> None:
    run("cp", "-r", small.layout, tmp_path / "layout")
    run("umoci", "tag", "--image", f"{tmp_path}/layout:latest", "example.com/umoci:1")
    run("umoci", "rm", "--image", f"{tmp_path}/layout:latest")
    run("tar", "-cf", tmp_path / "in.tar", "-C", tmp_path / "layout", ".")
    assert wherry.load(tmp_path / "in.tar") == "Loaded image: example.com/umoci:1\n"


def test_a_bare_tag_names_nothing(wherry: Wherry, small: images.Built, tmp_path: Path) -> None:
    assert wherry.load(small.oci_archive(tmp_path / "in.tar", "latest")) == f"Loaded image ID: {small.id}\n"


def test_a_platform_of_several(wherry: Wherry, tmp_path: Path) -> None:
    built = [
        Image([Layer().file("arch", name.encode())], architecture=name).build(tmp_path / name)
        for name in ("amd64", "arm64")
    ]
    index = images.index_of(built)
    with tarfile.open(tmp_path / "in.tar", "w") as tar:
        add(tar, "oci-layout", b'{"imageLayoutVersion":"1.0.0"}')
        entry = {"mediaType": images.OCI["index"], "digest": images.sha256(index), "size": len(index)}
        entry["annotations"] = {"io.containerd.image.name": "example.com/several:1"}  # type: ignore[assignment]
        add(tar, "index.json", json.dumps({"schemaVersion": 2, "manifests": [entry]}).encode())
        add(tar, "blobs/sha256/" + images.sha256(index)[7:], index)
        for one in built:
            for path in (one.layout / "blobs/sha256").iterdir():
                add(tar, f"blobs/sha256/{path.name}", path.read_bytes())
    other = next(one for one in built if one.config["architecture"] != images.ARCHITECTURE)
    wherry.load(tmp_path / "in.tar")
    host = wherry.ok("image", "inspect", "-f", "{{.Architecture}}", "example.com/several:1").strip()
    assert host == images.ARCHITECTURE
    architecture = other.config["architecture"]
    wherry.ok("load", "--platform", f"linux/{architecture}", "-i", tmp_path / "in.tar")
    assert wherry.ok("images", "-q", "--no-trunc").count("sha256:") == 2


# -- what nobody should write ----------------------------------------------------------------------------------------


def hostile(path: Path, *members: tuple[str, bytes, dict[str, Any]], compress: bool = False) -> Path:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, data, more in members:
            add(tar, name, data, **more)
    path.write_bytes(gzip.compress(out.getvalue()) if compress else out.getvalue())
    return path


def manifest(**changes: Any) -> tuple[str, bytes, dict[str, Any]]:
    entry: dict[str, Any] = {"Config": "c.json", "RepoTags": ["x:1"], "Layers": ["l.tar"]}
    return "manifest.json", json.dumps([entry | changes]).encode(), {}


LAYER = Layer().file("x", b"x").tar()
CONFIG = json.dumps(
    {"os": "linux", "architecture": "amd64", "rootfs": {"type": "layers", "diff_ids": [images.sha256(LAYER)]}}
).encode()
PARTS: tuple[tuple[str, bytes, dict[str, Any]], ...] = (("c.json", CONFIG, {}), ("l.tar", LAYER, {}))
SYMBOLIC: dict[str, Any] = {"type": tarfile.SYMTYPE}
HARD: dict[str, Any] = {"type": tarfile.LNKTYPE}

HOSTILE = {
    "empty": (),
    "no table": PARTS,
    "table is no list": (*PARTS, ("manifest.json", b"{}", {})),
    "table is not JSON": (*PARTS, ("manifest.json", b"[", {})),
    "table is too large": (*PARTS, ("manifest.json", b" " * (5 << 20) + b"[]", {})),
    "config is missing": (PARTS[1], manifest()),
    "config is a number": (*PARTS, manifest(Config=1)),
    "config is a host path": (*PARTS, manifest(Config="/etc/passwd")),
    "config leaves the archive": (*PARTS, manifest(Config="../../../../etc/passwd")),
    "layer is missing": (PARTS[0], manifest()),
    "layer is a host path": (*PARTS, manifest(Layers=["/etc/shadow"])),
    "layer leaves the archive": (*PARTS, manifest(Layers=["../../etc/shadow"])),
    "layer is a link to the host": (PARTS[0], ("l.tar", b"", SYMBOLIC | {"linkname": "/etc/shadow"}), manifest()),
    "layer is a link out": (PARTS[0], ("l.tar", b"", SYMBOLIC | {"linkname": "../../etc/shadow"}), manifest()),
    "layer is a hard link out": (PARTS[0], ("l.tar", b"", HARD | {"linkname": "/etc/shadow"}), manifest()),
    "layer is a link to itself": (PARTS[0], ("l.tar", b"", SYMBOLIC | {"linkname": "l.tar"}), manifest()),
    "layer is a device": (PARTS[0], ("l.tar", b"", {"type": tarfile.CHRTYPE}), manifest()),
    "layer is a pipe": (PARTS[0], ("l.tar", b"", {"type": tarfile.FIFOTYPE}), manifest()),
    "layer is a directory": (PARTS[0], ("l.tar", b"", {"type": tarfile.DIRTYPE}), manifest()),
    "layer is not the one of the config": (PARTS[0], ("l.tar", Layer().file("y", b"y").tar(), {}), manifest()),
    "layer is no tar": (PARTS[0], ("l.tar", b"nonsense" * 200, {}), manifest()),
    "more layers than diff ids": (*PARTS, manifest(Layers=["l.tar", "l.tar"])),
    "fewer layers than diff ids": (*PARTS, manifest(Layers=[])),
    "names are a string": (*PARTS, manifest(RepoTags="x:1")),
    "a name is malformed": (*PARTS, manifest(RepoTags=["../../x"])),
    "a member leaves the archive": (*PARTS, ("../evil", b"x", {}), manifest()),
    "a member is absolute": (*PARTS, ("/tmp/wherry-evil", b"x", {}), manifest()),
    "two members of one name": (*PARTS, PARTS[1], manifest()),
    "a blob is not what it says": (*PARTS, ("blobs/sha256/" + "a" * 64, b"x", {}), manifest()),
    "a blob has no digest": (*PARTS, ("blobs/sha256/xyz", b"x", {}), manifest()),
    "a blob climbs": (*PARTS, ("blobs/sha256/../../../../evil", b"x", {}), manifest()),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_refused(wherry: Wherry, tmp_path: Path, name: str) -> None:
    result = wherry("load", "-i", hostile(tmp_path / "in.tar", *HOSTILE[name]))
    assert result.code == 1, str(result)
    assert "Traceback" not in result.err
    assert len(result.err.strip().splitlines()) <= 2, result.err
    assert wherry.ok("images", "-aq") == ""
    assert stored.names(wherry) == stored.unfinished(wherry) == []
    assert list((wherry.root / "blobs" / "sha256").iterdir()) == []
    assert list((wherry.root / "ingest").iterdir()) == []
    assert not Path("/tmp/wherry-evil").exists()


def test_cut_short(wherry: Wherry, small: images.Built, tmp_path: Path) -> None:
    whole = small.oci_archive(tmp_path / "in.tar", "small:1").read_bytes()
    for length in (0, 100, 512, 700, len(whole) // 2):
        (tmp_path / "cut.tar").write_bytes(whole[:length])
        result = wherry("load", "-i", tmp_path / "cut.tar")
        assert result.code == 1, length
        assert "Traceback" not in result.err
    packed = gzip.compress(whole)
    (tmp_path / "cut.tar.gz").write_bytes(packed[: len(packed) // 2])
    assert wherry("load", "-i", tmp_path / "cut.tar.gz").code == 1
    assert wherry.ok("images", "-aq") == ""


def test_what_is_there_stays_there(wherry: Wherry, small: images.Built, tmp_path: Path) -> None:
    wherry.load(small.oci_archive(tmp_path / "in.tar", "x:1"))
    assert wherry("load", "-i", hostile(tmp_path / "bad.tar", PARTS[0], manifest())).code == 1
    is_loaded(wherry, small, "x:1")
    good = wherry.load(hostile(tmp_path / "good.tar", *PARTS, manifest()))
    assert good.splitlines()[-1] == "Loaded image: x:1"
    document = json.loads(wherry.ok("image", "inspect", small.id))[0]
    assert document["RepoTags"] == []
