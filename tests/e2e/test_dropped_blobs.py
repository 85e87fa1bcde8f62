"""``blobs = "drop"``: compressed layers that go when they can be made again, and are made again where they are read."""

from __future__ import annotations

import gzip
import io
import json
import subprocess
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from support import images
from support.command import Wherry, wait_for
from support.registry import Registry
from wherry.cli import units
from wherry.layers import compress

pytestmark = pytest.mark.needs("root", "erofs", "registry")


@pytest.fixture
def dropping(wherry: Wherry) -> Wherry:
    (wherry.directory / "config" / "storage.toml").write_text('blobs = "drop"\n')
    return wherry


def blob(wherry: Wherry, digest: str) -> Path:
    return wherry.root / "blobs" / digest.replace(":", "/")


def gone(wherry: Wherry, digests: list[str]) -> Callable[[], bool]:
    return lambda: not any(blob(wherry, digest).exists() for digest in digests)


def layer(text: str) -> images.Layer:
    return images.Layer().file("data/text", text.encode() * 50_000)


def ours(tar: bytes, kind: str) -> bytes:
    stream = compress.Compressed(io.BytesIO(tar), kind)
    return b"".join(iter(lambda: stream.read(1 << 20), b""))


def foreign(tar: bytes) -> bytes:
    """gzip as no compressor here makes it."""
    other = zlib.compressobj(6, zlib.DEFLATED, 31, 8, zlib.Z_HUFFMAN_ONLY)
    return other.compress(tar) + other.flush()


def test_what_can_be_made_again_is_not_kept(
    dropping: Wherry, registry: Registry, registry_with: Callable[[], Registry], busybox: images.Built, tmp_path: Path
) -> None:
    built = images.Image([layer("one"), layer("two")]).build(tmp_path / "image", base=busybox)
    name = registry.push(built, "dropped/all:1")
    dropping.ok("pull", "-q", name)
    digests = [one["digest"] for one in built.manifest["layers"]]
    wait_for(gone(dropping, digests))
    assert "3 not here" in dropping.ok("info")
    size = sum(one["size"] for one in built.manifest["layers"])
    usage = dropping.ok("system", "df", "-v").splitlines()[-1]
    assert usage == f"Compressed layers: 0 of 0B, and 3 of {units.size(size, 4)} not kept"
    assert dropping.ok("run", "--rm", name, "head", "-c", "3", "/data/text") == "two"
    assert dropping.ok("system", "check") == ""
    assert dropping.ok("pull", "-q", name) and gone(dropping, digests)()  # nothing is fetched again

    other = f"{registry_with().host}/dropped/other:1"
    dropping.ok("tag", name, other)
    assert built.digest in dropping.ok("push", other)
    for digest in digests:
        assert images.sha256(blob(dropping, digest).read_bytes()) == digest
    usage = dropping.ok("system", "df", "-v").splitlines()[-1]
    assert usage == f"Compressed layers: 3 of {units.size(size, 4)}"
    dropping.ok("image", "prune", "-f")
    assert gone(dropping, digests)()

    dropping.ok("save", "-o", tmp_path / "saved.tar", name)
    dropping.ok("image", "copy", name, f"oci:{tmp_path}/copied:1")
    assert {path.name for path in (tmp_path / "copied/blobs/sha256").iterdir()} >= {one[7:] for one in digests}
    dropping.ok("rmi", "-f", name, other)
    assert not list((dropping.root / "recipes").iterdir()) and not list(dropping.root.glob("blobs/sha256/*"))
    dropping.ok("load", "-i", tmp_path / "saved.tar")
    assert dropping.ok("run", "--rm", name, "head", "-c", "3", "/data/text") == "two"


def test_every_compressor_is_found_or_its_blob_is_kept(
    dropping: Wherry, registry: Registry, busybox: images.Built, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tars = [layer(f"layer {number}").tar() for number in range(5)]
    found = [gzip.compress(tars[0], 9), gzip.compress(tars[1], 6, mtime=7), ours(tars[2], "gzip")]
    found += [ours(tars[3], "zstd"), foreign(tars[4])]
    blobs = dict(zip(tars, found, strict=True))
    monkeypatch.setattr(images, "compress", lambda tar, _how: blobs[tar])
    built = images.Image([*tars]).build(tmp_path / "image", base=busybox)
    name = registry.push(built, "dropped/kinds:1")
    dropping.ok("pull", "-q", name)
    *known, other = [one["digest"] for one in built.manifest["layers"]][1:]
    wait_for(gone(dropping, known))
    assert blob(dropping, other).exists()
    assert built.digest in dropping.ok("push", name) and dropping.ok("system", "check") == ""


def test_what_docker_archives_bring_is_kept_once(dropping: Wherry, busybox: images.Built, tmp_path: Path) -> None:
    """A layer without compression is its tar."""
    dropping.load(busybox.docker_archive(tmp_path / "plain.tar", "plain:1"))
    plain = busybox.config["rootfs"]["diff_ids"][0]
    wait_for(gone(dropping, [plain]))
    dropping.ok("save", "-o", tmp_path / "again.tar", "plain:1")
    subprocess.run(["tar", "-tf", tmp_path / "again.tar"], check=True, capture_output=True)
    assert images.sha256(blob(dropping, plain).read_bytes()) == plain


def test_a_recipe_that_does_not_hold(
    dropping: Wherry, registry: Registry, busybox: images.Built, tmp_path: Path
) -> None:
    """As with another version of a library: said at once, and the next pull fetches the blob."""
    name = registry.push(busybox, "dropped/other-library:1")
    dropping.ok("pull", "-q", name)
    (digest,) = [one["digest"] for one in busybox.manifest["layers"]]
    wait_for(gone(dropping, [digest]))
    path = dropping.root / "recipes" / digest.replace(":", "-")
    recipe = json.loads(path.read_text())
    path.write_text(json.dumps(recipe | {"kind": "gzip", "level": 1, "memory": 1}))
    found = dropping("system", "check")
    assert found.out == f"blob {digest} was not kept, and cannot be made again as it was: pull its image again\n"
    failed = dropping("save", "-o", tmp_path / "saved.tar", name)
    assert failed.code == 1 and f"image {name}: layer {digest} was not kept" in failed.err, failed
    assert "pull the image again" in failed.err
    dropping.ok("pull", "-q", name)
    dropping.ok("save", "-o", tmp_path / "saved.tar", name)


def test_without_the_setting_everything_stays(
    wherry: Wherry, registry: Registry, busybox: images.Built, tmp_path: Path
) -> None:
    wherry.ok("pull", "-q", registry.push(busybox, "dropped/kept:1"))
    wherry.ok("image", "prune", "-f")
    assert all(blob(wherry, one["digest"]).exists() for one in busybox.manifest["layers"])
    (wherry.directory / "config" / "storage.toml").write_text('blobs = "some"\n')
    another = images.Image([layer("another")]).build(tmp_path / "image", base=busybox)
    failed = wherry("pull", registry.push(another, "dropped/kept:2"))
    assert failed.code == 1 and "blobs is 'some'" in failed.err and "one of keep and drop" in failed.err
