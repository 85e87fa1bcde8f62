"""Directories that belong to their owner alone, whatever was there and whatever the umask."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from wherry.errors import InvalidArgument
from wherry.store.layout import Layout, write_private


def test_modes_do_not_depend_on_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        Layout(str(tmp_path / "deep/er/root"), str(tmp_path / "run")).ensure()
    finally:
        os.umask(before)
    for path in [tmp_path / "run", tmp_path / "deep/er/root", *(tmp_path / "deep/er/root").rglob("*")]:
        mode = stat.S_IMODE(path.stat().st_mode)
        assert mode == (0o700 if path.is_dir() else 0o600), path
    assert stat.S_IMODE((tmp_path / "deep").stat().st_mode) == 0o755


def test_a_strict_umask_does_not_lock_us_out(tmp_path: Path) -> None:
    before = os.umask(0o777)
    try:
        Layout(str(tmp_path / "root"), str(tmp_path / "run")).ensure()
    finally:
        os.umask(before)
    assert (tmp_path / "root/layers").is_dir()
    assert stat.S_IMODE((tmp_path / "root/layers").stat().st_mode) == 0o700


def test_an_open_root_is_closed(tmp_path: Path) -> None:
    layout = Layout(str(tmp_path / "root"), str(tmp_path / "run"))
    layout.ensure()
    (tmp_path / "root").chmod(0o755)
    layout.ensure()
    assert stat.S_IMODE((tmp_path / "root").stat().st_mode) == 0o700


def test_somebody_elses_directory_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "root").mkdir(mode=0o755)
    (tmp_path / "root/thesis.txt").touch()
    with pytest.raises(InvalidArgument, match="has other things in it"):
        Layout(str(tmp_path / "root"), str(tmp_path / "run")).ensure()
    assert stat.S_IMODE((tmp_path / "root").stat().st_mode) == 0o755
    assert os.listdir(tmp_path / "root") == ["thesis.txt"]


@pytest.mark.parametrize("which", ["root", "run"])
@pytest.mark.parametrize("ready", [False, True])
def test_another_users_directory_is_not_taken_for_ones_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, which: str, ready: bool
) -> None:
    """Made in /tmp before us, closed and with all that belongs there: a store of images that somebody else chose."""
    layout = Layout(str(tmp_path / "root"), str(tmp_path / "run"))
    if ready:
        layout.ensure()
    else:
        (tmp_path / which).mkdir(mode=0o700)
    real = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: real + 1)
    with pytest.raises(InvalidArgument, match="belongs to another user"):
        layout.ensure()


def test_run_directories_come_back_after_a_reboot(layout: Layout) -> None:
    for path in (layout.locks, layout.run_containers, layout.execs, layout.netns):
        os.rmdir(path)
    os.rmdir(layout.run)
    layout.ensure()
    assert os.path.isdir(layout.locks)


def test_write_private_replaces_and_leaves_nothing_aside(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")
    path.chmod(0o644)
    write_private(str(path), b"new")
    assert path.read_text() == "new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert os.listdir(tmp_path) == ["file"]
