"""Contexts in the files of Docker's client."""

from __future__ import annotations

import io
import json
import os
import tarfile
import zipfile
from pathlib import Path

import pytest

from wherry.client import context_archive
from wherry.client.address import Address, Tls
from wherry.client.contexts import Context, Store
from wherry.errors import Conflict, InvalidArgument, NotFound

FAR = Context("far", "tcp://far:2376", "words", tls=(("ca.pem", b"a"), ("key.pem", b"k")), metadata=(("Other", [1]),))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path / "docker"))


def test_what_is_kept_comes_back(store: Store) -> None:
    assert store.names() == [] and store.current() == ""
    store.put(FAR, new=True)
    assert store.get("far") == FAR and store.names() == ["far"]
    with pytest.raises(Conflict, match='context "far" already exists'):
        store.put(FAR, new=True)
    store.put(FAR.replace(tls=()), new=False)
    assert store.get("far").tls == () and not os.path.exists(store.paths("far")[1])
    store.remove("far")
    with pytest.raises(NotFound):
        store.get("far")


def test_the_address_of_a_context(store: Store) -> None:
    store.put(FAR, new=True)
    directory = f"{store.paths('far')[1]}/docker"
    tls = Tls(f"{directory}/ca.pem", "", f"{directory}/key.pem")
    assert store.address("far") == Address("tcp", "far", 2376, tls=tls, source="the context far")
    store.put(Context("near", "unix:///x"), new=True)
    assert store.address("near", "DOCKER_CONTEXT").source == "the context near, DOCKER_CONTEXT"
    store.put(Context("other", ""), new=True)
    with pytest.raises(InvalidArgument, match="no Docker endpoint"):
        store.address("other")


def test_using_one_keeps_the_rest_of_the_file(store: Store, tmp_path: Path) -> None:
    store.put(FAR, new=True)
    file = tmp_path / "docker/config.json"
    file.write_text('{"auths": {"x": {}}}')
    file.chmod(0o600)
    store.use("far")
    assert json.loads(file.read_text()) == {"auths": {"x": {}}, "currentContext": "far"}
    assert store.current() == "far" and file.stat().st_mode & 0o777 == 0o600
    store.use("default")
    assert json.loads(file.read_text()) == {"auths": {"x": {}}}
    with pytest.raises(NotFound):
        store.use("nosuch")
    file.write_text("[]")
    with pytest.raises(InvalidArgument, match="not what it should be"):
        store.use("far")


@pytest.mark.parametrize("name", ["", "default", "a", "-x", "a/b", "../x", "a b"])
def test_names_that_are_none(store: Store, name: str) -> None:
    with pytest.raises(InvalidArgument):
        store.put(Context(name, "unix:///x"), new=True)


def test_files_of_others_that_cannot_be_read_are_left_out(store: Store, tmp_path: Path) -> None:
    store.put(FAR, new=True)
    (tmp_path / "docker/contexts/meta/odd").mkdir()
    (tmp_path / "docker/contexts/meta/odd/meta.json").write_text("{")
    assert store.names() == ["far"]


def exported(context: Context) -> bytes:
    out = io.BytesIO()
    context_archive.write(context, out)
    return out.getvalue()


def test_an_archive_and_back() -> None:
    assert context_archive.read("other", exported(FAR)) == FAR.replace(name="other")
    zipped = io.BytesIO()
    with zipfile.ZipFile(zipped, "w") as archive:
        archive.writestr("meta.json", json.dumps(FAR.document()))
        archive.writestr("tls/docker/ca.pem", b"a")
        archive.writestr("tls/docker/key.pem", b"k")
    assert context_archive.read("far", zipped.getvalue()) == FAR


@pytest.mark.parametrize(
    "name", ["../../evil", "tls/docker/../../x", "tls/other/ca.pem", "/etc/passwd", "tls/docker/x"]
)
def test_archives_with_other_files_are_refused(name: str) -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for path, content in (("meta.json", b"{}"), (name, b"x")):
            entry = tarfile.TarInfo(path)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    with pytest.raises(InvalidArgument, match="unexpected file"):
        context_archive.read("x", out.getvalue())


@pytest.mark.parametrize("content", [b"", b"x" * 600, b"PK\x03\x04", bytes(1024)])
def test_what_is_no_archive(content: bytes) -> None:
    with pytest.raises(InvalidArgument, match="invalid context"):
        context_archive.read("x", content)


def test_links_in_an_archive_are_refused() -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        entry = tarfile.TarInfo("meta.json")
        entry.type, entry.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(entry)
    with pytest.raises(InvalidArgument):
        context_archive.read("x", out.getvalue())
