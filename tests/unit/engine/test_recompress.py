"""Layers that are compressed while something else goes on: who waits for them, and what a failure does to whom."""

from __future__ import annotations

import gzip
import os
import random
import threading
import time

import pytest

from wherry.engine import recompress
from wherry.engine.engine import Engine
from wherry.engine.recompress import Compression, Making
from wherry.errors import Cancelled, Corrupt
from wherry.layers import compression
from wherry.oci import digest
from wherry.oci.manifest import DOCKER_CONFIG, DOCKER_LAYER, DOCKER_MANIFEST, Descriptor, Manifest
from wherry.store import images
from wherry.store.images import ImageRow

TARS = [random.Random(number).randbytes(10_000) * 30 for number in range(3)]


def image(engine: Engine) -> tuple[ImageRow, Manifest]:
    """An image with the layers `TARS`, not compressed; the lowest is there twice."""
    layers = tuple(Descriptor(DOCKER_LAYER, engine.content.put(tar), len(tar)) for tar in (*TARS, TARS[0]))
    config = engine.content.put(b"{}")
    manifest = Manifest(Descriptor(DOCKER_CONFIG, config, 2), layers, DOCKER_MANIFEST)
    body = engine.content.put(b"the manifest")
    diff_ids = tuple(layer.digest for layer in layers)
    row = ImageRow(config, body, DOCKER_MANIFEST, 12, "{}", diff_ids, 0, 0, "linux/amd64")
    images.put(engine.db, row)
    return row, manifest


def blobs(engine: Engine) -> set[str]:
    return set(engine.content.list_all())


def test_every_layer_is_waited_for(engine: Engine) -> None:
    row, manifest = image(engine)
    shown: list[str] = []
    making = Making(engine, shown.append)
    one = making.image(row, manifest, Compression(), keep=True)
    assert shown == [] and all(waits for _layer, _diff_id, waits in one.layers)
    with making:
        found = {diff_id: waits() for _layer, diff_id, waits in one.layers if waits}
        made = one.made()
    assert sorted(shown) == sorted(found) == sorted(set(row.diff_ids))
    for diff_id, descriptor in found.items():
        body = engine.content.read(descriptor.digest)
        assert len(body) == descriptor.size and digest.of(gzip.decompress(body)) == diff_id
    assert [layer.digest for layer in made.manifest.layers] == [found[diff_id].digest for diff_id in row.diff_ids]
    now = images.get(engine.db, row.id)
    assert now is not None and now.manifest == made.digest == digest.of(made.body)
    with open(engine.layout.index) as file:
        assert made.digest in file.read()

    again = Making(engine, shown.append).image(row, manifest, Compression())
    assert all(waits is None for _layer, _diff_id, waits in again.layers), "what was made before is found"
    assert again.made().digest == made.digest


def test_an_image_that_stays(engine: Engine) -> None:
    row, manifest = image(engine)
    making = Making(engine, pytest.fail)
    one = making.image(row, manifest, None)
    with making:
        assert one.made() == recompress.Made(manifest, b"the manifest", row.manifest)
    assert [layer for layer, _diff_id, _waits in one.layers] == [*reversed(manifest.layers[1:3]), manifest.layers[0]]


def test_a_damaged_layer_is_everybodys_failure(engine: Engine) -> None:
    row, manifest = image(engine)
    path = engine.content.path(row.diff_ids[1])
    with open(path, "r+b") as file:
        file.write(b"\0\0\0")
    making = Making(engine, lambda _layer: None)
    one = making.image(row, manifest, Compression(), keep=True)
    with making:
        with pytest.raises(Corrupt, match="diff id"):
            one.made()
        waits = next(waits for _layer, diff_id, waits in one.layers if diff_id == row.diff_ids[1])
        with pytest.raises(Corrupt):
            (waits or pytest.fail)()
    assert images.get(engine.db, row.id) == row


class Endless:
    """A tar that does not end."""

    def __init__(self) -> None:
        self.read_from = threading.Event()

    def read(self, size: int, /) -> bytes:
        self.read_from.set()
        time.sleep(0.001)
        return bytes(min(size, 4096))


def test_what_is_given_up_ends_and_wakes(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    row, manifest = image(engine)
    before = blobs(engine)
    endless = Endless()
    monkeypatch.setattr(compression, "reader", lambda _source: endless)
    making = Making(engine, lambda _layer: None)
    one = making.image(row, manifest, Compression())
    errors: list[BaseException] = []

    def wait() -> None:
        try:
            one.made()
        except BaseException as error:
            errors.append(error)

    waiting = threading.Thread(target=wait, daemon=True)
    with making:
        waiting.start()
        assert endless.read_from.wait(20)
        making.stop()
        waiting.join(20)
        assert [type(error) for error in errors] == [Cancelled]
    assert blobs(engine) == before and os.listdir(engine.layout.ingest) == []


def test_leaving_gives_up(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    row, manifest = image(engine)
    endless = Endless()
    monkeypatch.setattr(compression, "reader", lambda _source: endless)
    making = Making(engine, lambda _layer: None)
    making.image(row, manifest, Compression())
    count = threading.active_count()
    with pytest.raises(KeyError), making:
        assert endless.read_from.wait(20)
        raise KeyError
    assert threading.active_count() == count
