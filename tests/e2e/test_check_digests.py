"""``wherry system check`` and damaged blobs and layers."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.command import Wherry
from support.images import Built
from support.registry import Registry

pytestmark = pytest.mark.needs("registry")


def damage(path: Path) -> None:
    """One bit in the middle."""
    body = bytearray(path.read_bytes())
    body[len(body) // 2] ^= 1
    path.chmod(0o600)
    path.write_bytes(body)


def test_a_damaged_blob(anyone: Wherry, registry: Registry, busybox: Built) -> None:
    name = registry.push(busybox, "check/blob:1")
    anyone.ok("pull", "-q", name)
    assert anyone.ok("system", "check") == ""
    layer = busybox.manifest["layers"][0]["digest"]
    damage(anyone.root / "blobs" / layer.replace(":", "/"))
    assert anyone.ok("system", "check", "--quick") == ""
    found = anyone("system", "check")
    assert (found.code, found.out) == (1, f"blob {layer} is damaged; mended, it can be pulled again\n")
    assert "(mended)" in anyone("system", "check", "--repair").out
    left = anyone("system", "check")
    assert (left.code, left.out) == (1, f"image {name} lacks the blob {layer}: pull it again\n")
    anyone.ok("pull", "-q", name)
    assert anyone.ok("system", "check") == ""


@pytest.mark.needs("root", "erofs")
@pytest.mark.parametrize("part", ["tar", "heads"])
def test_a_damaged_layer(wherry: Wherry, registry: Registry, busybox: Built, part: str) -> None:
    wherry.ok("pull", "-q", registry.push(busybox, "check/layer:1"))
    diff_id = busybox.config["rootfs"]["diff_ids"][0]
    parts = list((wherry.root / "erofs" / diff_id.partition(":")[2]).glob(part))
    if not parts:  # this machine's store unpacks layers: nothing to compare
        assert wherry.ok("system", "check") == ""
        return
    damage(parts[0])
    found = wherry("system", "check")
    assert found.code == 1
    assert found.out.startswith(f"layer {diff_id} is damaged")


def test_what_cannot_be_read(anyone: Wherry, registry: Registry, busybox: Built) -> None:
    """As after an error of the disk, or where the file system's own verification refuses: the rest is read."""
    name = registry.push(busybox, "check/unread:1")
    anyone.ok("pull", "-q", name)
    layer = busybox.manifest["layers"][0]["digest"]
    blob = anyone.root / "blobs" / layer.replace(":", "/")
    blob.unlink()
    blob.mkdir()  # reading it fails, with another error
    expected = f"blob {layer} cannot be read: is a directory\n"
    for tar in (anyone.root / "erofs").glob("*/tar"):
        tar.unlink()
        tar.mkdir()
        expected += f"layer sha256:{tar.parent.name} cannot be read: is a directory\n"
    found = anyone("system", "check")
    assert (found.code, found.out) == (1, expected)
    blob.rmdir()
