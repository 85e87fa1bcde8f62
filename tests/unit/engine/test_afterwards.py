"""What is sealed when a pull or a load has ended, and what a check says when the kernel refuses it."""

from __future__ import annotations

import errno
import io
import os
from pathlib import Path

import pytest

from wherry.engine import afterwards, check_digests
from wherry.engine.engine import Engine
from wherry.errors import Corrupt
from wherry.linux import verity
from wherry.rootfs.erofs import HEADS, TAR


def test_blobs_and_tars_are_sealed(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is gone meanwhile, or what the kernel does not take, keeps nothing else from it."""
    blobs = [engine.content.put(body) for body in (b"manifest", b"layer", b"another")]
    gone = "sha256:" + "0" * 64
    tar, heads = (Path(engine.tars.path(blobs[1]), name) for name in (TAR, HEADS))
    tar.parent.mkdir(parents=True)
    tar.touch()
    heads.touch()
    asked: list[str] = []

    def seal(path: str) -> None:
        os.stat(path)
        asked.append(path)
        if path == engine.content.path(blobs[0]):
            raise OSError(errno.ETXTBSY, "")

    monkeypatch.setattr(verity, "seal", seal)
    afterwards.seal(engine, [(blobs[1], blobs[1]), (gone, gone)], [blobs[0]])
    assert asked == [engine.content.path(blobs[0]), engine.content.path(blobs[1]), str(tar), str(heads)]


@pytest.mark.parametrize(("answer", "possible"), [("on", True), ("off", True), ("", False)])
def test_where_it_is_possible(engine: Engine, monkeypatch: pytest.MonkeyPatch, answer: str, possible: bool) -> None:
    monkeypatch.setattr(verity, "state", {f"{engine.layout.root}/oci-layout": answer}.__getitem__)
    assert afterwards.seals(engine) is possible


def test_nothing_is_forked_for_nothing(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verity, "state", lambda _path: "")
    monkeypatch.setattr(os, "fork", pytest.fail)
    afterwards.later(engine, [("sha256:a", "sha256:b")], [])


def unreadable(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """Every blob, as on a disk that is going."""

    def verify(_content: object, _digest: str) -> bool:
        raise OSError(number, "")

    monkeypatch.setattr("wherry.store.content.Content.verify", verify)


@pytest.mark.parametrize(
    ("number", "state", "refused"),
    [(errno.EIO, "on", True), (errno.EIO, "off", False), (errno.EIO, "", False), (errno.EACCES, "on", False)],
)
def test_only_what_fs_verity_refuses_is_removed(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, number: int, state: str, refused: bool
) -> None:
    """Another error may pass."""
    digest = engine.content.put(b"layer")
    unreadable(monkeypatch, number)
    monkeypatch.setattr(verity, "state", lambda _path: state)
    (problem,) = check_digests.blobs(engine)
    assert digest in problem.what
    assert (problem.mend is not None) is refused is ("fs-verity" in problem.what)
    if problem.mend is not None:
        problem.mend(*problem.arguments)
        assert not engine.content.has(digest)


def test_reading_names_the_blob(engine: Engine) -> None:
    digest = engine.content.put(b"layer")
    with engine.content.open(digest) as file:
        assert file.read(2) == b"la" and file.read() == b"yer" and file.read(1) == b""
    descriptor = os.open("/", os.O_RDONLY)
    with engine.content.open(digest) as file:
        os.dup2(descriptor, file.fileno())  # reading a directory fails
        os.close(descriptor)
        with pytest.raises(Corrupt, match=f"blob {digest} cannot be read: is a directory"):
            file.read(1)
    assert isinstance(file, io.RawIOBase)
