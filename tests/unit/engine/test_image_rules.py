"""What `rmi` takes away and when it refuses; what lists show: Docker's rules, without any layer on disk."""

from __future__ import annotations

import json

import pytest

from wherry.engine import images
from wherry.engine.engine import Engine
from wherry.engine.images import Removed, inspect, list_images, remove, tag
from wherry.errors import Conflict, InvalidArgument, NotFound
from wherry.oci import reference
from wherry.store import containers
from wherry.store import images as rows
from wherry.store.containers import ContainerRow

T = "sha256:" + "7" * 64


def add(engine: Engine, number: int, *names: str, created: int = 0, labels: dict[str, str] | None = None) -> str:
    """An image with two made-up layers, the lower one the same for all."""
    identity = f"sha256:{number:x}".ljust(71, "0")
    diff_ids = ["sha256:" + "d" * 64, f"sha256:{number + 1000:x}".ljust(71, "0")]
    config = {
        "created": "2023-11-14T22:13:20.5Z",
        "architecture": "amd64",
        "os": "linux",
        "author": "me",
        "config": {"Labels": labels, "Env": ["A=b"], "ExposedPorts": {"80/tcp": {}}, "Odd": 1},
        "rootfs": {"type": "layers", "diff_ids": diff_ids},
        "history": [{"created_by": "ADD", "comment": "first"}, {"created_by": "ENV", "empty_layer": True}],
    }
    row = rows.ImageRow(identity, T, "t", 1, json.dumps(config), tuple(diff_ids), 10, created, "linux/amd64")
    rows.put(engine.db, row)
    for name in names:
        rows.tag(engine.db, reference.parse(name), identity, T)
    return identity


def use(engine: Engine, image_id: str, status: str = "exited") -> str:
    identity = "c0ffee" + "0" * 58
    containers.insert(engine.db, ContainerRow(identity, "user", image_id, "{}", status))
    return identity[:12]


def shown(items: tuple[Removed, ...]) -> list[str]:
    return [f"-{item.untagged}" if item.untagged else item.deleted[:10] for item in items]


def test_the_last_name_takes_the_image_along(engine: Engine) -> None:
    image = add(engine, 0xA, "x:1", f"x@{T}")
    assert shown(remove(engine, "x:1")) == ["-x:1", f"-x@{T}", image[:10], *shown(remove_chain(engine))]
    assert rows.list_all(engine.db) == []


def remove_chain(engine: Engine) -> tuple[Removed, ...]:
    """What a second, equal image would list as its layers."""
    add(engine, 0xA, "again")
    return remove(engine, "again")[2:]


def test_one_name_of_several_only_untags(engine: Engine) -> None:
    add(engine, 0xA, "x:1", "x:2", f"x@{T}")
    assert shown(remove(engine, "x:1")) == ["-x:1"]
    assert shown(remove(engine, "x"[:1] + ":2"))[:2] == ["-x:2", f"-x@{T}"]


def test_digests_go_with_the_last_tag_of_their_repository(engine: Engine) -> None:
    add(engine, 0xA, "x:1", f"x@{T}", "y:1")
    assert shown(remove(engine, "x:1")) == ["-x:1", f"-x@{T}"]
    assert [row.reference for row in rows.names(engine.db)] == ["docker.io/library/y:1"]


def test_a_shared_layer_is_not_listed(engine: Engine) -> None:
    add(engine, 0xA, "x:1")
    add(engine, 0xB, "y:1")
    assert len(remove(engine, "x:1")) == 3
    assert len(remove(engine, "y:1")) == 4


@pytest.mark.parametrize("text", ["a000", "sha256:a000", "a" + "0" * 63])
def test_by_id(engine: Engine, text: str) -> None:
    add(engine, 0xA, "x:1", f"x@{T}")
    assert shown(remove(engine, text))[:3] == ["-x:1", f"-x@{T}", "sha256:a00"]


def test_by_id_with_names_in_several_repositories(engine: Engine) -> None:
    add(engine, 0xA, "x:1", "y:1")
    message = (
        r"^conflict: unable to delete a00000000000 \(must be forced\) - image is referenced in multiple repositories$"
    )
    with pytest.raises(Conflict, match=message):
        remove(engine, "a000")
    assert len(rows.names(engine.db)) == 2
    assert shown(remove(engine, "a000", force=True))[:3] == ["-x:1", "-y:1", "sha256:a00"]


def test_under_a_stopped_container(engine: Engine) -> None:
    image = add(engine, 0xA, "x:1")
    container = use(engine, image)
    message = (
        rf'^conflict: unable to remove repository reference "x:1" \(must force\) - container {container} is using its '
        r"referenced image a00000000000$"
    )
    with pytest.raises(Conflict, match=message):
        remove(engine, "x:1")
    message = (
        r"^conflict: unable to delete a00000000000 \(must be forced\) - "
        rf"image is being used by stopped container {container}$"
    )
    with pytest.raises(Conflict, match=message):
        remove(engine, "a000")
    assert len(rows.names(engine.db)) == 1
    assert shown(remove(engine, "x:1", force=True))[:2] == ["-x:1", "sha256:a00"]


@pytest.mark.parametrize("status", ["running", "paused", "restarting"])
def test_under_a_running_container(engine: Engine, status: str) -> None:
    image = add(engine, 0xA, "x:1")
    container = use(engine, image, status)
    message = (
        r"^conflict: unable to delete a00000000000 \(cannot be forced\) - "
        rf"image is being used by running container {container}$"
    )
    for force in (False, True):
        with pytest.raises(Conflict, match=message):
            remove(engine, "a000", force=force)
    assert shown(remove(engine, "x:1", force=True)) == ["-x:1"], "as in Docker, the name goes and the image stays"
    assert len(rows.list_all(engine.db)) == 1


def test_what_is_not_there(engine: Engine) -> None:
    with pytest.raises(NotFound, match=r"^No such image: x:latest$"):
        remove(engine, "x")


# -- tags ------------------------------------------------------------------------------------------------------------


def test_tag(engine: Engine) -> None:
    image = add(engine, 0xA, "x:1")
    tag(engine, "x:1", "example.com/y")
    tag(engine, "a000", "z:2")
    assert {row.reference for row in rows.names(engine.db, image)} == {
        "docker.io/library/x:1",
        "example.com/y:latest",
        "docker.io/library/z:2",
    }
    for target in ("x@" + T, "sha256", "sha256:abc", "UPPER", "a..b"):
        with pytest.raises(InvalidArgument):
            tag(engine, "x:1", target)
    with pytest.raises(NotFound):
        tag(engine, "nothing", "y")


# -- lists -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def several(engine: Engine) -> Engine:
    add(engine, 0xA, "x:1", "example.com/team/app:1", created=100, labels={"a": "1", "b": "2"})
    add(engine, 0xB, "x:2", f"x@{T}", created=200, labels={"a": "2"})
    add(engine, 0xC, created=300)
    return engine


@pytest.mark.parametrize(
    ("filters", "found"),
    [
        ({}, "cba"),
        ({"dangling": ["true"]}, "c"),
        ({"dangling": ["false"]}, "ba"),
        ({"before": ["x:2"]}, "a"),
        ({"since": ["x:1"]}, "cb"),
        ({"until": ["200"]}, "ba"),
        ({"label": ["a"]}, "ba"),
        ({"label": ["a=2"]}, "b"),
        ({"label": ["a", "b=2"]}, "a"),
        ({"reference": ["x"]}, "ba"),
        ({"reference": ["x:2"]}, "b"),
        ({"reference": ["*:1"]}, "a"),
        ({"reference": ["example.com/*/app"]}, "a"),
        ({"reference": ["example.com/*"]}, ""),
        ({"reference": ["x:1", "x:2"]}, "ba"),
        ({"reference": ["[xy]"], "label": ["b"]}, "a"),
    ],
)
def test_filters(several: Engine, filters: dict[str, list[str]], found: str) -> None:
    assert "".join(one.id[7] for one in list_images(several, filters=filters)) == found


def test_a_reference_narrows_the_names(several: Engine) -> None:
    [one] = list_images(several, filters={"reference": ["x:1"]})
    assert one.repo_tags == ("x:1",)


@pytest.mark.parametrize("filters", [{"odd": ["x"]}, {"dangling": ["maybe"]}, {"until": ["yesterday"]}])
def test_filters_that_are_none(several: Engine, filters: dict[str, list[str]]) -> None:
    with pytest.raises(InvalidArgument):
        list_images(several, filters=filters)


def test_inspect_has_the_fields_of_docker(engine: Engine) -> None:
    image = add(engine, 0xA, "x:1", f"x@{T}", labels={"k": "v"})
    document = inspect(engine, "x:1")
    assert list(document) == [
        "Id", "RepoTags", "RepoDigests", "Parent", "Comment", "Created", "DockerVersion", "Author", "Config",
        "Architecture", "Os", "Size", "GraphDriver", "RootFS", "Metadata",
    ]  # fmt: skip
    assert list(document["Config"]) == [
        "Hostname", "Domainname", "User", "AttachStdin", "AttachStdout", "AttachStderr", "ExposedPorts", "Tty",
        "OpenStdin", "StdinOnce", "Env", "Cmd", "Image", "Volumes", "WorkingDir", "Entrypoint", "OnBuild", "Labels",
    ]  # fmt: skip
    assert document["Id"] == image
    assert (document["RepoTags"], document["RepoDigests"]) == (["x:1"], [f"x@{T}"])
    assert (document["Created"], document["Author"]) == ("2023-11-14T22:13:20.5Z", "me")
    assert document["Config"]["Labels"] == {"k": "v"} and document["Config"]["Cmd"] is None
    assert document["GraphDriver"]["Name"] == "overlay2"
    assert document["Metadata"]["LastTagTime"].endswith("Z")


def test_history(engine: Engine) -> None:
    image = add(engine, 0xA, "x:1")
    steps = images.history(engine, "x:1")
    assert [(step.id, step.created_by, step.comment) for step in steps] == [
        (image, "", ""),
        ("<missing>", "ENV", ""),
        ("<missing>", "ADD", "first"),
    ]
    assert steps[0].tags == ("x:1",)
