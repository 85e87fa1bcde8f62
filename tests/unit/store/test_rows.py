"""Images, names, layers, containers and volumes as rows."""

from __future__ import annotations

import os

import pytest

from wherry.errors import Conflict, InvalidArgument, NotFound, StorageFull
from wherry.oci import reference
from wherry.store import containers, images, layers, volumes
from wherry.store.containers import ID_COUNT, ID_FIRST, ContainerRow
from wherry.store.db import Database
from wherry.store.images import ImageRow
from wherry.store.layers import LayerRow
from wherry.store.volumes import VolumeRow

D = "sha256:" + "d" * 64


def image(number: int, *, created: int = 0) -> ImageRow:
    identity = f"sha256:{number:x}".ljust(71, "0")
    return ImageRow(identity, D, "type", 10, '{"a":1}', (D, identity), 100, created, "linux/amd64")


def container(number: int, **more: object) -> ContainerRow:
    return ContainerRow(f"{number:x}".rjust(64, "a"), f"name{number}", **more)  # type: ignore[arg-type]


# -- images ----------------------------------------------------------------------------------------------------------


def test_images_are_found_as_docker_finds_them(db: Database) -> None:
    one, two = image(0xABC1), image(0xABC2)
    for row in (one, two):
        images.put(db, row)
    images.tag(db, reference.parse("nginx"), one.id, D)
    images.tag(db, reference.parse("abc"), two.id, D)
    images.tag(db, reference.parse(f"nginx@{D}"), one.id, D)
    for text in ("nginx", "nginx:latest", "docker.io/library/nginx", "abc1", "sha256:abc1", one.id, one.id[7:]):
        assert images.resolve(db, text).id == one.id
    assert images.resolve(db, f"nginx@{D}").id == one.id
    assert images.resolve(db, f"nginx:other@{D}").id == one.id
    assert images.resolve(db, "abc").id == two.id  # a name beats the beginning of an id
    for text, shown in (("redis", "redis:latest"), ("nginx:1", "nginx:1"), ("ffff", "ffff:latest"), (D, D)):
        with pytest.raises(NotFound, match=f"^No such image: {shown}$"):
            images.resolve(db, text)
    with pytest.raises(NotFound) as found:
        images.resolve(db, "sha256:ab")
    assert "several image ids" in found.value.hint
    with pytest.raises(InvalidArgument):
        images.resolve(db, "UPPER")
    assert images.resolve_or_none(db, "UPPER") is None


def test_an_image_row_comes_back_whole(db: Database) -> None:
    row = image(1, created=-62135596800).replace(fixup="sha256:1", size=1 << 40)
    images.put(db, row)
    assert images.get(db, row.id) == row
    images.put(db, row.replace(manifest="sha256:other"))
    assert [one.manifest for one in images.list_all(db)] == ["sha256:other"]
    assert row.stack == (*row.diff_ids, "sha256:1")


def test_names_move_and_go(db: Database) -> None:
    one, two = image(1), image(2)
    images.put(db, one)
    images.put(db, two)
    name = reference.parse("x:1")
    images.tag(db, name, one.id)
    images.tag(db, name, two.id)
    assert [row.image_id for row in images.names(db)] == [two.id]
    assert images.untag(db, name) and not images.untag(db, name)
    with pytest.raises(NotFound):
        images.tag(db, name, "sha256:" + "e" * 64)
    images.tag(db, name, one.id)
    images.delete(db, one.id)
    assert images.names(db) == [] and images.get(db, one.id) is None


# -- containers ------------------------------------------------------------------------------------------------------


def test_a_name_is_taken_once(db: Database) -> None:
    first = containers.insert(db, container(1))
    with pytest.raises(Conflict) as error:
        containers.insert(db, container(2).replace(name=first.name))
    assert error.value.message == (
        f'Conflict. The container name "/name1" is already in use by container "{first.id}". '
        "You have to remove (or rename) that container to be able to reuse that name."
    )
    containers.delete(db, first.id)
    containers.insert(db, container(2).replace(name="name1"))


def test_ranges_of_ids(db: Database) -> None:
    rows = [containers.insert(db, container(number), lease_ids=True) for number in range(4)]
    assert [row.id_base for row in rows] == [ID_FIRST + number * ID_COUNT for number in range(4)]
    assert containers.insert(db, container(9)).id_base == 0
    containers.delete(db, rows[1].id)
    assert containers.insert(db, container(5), lease_ids=True).id_base == rows[1].id_base
    containers.delete(db, rows[0].id)
    assert containers.insert(db, container(6), lease_ids=True).id_base == ID_FIRST
    assert containers.insert(db, container(7), lease_ids=True).id_base == ID_FIRST + 4 * ID_COUNT


def test_ranges_run_out(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(containers, "ID_LAST", ID_FIRST + ID_COUNT)
    for number in range(2):
        containers.insert(db, container(number), lease_ids=True)
    with pytest.raises(StorageFull):
        containers.insert(db, container(3), lease_ids=True)
    assert len(containers.list_all(db)) == 2


def test_processes_never_share_a_range_or_a_name(db: Database) -> None:
    db.rows("SELECT 1")
    pids = []
    for number in range(6):
        pid = os.fork()
        if pid == 0:
            try:
                for step in range(5):
                    containers.insert(db, container(number * 10 + step), lease_ids=True)
                    try:
                        containers.insert(db, container(1000 + number * 10 + step).replace(name=f"same{step}"))
                    except Conflict:
                        pass
            finally:
                os._exit(0)
        pids.append(pid)
    for pid in pids:
        os.waitpid(pid, 0)
    rows = containers.list_all(db)
    bases = [row.id_base for row in rows if row.id_base]
    assert len(bases) == len(set(bases)) == 30
    assert sorted(row.name for row in rows if row.name.startswith("same")) == [f"same{step}" for step in range(5)]


def test_the_image_must_be_there(db: Database) -> None:
    with pytest.raises(NotFound):
        containers.insert(db, container(1, image_id="sha256:gone"))
    images.put(db, image(1))
    containers.insert(db, container(1, image_id=image(1).id))
    assert [row.name for row in containers.using_image(db, image(1).id)] == ["name1"]


def test_containers_are_found_as_docker_finds_them(db: Database) -> None:
    one = containers.insert(db, container(0).replace(id="abcd" + "0" * 60, name="x", created=1))
    two = containers.insert(db, container(0).replace(id="abce" + "0" * 60, name="abcd", created=2))
    assert containers.get(db, one.id) == one
    assert containers.get(db, "abcd") == two
    assert containers.get(db, "/x") == one
    assert containers.get(db, "abcd0") == one
    assert containers.list_all(db) == [two, one]
    with pytest.raises(InvalidArgument, match="multiple IDs found with provided prefix: abc"):
        containers.get(db, "abc")
    for text in ("", "nothing", "abcf", "%", "_" * 3):
        with pytest.raises(NotFound, match=r"^No such container: "):
            containers.get(db, text)


def test_changes(db: Database) -> None:
    row = containers.insert(db, container(1))
    other = containers.insert(db, container(2))
    containers.update(db, row.id, status="exited", exit_code=137, finished_at=1 << 62)
    assert containers.get(db, row.id) == row.replace(status="exited", exit_code=137, finished_at=1 << 62)
    with pytest.raises(Conflict):
        containers.update(db, row.id, name=other.name)
    with pytest.raises(NotFound):
        containers.update(db, "0" * 64, status="x")
    with pytest.raises(ValueError, match="id_base"):
        containers.update(db, row.id, id_base=5)


# -- layers and volumes ----------------------------------------------------------------------------------------------


def test_layers(db: Database) -> None:
    row = LayerRow(D, 5, 2, ("usr", "usr/l\udcffb"), (("a", "b"),))
    layers.put(db, row)
    layers.put(db, row)
    assert layers.get(db, D) == row
    assert layers.list_all(db) == [row]
    layers.note_blob(db, "sha256:blob", D)
    layers.note_blob(db, "sha256:gone", D)
    layers.forget_blobs(db, frozenset(("sha256:blob",)))
    assert layers.diff_id_of(db, "sha256:blob") == D
    assert layers.diff_id_of(db, "sha256:gone") == ""
    layers.delete(db, D)
    assert layers.get(db, D) is None


def test_volumes(db: Database) -> None:
    row = VolumeRow("data", options=(("o", "x"),), labels=(("k", "v"),), created=7)
    assert volumes.create(db, row) == (row, True)
    assert volumes.create(db, VolumeRow("data", created=9)) == (row, False)
    with pytest.raises(Conflict):
        volumes.create(db, VolumeRow("data", driver="nfs"))
    volumes.delete(db, "data")
    with pytest.raises(NotFound, match=r"^get data: no such volume$"):
        volumes.get(db, "data")
    with pytest.raises(NotFound):
        volumes.delete(db, "data")


@pytest.mark.parametrize("name", ["", "a", "../x", "a/b", ".hidden", "-x", "a b", "a\n", "é", "x" * 256, "a\0b"])
def test_names_that_no_volume_has(db: Database, name: str) -> None:
    with pytest.raises(InvalidArgument):
        volumes.create(db, VolumeRow(name))
