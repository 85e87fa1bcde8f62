"""Unpacked layers that nothing needs: gone at once by name, their files by a process that nobody has to wait for."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from wherry.engine import gc
from wherry.engine.engine import Engine
from wherry.rootfs import staging

NAME = "ab" * 32


@pytest.fixture
def layer(engine: Engine) -> Path:
    with engine.snapshotter.prepare(f"sha256:{NAME}") as made:
        for number in range(200):
            os.mkdir(f"{made.path}/{number}")
            for file in range(10):
                Path(f"{made.path}/{number}/{file}").touch()
        made.commit()
    return Path(engine.layout.layers) / NAME


def left(engine: Engine) -> list[str]:
    return [name for name in engine.snapshotter.names() if name.startswith(staging.REMOVING) or name == NAME]


def test_small_ones_are_gone_when_it_returns(engine: Engine, layer: Path) -> None:
    gc.collect(engine)
    assert not layer.exists() and left(engine) == []


def test_large_ones_go_on_without_the_caller(engine: Engine, layer: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gc, "_PATIENCE", 0.0)
    gc.collect(engine)
    assert not layer.exists()
    engine.snapshotter.sweep()  # is not in the way
    end = time.monotonic() + 60
    while left(engine):
        assert time.monotonic() < end
        time.sleep(0.01)


def test_who_is_killed_leaves_it_to_the_next(engine: Engine, layer: Path) -> None:
    path = staging.set_aside(engine.layout.layers, NAME)
    assert not layer.exists() and os.path.isdir(path)
    assert staging.set_aside(engine.layout.layers, NAME) == ""
    assert engine.snapshotter.sweep() == 1 and left(engine) == []
    staging.discard_alone(path)  # nothing there is fine
