"""Attacks on the store and on what comes into it as an image."""

from __future__ import annotations

import hashlib
import io
import json
import os
import stat
import tarfile
from pathlib import Path
from typing import Any

import pytest

from support import images
from support.command import Wherry
from support.images import Image, Layer
from support.registry import Registry
from support.users import run_as

NOBODY = 65534


def open_umask() -> None:
    os.umask(0)


def modes(root: Path) -> dict[str, int]:
    """Everything of ours below ``root``, without what is inside layers and containers."""
    found = {}
    for path in root.rglob("*"):
        parts = path.relative_to(root).parts
        if len(parts) > 1 and parts[0] in ("layers", "containers") and path.is_relative_to(root / parts[0] / parts[1]):
            continue
        if not path.is_symlink():
            found["/".join(parts)] = stat.S_IMODE(path.stat().st_mode)
    return found


@pytest.fixture
def setuid(tmp_path: Path) -> images.Built:
    """An image with a set-user-id program."""
    layer = Layer().directory("bin", mode=0o777).file("bin/su", b"#!/bin/sh\n", mode=0o4755)
    return Image([layer]).build(tmp_path / "setuid")


def test_cve_2021_41103_and_2024_25621_state_is_private_under_umask_000(
    anyone: Wherry, registry: Registry, setuid: images.Built
) -> None:
    name = registry.push(setuid, "umask:1")
    anyone.directory.chmod(0o755)
    anyone.ok("pull", name, preexec_fn=open_umask)
    anyone.ok("tag", name, "other:1", preexec_fn=open_umask)
    assert stat.S_IMODE(anyone.root.stat().st_mode) == 0o700
    assert stat.S_IMODE(anyone.run_root.stat().st_mode) == 0o700
    for root in (anyone.root, anyone.run_root):
        for path, mode in modes(root).items():
            assert mode & 0o077 == 0, f"{path} has mode {mode:o}"


@pytest.mark.needs("root")
def test_cve_2021_41091_nobody_else_reaches_a_set_user_id_program(
    wherry: Wherry, registry: Registry, setuid: images.Built
) -> None:
    name = registry.push(setuid, "reach:1")
    wherry.directory.chmod(0o755)
    wherry.keep_layers("overlay")
    wherry.ok("pull", name, preexec_fn=open_umask)
    program = wherry.root / "layers" / setuid.config["rootfs"]["diff_ids"][0][7:] / "bin/su"
    assert stat.S_IMODE(program.stat().st_mode) == 0o4755
    assert run_as(NOBODY, ["ls", str(wherry.root)]).returncode != 0
    assert run_as(NOBODY, ["stat", str(program)]).returncode != 0
    assert run_as(NOBODY, ["sh", "-c", f"exec {program}"]).returncode != 0
    assert run_as(NOBODY, ["cat", str(wherry.root / "wherry.db")]).returncode != 0


# -- documents -------------------------------------------------------------------------------------------------------


def push_raw(registry: Registry, name: str, manifest: bytes, media_type: str, *blobs: bytes) -> str:
    for blob in blobs:
        registry.put_blob(name, images.sha256(blob), blob)
    return f"{registry.host}/{name}@{registry.put_manifest(name, 'x', manifest, media_type)}"


def archive(path: Path, index: Any, *blobs: bytes) -> Path:
    with tarfile.open(path, "w") as tar:
        members = {"oci-layout": b'{"imageLayoutVersion":"1.0.0"}', "index.json": json.dumps(index).encode()}
        for blob in blobs:
            members[f"blobs/sha256/{hashlib.sha256(blob).hexdigest()}"] = blob
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path


def descriptor(data: bytes, media_type: str = images.OCI["manifest"]) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": images.sha256(data), "size": len(data)}


def refused(wherry: Wherry, *arguments: str | Path) -> str:
    """The command fails with one line, or two with a hint, and leaves nothing."""
    result = wherry(*arguments)
    assert result.code == 1, str(result)
    assert "Traceback" not in result.err
    assert len(result.err.strip().splitlines()) <= 2, result.err
    assert wherry.ok("images", "-aq") == ""
    assert list((wherry.root / "blobs" / "sha256").iterdir()) == []
    assert [path for path in (wherry.root / "layers").iterdir() if path.name != ".no-layers"] == []
    return result.err


LAYER = Layer().file("x", b"x").tar()
CONFIG = {
    "os": "linux",
    "architecture": images.ARCHITECTURE,
    "config": {},
    "rootfs": {"type": "layers", "diff_ids": [images.sha256(LAYER)]},
}


def manifest(config: bytes, *layers: bytes, **changes: Any) -> bytes:
    value: dict[str, Any] = {
        "schemaVersion": 2,
        "mediaType": images.OCI["manifest"],
        "config": descriptor(config, images.OCI["config"]),
        "layers": [descriptor(layer, images.OCI["none"]) for layer in layers],
    }
    return json.dumps(value | changes).encode()


BAD_CONFIGS: dict[str, Any] = {
    "not JSON": b"{",
    "a list": b"[]",
    "deep": b'{"a":' * 5000 + b"1" + b"}" * 5000,
    "no rootfs": {"rootfs": None},
    "diff ids climb": {"rootfs": {"type": "layers", "diff_ids": ["sha256:../../../etc"]}},
    "fewer diff ids": {"rootfs": {"type": "layers", "diff_ids": []}},
    "Env is a number": {"config": {"Env": 5}},
    "history of numbers": {"history": [1]},
    "another system": {"os": "windows"},
}


@pytest.mark.parametrize("name", BAD_CONFIGS)
def test_cve_2021_21285_malformed_configurations_are_errors(wherry: Wherry, tmp_path: Path, name: str) -> None:
    bad = BAD_CONFIGS[name]
    config = bad if isinstance(bad, bytes) else json.dumps(CONFIG | bad).encode()
    body = manifest(config, LAYER)
    index = {"schemaVersion": 2, "manifests": [descriptor(body)]}
    refused(wherry, "load", "-i", archive(tmp_path / "in.tar", index, body, config, LAYER))


@pytest.mark.parametrize("name", ["not JSON", "fewer diff ids", "another system", "Env is a number"])
def test_cve_2021_21285_malformed_configurations_from_a_registry(wherry: Wherry, registry: Registry, name: str) -> None:
    bad = BAD_CONFIGS[name]
    config = bad if isinstance(bad, bytes) else json.dumps(CONFIG | bad).encode()
    body = manifest(config, LAYER)
    refused(wherry, "pull", push_raw(registry, "malformed", body, images.OCI["manifest"], config, LAYER))


def test_cve_2021_41190_a_document_that_is_both_a_manifest_and_an_index(wherry: Wherry, tmp_path: Path) -> None:
    config = json.dumps(CONFIG).encode()
    inner = manifest(config, LAYER)
    both = manifest(config, LAYER, manifests=[descriptor(inner)])
    for media_type in (images.OCI["manifest"], images.OCI["index"]):
        index = {"schemaVersion": 2, "manifests": [descriptor(both, media_type)]}
        refused(wherry, "load", "-i", archive(tmp_path / "in.tar", index, both, inner, config, LAYER))
    both_at_the_top = {"schemaVersion": 2, "manifests": [descriptor(inner)], "layers": [], "config": {}}
    refused(wherry, "load", "-i", archive(tmp_path / "top.tar", both_at_the_top, inner, config, LAYER))


def test_cve_2021_41190_an_entry_and_its_document_must_agree(wherry: Wherry, tmp_path: Path) -> None:
    config = json.dumps(CONFIG).encode()
    body = manifest(config, LAYER)
    index = {"schemaVersion": 2, "manifests": [descriptor(body, images.OCI["index"])]}
    refused(wherry, "load", "-i", archive(tmp_path / "in.tar", index, body, config, LAYER))


@pytest.mark.parametrize("where", ["config", "manifest", "index"])
def test_cve_2022_31030_and_2023_25153_documents_are_bounded(wherry: Wherry, tmp_path: Path, where: str) -> None:
    filling = "x" * (40 << 20)
    config = json.dumps(CONFIG | ({"author": filling} if where == "config" else {})).encode()
    body = manifest(config, LAYER, **({"annotations": {"a": filling}} if where == "manifest" else {}))
    index: dict[str, Any] = {"schemaVersion": 2, "manifests": [descriptor(body)]}
    if where == "index":
        index["annotations"] = {"a": filling}
    path = archive(tmp_path / "in.tar", index, body, config, LAYER)
    limit = ["prlimit", "--data=100000000"]
    wherry.prefix = tuple(limit)
    assert "larger than" in refused(wherry, "load", "-i", path)


def test_cve_2026_53493_indexes_of_indexes_in_an_archive(wherry: Wherry, tmp_path: Path) -> None:
    config = json.dumps(CONFIG).encode()
    blobs = [manifest(config, LAYER), config, LAYER]
    last = descriptor(blobs[0])
    for _ in range(8):
        document = json.dumps({"schemaVersion": 2, "mediaType": images.OCI["index"], "manifests": [last]}).encode()
        blobs.append(document)
        last = descriptor(document, images.OCI["index"])
    index = {"schemaVersion": 2, "manifests": [last]}
    assert "nested too deeply" in refused(wherry, "load", "-i", archive(tmp_path / "in.tar", index, *blobs))
    many = {"schemaVersion": 2, "manifests": [descriptor(blobs[0])] * 1001}
    refused(wherry, "load", "-i", archive(tmp_path / "many.tar", many, *blobs))


@pytest.mark.parametrize(
    "digest", ["sha256:../../../../etc/passwd", "sha256:" + "A" * 64, "../x", "md5:" + "a" * 32, ""]
)
def test_cve_2024_3727_digests_of_an_archive_are_no_paths(wherry: Wherry, tmp_path: Path, digest: str) -> None:
    config = json.dumps(CONFIG).encode()
    body = manifest(config, LAYER)
    bad = manifest(config, layers=[descriptor(LAYER) | {"digest": digest}])
    for index, blob in (
        ({"schemaVersion": 2, "manifests": [descriptor(body) | {"digest": digest}]}, body),
        ({"schemaVersion": 2, "manifests": [descriptor(bad)]}, bad),
    ):
        refused(wherry, "load", "-i", archive(tmp_path / "in.tar", index, blob, config, LAYER))


@pytest.mark.parametrize("target", ["/etc/passwd", "../../../../../etc/passwd", "../c.json/../../../etc/passwd"])
@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE])
def test_cve_2025_11395_load_follows_no_link_out_of_the_archive(
    wherry: Wherry, tmp_path: Path, target: str, kind: bytes
) -> None:
    with tarfile.open(tmp_path / "in.tar", "w") as tar:
        for name in ("c.json", "d/layer.tar", "manifest.json", "index.json"):
            if name == "manifest.json":
                continue
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, target
            tar.addfile(info)
        body = json.dumps([{"Config": "c.json", "RepoTags": ["x:1"], "Layers": ["d/layer.tar"]}]).encode()
        info = tarfile.TarInfo("manifest.json")
        info.size = len(body)
        tar.addfile(info, io.BytesIO(body))
    error = refused(wherry, "load", "-i", tmp_path / "in.tar")
    assert "root:" not in error


# -- layers that are not what the image says ---------------------------------------------------------------------------


def test_a_layer_that_is_not_the_configuration_s(wherry: Wherry, registry: Registry) -> None:
    config = json.dumps(CONFIG).encode()
    other = Layer().file("x", b"evil").tar()
    body = manifest(config, other)
    error = refused(wherry, "pull", push_raw(registry, "lying", body, images.OCI["manifest"], config, other))
    assert "diff id" in error


def test_a_blob_that_claims_to_be_a_layer_that_is_here(wherry: Wherry, registry: Registry, tmp_path: Path) -> None:
    """The layer is not unpacked again, but what would be saved or pushed for it must be that layer all the same."""
    good = Image([LAYER]).build(tmp_path)
    name = registry.push(good, "honest:1")
    wherry.ok("pull", name)
    config = json.dumps(CONFIG | {"author": "somebody else"}).encode()
    for number, other in enumerate((Layer().file("x", b"evil").tar(), images.compress(LAYER + bytes(512), "gzip"))):
        body = manifest(config, other)
        result = wherry("pull", push_raw(registry, f"liar{number}", body, images.OCI["manifest"], config, other))
        assert result.code == 1
        assert "diff id" in result.err
    blob = good.blob(good.manifest["layers"][0]["digest"])
    another = Layer().file("y", b"y").tar()
    diff_ids = [images.sha256(LAYER), images.sha256(another)]
    config = json.dumps(CONFIG | {"rootfs": {"type": "layers", "diff_ids": diff_ids[::-1]}}).encode()
    body = manifest(config, blob, another)
    result = wherry("pull", push_raw(registry, "swapped", body, images.OCI["manifest"], config, blob, another))
    assert result.code == 1
    assert wherry.ok("images", "-aq", "--no-trunc").split() == [good.id]
    wherry.ok("save", "-o", tmp_path / "out.tar", name)


def test_an_image_that_is_here_keeps_its_blobs(wherry: Wherry, registry: Registry, tmp_path: Path) -> None:
    """A stranger's archive with the same configuration but other blobs brings nothing that was not verified."""
    good = Image([LAYER]).build(tmp_path)
    wherry.ok("pull", registry.push(good, "kept:1"))
    config = good.blob(good.id)
    lie = Layer().file("x", b"evil").tar()
    body = manifest(config, lie)
    path = archive(tmp_path / "in.tar", {"schemaVersion": 2, "manifests": [descriptor(body)]}, body, config, lie)
    assert wherry("load", "-i", path).code == 1
    wherry.ok("save", "-o", tmp_path / "out.tar", good.id)
    with tarfile.open(tmp_path / "out.tar") as tar:
        assert f"blobs/sha256/{good.manifest['layers'][0]['digest'][7:]}" in tar.getnames()


def test_terminal_escapes_in_names_and_labels(wherry: Wherry, tmp_path: Path) -> None:
    config = json.dumps(CONFIG | {"config": {"Labels": {"a\x1b]0;x\x07": "\x1b[2J"}}}).encode()
    body = manifest(config, LAYER)
    entry = descriptor(body) | {"annotations": {"io.containerd.image.name": "x/\x1b[2J:1"}}
    path = archive(tmp_path / "in.tar", {"schemaVersion": 2, "manifests": [entry]}, body, config, LAYER)
    out = wherry.ok("load", "-i", path) + wherry.ok("images") + wherry.ok("image", "inspect", images.sha256(config))
    assert "\x1b" not in out


@pytest.mark.needs("strace")
def test_nothing_is_written_outside(wherry: Wherry, registry: Registry, setuid: images.Built, tmp_path: Path) -> None:
    """A pull opens files for writing in its own directories and nowhere else."""
    name = registry.push(setuid, "traced:1")
    log = tmp_path / "trace"
    wherry.prefix = ("strace", "-f", "-qq", "-e", "trace=open,openat,openat2,creat", "-o", str(log))
    wherry.ok("pull", name)
    for line in log.read_text().splitlines():
        if "O_CREAT" in line and "= -1" not in line and "AT_FDCWD" in line:
            path = line.partition('"')[2].partition('"')[0]
            assert path.startswith((str(wherry.root), str(wherry.run_root))), line
