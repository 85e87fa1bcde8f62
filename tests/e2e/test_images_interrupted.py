"""Pulls that are killed, starved, doubled or lied to: nothing incomplete shows, and the next one goes on."""

from __future__ import annotations

import os
import random
import re
import signal
import sqlite3
import subprocess
import time
from pathlib import Path

import pytest

from support import images, stored
from support.command import Wherry
from support.faulty import Exchange, Faulty
from support.images import Image, Layer
from support.registry import Registry

pytestmark = pytest.mark.survival


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> images.Built:
    """Three layers of some megabytes that do not compress."""
    noise = random.Random(1)
    layers = []
    for number in range(3):
        layer = Layer(compression="none" if number == 1 else "gzip").directory(f"d{number}")
        for step in range(40):
            layer.file(f"d{number}/{step}", noise.randbytes(100_000))
        layers.append(layer)
    return Image(layers).build(tmp_path_factory.mktemp("three"))


def is_clean(wherry: Wherry) -> None:
    """After everything was removed, nothing is left."""
    assert wherry.ok("images", "-aq") == ""
    assert list((wherry.root / "blobs" / "sha256").iterdir()) == []
    assert stored.names(wherry) == stored.unfinished(wherry) == []


def is_whole(wherry: Wherry, built: images.Built) -> None:
    """Every file of every layer is there."""
    for number, diff_id in enumerate(built.config["rootfs"]["diff_ids"]):
        assert stored.files(wherry, diff_id) == {f"d{number}/{step}": 100_000 for step in range(40)}


def test_killed_at_any_moment(wherry: Wherry, registry: Registry, three: images.Built) -> None:
    name = registry.push(three, "killed:1")
    begun = time.monotonic()
    wherry.ok("pull", name)
    took = time.monotonic() - begun
    wherry.ok("rmi", name)
    for step in range(14):
        process = wherry.popen("pull", name)
        time.sleep(took * (0.25 + step / 16))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        shown = wherry.ok("images", "-q", "--no-trunc").split()
        assert shown in ([], [three.id])
        if shown:
            is_whole(wherry, three)
            wherry.ok("rmi", name)
    wherry.ok("pull", name)
    is_whole(wherry, three)
    assert stored.unfinished(wherry) == []
    assert list((wherry.root / "ingest").iterdir()) == []
    end = time.monotonic() + 60
    while (wherry.root / "unsynced").exists():  # what those that were killed did not sync, the last one does
        assert time.monotonic() < end
        time.sleep(0.02)
    with sqlite3.connect(wherry.root / "wherry.db") as raw:
        assert raw.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    raw.close()
    wherry.ok("rmi", name)
    is_clean(wherry)


def test_interrupted_at_the_terminal(wherry: Wherry, registry: Registry, three: images.Built) -> None:
    name = registry.push(three, "stopped:1")
    process = wherry.popen("pull", name)
    assert process.stdout is not None
    process.stdout.readline()
    process.send_signal(signal.SIGINT)
    _out, err = process.communicate(timeout=20)
    assert process.returncode in (1, 130, -signal.SIGINT, 0)
    assert b"Traceback" not in err
    wherry.ok("pull", name)
    is_whole(wherry, three)


def partial(wherry: Wherry, digest: str, data: bytes) -> None:
    wherry.ok("images")
    path = wherry.root / "ingest" / digest.replace(":", "-")
    path.write_bytes(data)


def test_an_interrupted_blob_is_taken_up(wherry: Wherry, registry: Registry, three: images.Built) -> None:
    name = registry.push(three, "resumed:1")
    digest = three.manifest["layers"][0]["digest"]
    half = three.manifest["layers"][0]["size"] // 2
    partial(wherry, digest, three.blob(digest)[:half])
    wherry.ok("pull", name)
    is_whole(wherry, three)
    asked = [line for line in registry.log.splitlines() if f"/v2/resumed/blobs/{digest}" in line and '"GET' in line]
    assert any(re.search(r'" 206 ', line) for line in asked), asked


@pytest.mark.parametrize("bad", ["other bytes", "too long", "all of it, damaged"])
def test_a_damaged_beginning_is_fetched_again(
    wherry: Wherry, registry: Registry, three: images.Built, bad: str
) -> None:
    name = registry.push(three, "damaged:1")
    digest = three.manifest["layers"][0]["digest"]
    whole = three.blob(digest)
    data = {"other bytes": b"x" * 5000, "too long": whole + b"x", "all of it, damaged": b"x" + whole[1:]}[bad]
    partial(wherry, digest, data)
    wherry.ok("pull", name)
    is_whole(wherry, three)
    assert list((wherry.root / "ingest").iterdir()) == []


def test_several_pulls_share_the_work(wherry: Wherry, registry: Registry, three: images.Built) -> None:
    name = registry.push(three, "several:1")
    processes = [wherry.popen("pull", "-q", name) for _ in range(4)]
    for process in processes:
        out, err = process.communicate(timeout=60)
        assert (process.returncode, out.decode()) == (0, f"{name}\n"), err.decode()
    for layer in three.manifest["layers"]:
        path = f"/v2/several/blobs/{layer['digest']}"
        sent = [line for line in registry.log.splitlines() if f'"GET {path}' in line and '" 200 ' in line]
        assert len(sent) == 1, sent
    is_whole(wherry, three)
    wherry.ok("rmi", name)
    is_clean(wherry)


def test_pulls_and_removals_at_once(wherry: Wherry, registry: Registry, three: images.Built, tmp_path: Path) -> None:
    names = [registry.push(three, "together:0")]
    for number in range(1, 4):
        above = Image([Layer().file(f"n{number}", b"x")]).build(tmp_path / str(number), three)
        names.append(registry.push(above, f"together:{number}"))
    for _round in range(3):
        processes = [wherry.popen("pull", "-q", name) for name in names]
        time.sleep(0.3)
        removal = wherry.popen("rmi", names[0])
        for process in processes:
            _out, err = process.communicate(timeout=60)
            assert process.returncode == 0, err.decode()
        removal.communicate(timeout=60)
        for name in names[1:]:
            wherry.ok("image", "inspect", name)
        is_whole(wherry, three)
        wherry("rmi", names[0])
        wherry.ok("rmi", *names[1:])
        is_clean(wherry)


@pytest.mark.needs("root")
@pytest.mark.parametrize("megabytes", [2, 6, 9, 14, 20])
def test_a_full_disk(wherry: Wherry, registry: Registry, three: images.Built, megabytes: int) -> None:
    name = registry.push(three, "full:1")
    wherry.root.mkdir(mode=0o700)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m,mode=0700", "tmpfs", wherry.root]
    subprocess.run(mount, check=True)
    try:
        result = wherry("pull", name)
        assert result.code == 1
        assert "no space left on device" in result.err
        assert "Traceback" not in result.err
        assert len(result.err.strip().splitlines()) <= 2, result.err
        assert wherry.ok("images", "-aq") == ""
        assert stored.unfinished(wherry) == []
        remount = ["mount", "-o", "remount,size=64m", wherry.root]
        subprocess.run(remount, check=True)
        wherry.ok("pull", name)
        is_whole(wherry, three)
    finally:
        subprocess.run(["umount", "-l", wherry.root], check=True)


@pytest.mark.needs("root")
def test_a_full_disk_while_loading(wherry: Wherry, three: images.Built, tmp_path: Path) -> None:
    archive = three.oci_archive(tmp_path / "in.tar", "full:1")
    wherry.root.mkdir(mode=0o700)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m,mode=0700", "tmpfs", wherry.root], check=True)
    try:
        result = wherry("load", "-i", archive)
        assert result.code == 1
        assert "no space left on device" in result.err
        assert list((wherry.root / "ingest").iterdir()) == []
        assert list((wherry.root / "blobs" / "sha256").iterdir()) == []
    finally:
        subprocess.run(["umount", "-l", wherry.root], check=True)


def test_memory_stays_flat(wherry: Wherry, registry: Registry, tmp_path: Path) -> None:
    """A layer much larger than the limit on memory: 150 MB at most, and less here."""
    layer = Layer()
    for number in range(24):
        layer.file(f"f{number}", (os.urandom(1 << 20) + bytes(3 << 20)) * 2)
    name = registry.push(Image([layer]).build(tmp_path), "memory:1")
    process = wherry.popen("pull", "-q", name, stdout=subprocess.DEVNULL)
    peak = 0
    while process.poll() is None:
        try:
            status = Path(f"/proc/{process.pid}/status").read_text()
        except OSError:
            break
        found = re.search(r"VmHWM:\s+(\d+)", status)
        peak = max(peak, int(found[1]) if found else 0)
        time.sleep(0.01)
    process.communicate()
    assert process.returncode == 0
    assert 0 < peak < 100_000


def test_a_registry_that_breaks_off_is_gone_on_with_the_next_time(wherry: Wherry, three: images.Built) -> None:
    """The first pull gives up, with what it has; the next one asks for the rest of it."""
    with Faulty() as server:
        digests = [layer["digest"] for layer in three.manifest["layers"]]
        for digest in (*digests, three.id):
            server.blobs[digest] = three.blob(digest)
        document = (three.blob(three.digest), three.manifest["mediaType"])
        for key in ("1", three.digest):
            server.manifests[f"/v2/broken/manifests/{key}"] = document
        broken = [True]

        def cut(exchange: Exchange) -> bool:
            """A million bytes of the first layer, and then a connection that ends."""
            if not broken or digests[0] not in exchange.path:
                return False
            start, whole = exchange.range(), exchange.blob()
            status = f"206 Partial Content\r\nContent-Range: bytes {start}-{len(whole) - 1}/{len(whole)}"
            head = f"HTTP/1.1 {status if start else '200 OK'}\r\nContent-Length: {len(whole) - start}\r\n\r\n"
            exchange.send(head.encode() + whole[start:1_000_000])
            return True

        server.routes.insert(0, cut)
        failed = wherry("pull", f"{server.host}/broken:1")
        assert failed.code == 1 and "unexpected EOF" in failed.err, str(failed)
        assert wherry.ok("images", "-q") == ""
        assert (wherry.root / "ingest" / digests[0].replace(":", "-")).stat().st_size == 1_000_000
        broken.clear()
        server.seen.clear()
        wherry.ok("pull", f"{server.host}/broken:1")
        asked = [one for one in server.seen if digests[0] in one.path and one.method == "GET"]
        assert [one.headers.get("range", "").partition("-")[0] for one in asked] == ["bytes=1000000"]
        is_whole(wherry, three)
