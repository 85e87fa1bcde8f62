"""Blobs: visible when right and whole, taken up where they broke off, written by one at a time."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import threading
import time

import pytest

from wherry.errors import Cancelled, Corrupt, InvalidArgument, NotFound, StorageFull
from wherry.oci import digest
from wherry.store import gc, images, index, layers
from wherry.store.content import Content
from wherry.store.db import Database
from wherry.store.images import ImageRow
from wherry.store.layout import Layout
from wherry.store.locks import Lock

BODY = b"0123456789" * 1000
DIGEST = digest.of(BODY)


def test_put_and_read(content: Content) -> None:
    assert content.put(BODY) == DIGEST
    assert content.put(BODY, DIGEST) == DIGEST
    assert content.has(DIGEST) and content.verify(DIGEST)
    assert (content.read(DIGEST), content.size(DIGEST), content.head(DIGEST, 3)) == (BODY, len(BODY), b"012")
    assert list(content.list_all()) == [DIGEST]
    assert content.delete(DIGEST) == len(BODY)
    assert content.delete(DIGEST) == 0
    for ask in (content.read, content.size, content.open, content.verify):
        with pytest.raises(NotFound):
            ask(DIGEST)


def test_sha512(content: Content) -> None:
    wanted = "sha512:" + hashlib.sha512(BODY).hexdigest()
    assert content.put(BODY, wanted) == wanted
    assert content.read(wanted) == BODY


@pytest.mark.parametrize("text", ["", "sha256:../../x", "sha256:" + "A" * 64, "md5:" + "a" * 32, "sha256:aa", "x/y"])
def test_what_is_no_digest_becomes_no_path(content: Content, text: str) -> None:
    with pytest.raises(InvalidArgument):
        content.path(text)
    with pytest.raises(InvalidArgument):
        content.writer(text, 1)


def test_a_wrong_blob_never_shows(content: Content, layout: Layout) -> None:
    with pytest.raises(Corrupt, match="does not match its digest"):
        content.put(b"something else", DIGEST)
    with pytest.raises(Corrupt), content.writer(DIGEST, 5) as writer:
        writer.write(b"123456")
    with pytest.raises(Corrupt, match="cut short"), content.writer(DIGEST, len(BODY)) as writer:
        writer.commit()
    assert os.listdir(layout.ingest) == []
    assert not content.has(DIGEST)


def test_damage_on_disk_is_seen(content: Content) -> None:
    content.put(BODY)
    with open(content.path(DIGEST), "r+b") as file:
        file.write(b"x")
    with pytest.raises(Corrupt, match="damaged on disk"):
        content.read(DIGEST)
    assert not content.verify(DIGEST)


def test_reading_is_bounded(content: Content) -> None:
    content.put(BODY)
    with pytest.raises(Corrupt, match="larger than 10 bytes"):
        content.read(DIGEST, 10)


def test_taken_up_where_it_broke_off(content: Content, layout: Layout) -> None:
    with content.writer(DIGEST, len(BODY)) as writer:
        writer.write(BODY[:4000])
    with pytest.raises(RuntimeError), content.writer(DIGEST, len(BODY)) as writer:
        assert writer.offset == 4000
        writer.write(BODY[4000:5000])
        raise RuntimeError
    with content.writer(DIGEST, len(BODY)) as writer:
        assert writer.offset == 5000
        writer.write(BODY[5000:])
        writer.commit()
    assert content.read(DIGEST) == BODY
    assert os.listdir(layout.ingest) == []


def test_a_partial_blob_that_is_too_long_begins_again(content: Content) -> None:
    with content.writer(DIGEST, -1) as writer:
        writer.write(BODY * 2)
    with content.writer(DIGEST, len(BODY)) as writer:
        assert writer.offset == 0
        writer.write(BODY)
        writer.commit()
    assert content.has(DIGEST)


def test_one_writer_at_a_time(content: Content) -> None:
    seen: list[bool] = []

    def second() -> None:
        with content.writer(DIGEST, len(BODY)) as writer:
            seen.append(writer.present)

    with content.writer(DIGEST, len(BODY)) as writer:
        thread = threading.Thread(target=second)
        thread.start()
        time.sleep(0.15)
        assert seen == []
        writer.write(BODY)
        writer.commit()
    thread.join()
    assert seen == [True]


def test_waiting_can_be_given_up(content: Content) -> None:
    def give_up() -> None:
        raise Cancelled("enough")

    with content.writer(DIGEST, 1), pytest.raises(Cancelled), content.writer(DIGEST, 1, waiting=give_up):
        pass


def test_a_full_disk(content: Content, layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_fd: int, _data: object) -> int:
        raise OSError(errno.ENOSPC, "full")

    writer = content.writer(DIGEST, len(BODY))
    with pytest.raises(StorageFull, match="no space left"), writer:
        writer.write(BODY[:100])
        monkeypatch.setattr(os, "write", full)
        writer.write(BODY[100:])
    with pytest.raises(StorageFull):
        content.put_stream(lambda _size: BODY)
    monkeypatch.undo()
    assert os.listdir(layout.ingest) == []


def test_streams(content: Content, layout: Layout) -> None:
    def reader() -> object:
        pieces = iter([BODY[:10], BODY[10:], b""])
        return lambda _size: next(pieces)

    assert content.put_stream(reader()) == (DIGEST, len(BODY))  # type: ignore[arg-type]
    assert content.put_stream(reader(), DIGEST) == (DIGEST, len(BODY))  # type: ignore[arg-type]
    with pytest.raises(Corrupt):
        content.put_stream(reader(), digest.of(b""))  # type: ignore[arg-type]
    assert os.listdir(layout.ingest) == []


# -- locks -----------------------------------------------------------------------------------------------------------


def test_locks(layout: Layout) -> None:
    path = layout.locks + "/x"
    with Lock(path):
        assert not Lock(path).try_acquire()
        assert not Lock(path, shared=True).try_acquire()
    assert not os.path.exists(path)
    shared = Lock(path, shared=True)
    with shared, Lock(path, shared=True):
        assert not Lock(path).try_acquire()
    assert Lock(path).try_acquire()


def test_a_lock_ends_with_its_holder(layout: Layout) -> None:
    path = layout.locks + "/x"
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        Lock(path).acquire()
        os.write(write, b"x")
        time.sleep(60)
    os.read(read, 1)
    assert not Lock(path).try_acquire()
    os.kill(pid, 9)
    os.waitpid(pid, 0)
    lock = Lock(path)
    assert lock.try_acquire()
    lock.release(remove=True)


def test_many_take_turns(layout: Layout) -> None:
    inside, most = 0, 0

    def work() -> None:
        nonlocal inside, most
        for _ in range(5):
            with Lock(layout.locks + "/turns"):
                inside += 1
                most = max(most, inside)
                time.sleep(0.001)
                inside -= 1

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1


# -- what nothing needs ----------------------------------------------------------------------------------------------


def keep_image(db: Database, content: Content, number: int) -> tuple[str, str]:
    """An image with one layer; its id and its blob."""
    blob = content.put(b"layer %d" % number)
    config = content.put(b'{"n":%d}' % number)
    entry = {"digest": blob, "size": 7, "mediaType": "x"}
    manifest = json.dumps({"schemaVersion": 2, "config": {"digest": config, "size": 7}, "layers": [entry]})
    row = ImageRow(
        config, content.put(manifest.encode()), "", len(manifest), "{}", (digest.of(b"%d" % number),), 1, 0, "linux/x"
    )
    images.put(db, row)
    return config, blob


def test_reachable(db: Database, content: Content) -> None:
    first, second = keep_image(db, content, 1), keep_image(db, content, 2)
    stray = content.put(b"stray")
    images.delete(db, second[0])
    found = gc.reachable(db, content)
    assert first[0] in found.blobs and first[1] in found.blobs
    assert found.layers == {digest.of(b"1")}
    assert gc.remove_blobs(content, found.blobs) > 0
    assert not content.has(stray) and not content.has(second[1]) and content.has(first[1])


def test_containers_keep_their_layers(db: Database, content: Content) -> None:
    from wherry.store import containers
    from wherry.store.containers import ContainerRow

    identity, _blob = keep_image(db, content, 1)
    containers.insert(db, ContainerRow("c" * 64, "c", identity, '{"diff_ids":["sha256:1","sha256:2"]}'))
    images.delete(db, identity)
    found = gc.reachable(db, content)
    assert found.layers == {"sha256:1", "sha256:2"}
    assert found.kept == {"overlay": {"sha256:1", "sha256:2", identity}, "erofs": set()}


def test_sweep_keeps_what_is_young_or_being_written(content: Content, layout: Layout) -> None:
    old = time.time() - gc.KEEP_PARTIAL - 60
    for number in range(3):
        with content.writer(f"sha256:{number:064x}", 100) as writer:
            writer.write(b"part")
    for number in (1, 2):
        os.utime(f"{layout.ingest}/sha256-{number:064x}", (old, old))
    with content.writer(f"sha256:{2:064x}", 100):
        os.utime(f"{layout.ingest}/sha256-{2:064x}", (old, old))
        assert gc.sweep(layout) == 4
    assert sorted(os.listdir(layout.ingest)) == [f"sha256-{number:064x}" for number in (0, 2)]
    gc.sweep(layout, all_partial=True)
    assert os.listdir(layout.ingest) == []


def test_adding_keeps_collectors_out(layout: Layout) -> None:
    with gc.adding(layout), gc.adding(layout):
        assert not gc.collecting(layout).try_acquire()
    lock = gc.collecting(layout)
    assert lock.try_acquire()
    lock.release(remove=True)


def test_index(db: Database, content: Content, layout: Layout) -> None:
    from wherry.oci import reference

    identity, _blob = keep_image(db, content, 1)
    keep_image(db, content, 2)
    images.tag(db, reference.parse("x:1"), identity)
    index.write(layout, db)
    with open(layout.index) as file:
        document = json.load(file)
    names = [one.get("annotations", {}).get("org.opencontainers.image.ref.name") for one in document["manifests"]]
    assert names == ["docker.io/library/x:1", None]
    assert layers.list_all(db) == []


def test_a_recipe_is_written_whole_or_not_at_all(
    content: Content, layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a full disk the blob stays; what somebody who was killed has left is swept."""
    content.put(BODY)

    def full(_fd: int, _data: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("wherry.store.layout.os.write", full)
        with pytest.raises(StorageFull):
            content.drop(DIGEST, {"size": len(BODY)})
    assert content.read(DIGEST) == BODY and os.listdir(layout.recipes) == []
    half = f"{content.recipe_path(DIGEST)}.1.00"
    with open(half, "w") as file:
        file.write("{")
    gc.sweep(layout)
    assert os.path.exists(half)  # somebody may be writing it
    os.utime(half, (0, 0))
    gc.sweep(layout)
    assert os.listdir(layout.recipes) == []


def test_the_index_is_written_when_it_changes(db: Database, content: Content, layout: Layout) -> None:
    from wherry.oci import reference

    identity, _blob = keep_image(db, content, 1)
    index.write(layout, db)
    first = os.stat(layout.index)
    images.note_target(db, reference.parse(f"x@{identity}"), identity, identity)
    index.write(layout, db)
    assert os.stat(layout.index) == first
    images.tag(db, reference.parse("x:1"), identity)
    index.write(layout, db)
    assert os.stat(layout.index).st_size != first.st_size
    with open(layout.index) as file:
        assert file.read() == index.render(db)
