"""Notes of what is not synced: those who write and remove them do not get into each other's way."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from wherry.store import unsynced
from wherry.store.layout import Layout


def test_the_directory_goes_while_another_note_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever settles the last note removes the directory between another's mkdir(2) and chmod(2)."""
    directory, chmod = tmp_path / "unsynced", os.chmod

    def late(path: str, mode: int, **more: Any) -> None:
        monkeypatch.setattr(os, "chmod", chmod)
        os.rmdir(path)
        os.chmod(path, mode, **more)

    monkeypatch.setattr(os, "chmod", late)
    layout = cast("Layout", SimpleNamespace(unsynced=str(directory)))
    with unsynced.Note(layout, unsynced.Promise((), (), "sha256:0")):
        assert len(os.listdir(directory)) == 1
    assert not directory.exists()
