"""A pull is synced after it has ended: what a power failure in between leaves is made good, or pulled again.

The failure is played by a note under another boot's name, and by damage to what it names.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import time
from pathlib import Path

import pytest

from support import images, stored
from support.command import Wherry
from support.images import Image, Layer
from support.registry import Registry

pytestmark = pytest.mark.survival
OTHER_BOOT = "00000000-1111-2222-3333-444444444444"


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> images.Built:
    layers: list[Layer | bytes] = [Layer().file("one", b"1" * 100_000), Layer().file("two", b"2" * 100_000)]
    return Image(layers).build(tmp_path_factory.mktemp("two"), images.busybox())


def settled(wherry: Wherry) -> None:
    """Waits until the pull's sync has ended."""
    end = time.monotonic() + 60
    while (wherry.root / "unsynced").exists():
        assert time.monotonic() < end, list((wherry.root / "unsynced").iterdir())
        time.sleep(0.02)


def crash(wherry: Wherry, built: images.Built) -> Path:
    """Leaves the note of the pull of ``built`` as if another boot had written it."""
    settled(wherry)
    (wherry.root / "unsynced").mkdir(0o700)
    note = wherry.root / "unsynced" / f"{OTHER_BOOT}.0123456789abcdef"
    layers = zip(built.manifest["layers"], built.config["rootfs"]["diff_ids"], strict=True)
    named = [[layer["digest"], diff_id] for layer, diff_id in layers]
    config = built.manifest["config"]["digest"]
    note.write_text(json.dumps([named, [config, built.descriptor["digest"]], config]))
    return note


def works(wherry: Wherry, name: str) -> None:
    out = wherry.ok("run", "--rm", "--network", "none", name, "sh", "-c", "cat /one /two | wc -c")
    assert out == "200000\n"


def test_a_pull_is_synced_at_last(wherry: Wherry, registry: Registry, two: images.Built) -> None:
    name = registry.push(two, "synced:1")
    wherry.ok("pull", name)
    settled(wherry)
    works(wherry, name)


def damage(wherry: Wherry, what: str, two: images.Built) -> None:
    """What a file system may make of files whose data it has not written: nothing, zeros, or half of it."""
    diff_ids = two.config["rootfs"]["diff_ids"]
    erofs = (wherry.root / "erofs").is_dir()
    if what == "a layer's content":
        if erofs:
            stored.tar(wherry, diff_ids[1]).write_bytes(bytes(4096))
        else:
            (wherry.root / "layers" / diff_ids[1][7:] / "one").write_bytes(b"")
    elif what == "the index and the image" and erofs:
        for path in [*(wherry.root / "erofs").glob("*/index"), *(wherry.root / "erofs").glob("*/image")]:
            os.truncate(path, 100)
    elif what == "a layer that is gone":
        shutil.rmtree(wherry.root / ("erofs" if erofs else "layers") / diff_ids[2][7:])
    elif what == "index.json":
        (wherry.root / "index.json").write_bytes(b"")


@pytest.mark.parametrize(
    "what", ["nothing", "a layer's content", "the index and the image", "a layer that is gone", "index.json"]
)
def test_what_the_blobs_allow_is_made_again(wherry: Wherry, registry: Registry, two: images.Built, what: str) -> None:
    name = registry.push(two, "mended:1")
    wherry.ok("pull", name)
    note = crash(wherry, two)
    damage(wherry, what, two)
    asked = registry.log.count("GET /v2/mended/blobs")
    works(wherry, name)
    assert not note.exists() and not note.parent.exists()
    assert wherry.ok("images", "-q", "--no-trunc") == two.id + "\n"
    assert registry.log.count("GET /v2/mended/blobs") == asked
    assert wherry.ok("system", "check") == ""
    assert len(json.loads((wherry.root / "index.json").read_bytes())["manifests"]) == 1


@pytest.mark.parametrize("which", ["layer", "manifest", "configuration"])
def test_what_cannot_be_made_again_is_pulled_again(
    wherry: Wherry, registry: Registry, two: images.Built, which: str
) -> None:
    name = registry.push(two, "lost:1")
    wherry.ok("pull", name)
    crash(wherry, two)
    digest = {
        "layer": two.manifest["layers"][1]["digest"],
        "manifest": two.descriptor["digest"],
        "configuration": two.id,
    }[which]
    blob = wherry.root / "blobs" / "sha256" / digest[7:]
    blob.write_bytes(bytes(blob.stat().st_size))
    assert wherry.ok("images", "-q") == ""
    works(wherry, name)
    assert wherry.ok("images", "-q", "--no-trunc") == two.id + "\n"
    assert wherry.ok("system", "check") == ""


def test_a_note_of_this_boot_is_for_its_pull_while_that_lives(
    wherry: Wherry, registry: Registry, two: images.Built
) -> None:
    name = registry.push(two, "noted:1")
    wherry.ok("images")
    (wherry.root / "unsynced").mkdir(0o700)
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    note = wherry.root / "unsynced" / f"{boot}.0123456789abcdef"
    with note.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        wherry.ok("pull", name)
        assert note.exists()
    wherry.ok("rmi", name)  # a removal sweeps, as a pull does
    settled(wherry)
