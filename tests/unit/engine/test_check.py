"""A check that meets somebody who is removing a container: nothing is wrong when both are done."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from wherry.engine import check
from wherry.engine.containers import monitor_lock
from wherry.engine.engine import Engine
from wherry.store import containers

GONE = "ab" * 32


@pytest.fixture
def places(engine: Engine) -> list[Path]:
    """The directories of a container that has no row any more."""
    found = [Path(engine.layout.container(GONE)), Path(engine.layout.run_container(GONE))]
    for path in found:
        path.mkdir(parents=True)
    return found


def test_files_that_are_removed_meanwhile(engine: Engine, places: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    ask = containers.list_all

    def remove_first(db: object) -> object:
        for path in places:
            path.rmdir()
        return ask(db)  # type: ignore[arg-type]

    lock = monitor_lock(engine, GONE)
    with lock:
        assert list(check._remains(engine)) == []  # whoever holds it is at it
    found = list(check._remains(engine))
    assert [problem.what for problem in found] == [f"files of a container that is gone: {GONE}"]
    monkeypatch.setattr(containers, "list_all", remove_first)
    assert list(check._remains(engine)) == []
    assert not os.listdir(engine.layout.locks)


def test_a_lock_that_is_let_go_meanwhile(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    lock = monitor_lock(engine, GONE)
    lock.acquire()
    assert list(check._locks(engine)) == []
    lock.release()
    found = list(check._locks(engine))
    assert [problem.what for problem in found] == [f"a lock of a container that is gone: {GONE}"]
    names = os.listdir(engine.layout.locks)
    os.unlink(engine.layout.lock(GONE))
    monkeypatch.setattr(os, "listdir", lambda _path: names)  # as it was a moment ago
    assert list(check._locks(engine)) == []
    monkeypatch.undo()
    assert not os.listdir(engine.layout.locks)
