"""Copies of a stranger's tree to a place where another stranger may be writing."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from wherry.linux import openat2, treecopy


@pytest.fixture
def places(tmp_path: Path) -> tuple[Path, Path]:
    source, target = tmp_path / "source", tmp_path / "target"
    source.mkdir()
    target.mkdir()
    return source, target


def copy(source: Path, target: Path) -> None:
    one, other = os.open(source, os.O_RDONLY), os.open(target, os.O_RDONLY)
    try:
        treecopy.copy_contents(one, other)
    finally:
        os.close(one)
        os.close(other)


def test_a_few_bytes_in_a_huge_file_stay_a_few_bytes(places: tuple[Path, Path]) -> None:
    """Else a layer of some hundred bytes fills the disk."""
    source, target = places
    sizes = {"hole": 1 << 40, "end": 1 << 40, "both": 1 << 38, "plain": 3_000_000, "empty": 0}
    for name, size in sizes.items():
        with (source / name).open("wb") as file:
            file.truncate(size)
    with (source / "end").open("r+b") as file:
        file.seek(-3, os.SEEK_END)
        file.write(b"end")
    with (source / "both").open("r+b") as file:
        file.write(b"begin")
        file.seek(1 << 30)
        file.write(b"middle" * 100_000)
    content = os.urandom(3_000_000)
    (source / "plain").write_bytes(content)
    copy(source, target)
    assert {name: (target / name).stat().st_size for name in sizes} == sizes
    assert sum((target / name).stat().st_blocks for name in sizes) * 512 < 5 << 20
    assert (target / "plain").read_bytes() == content
    with (target / "end").open("rb") as file:
        file.seek(-5, os.SEEK_END)
        assert file.read() == b"\0\0end"
    with (target / "both").open("rb") as file:
        assert file.read(7) == b"begin\0\0"
        file.seek(1 << 30)
        assert file.read(600_001) == b"middle" * 100_000 + b"\0"


def test_hard_links_stay_links_and_cost_no_descriptors(places: tuple[Path, Path]) -> None:
    source, target = places
    (source / "below").mkdir()
    for number in range(300):
        (source / "below" / f"a{number}").write_text(str(number))
        os.link(source / "below" / f"a{number}", source / f"z{number}")
    held: list[int] = []
    real = openat2.open_in

    def counting(*arguments: Any, **more: Any) -> int:
        held.append(len(os.listdir("/proc/self/fd")))
        return real(*arguments, **more)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(treecopy.openat2, "open_in", counting)
        copy(source, target)
    assert len(held) == 300
    assert max(held) - min(held) < 5
    for number in (0, 299):
        assert (target / f"z{number}").samefile(target / "below" / f"a{number}")
        assert (target / f"z{number}").read_text() == str(number)


def swapping(patch: pytest.MonkeyPatch, where: Any, name: str, swap: Callable[[], None], *, before: bool) -> None:
    """Have ``swap`` called around the first call of a function, as somebody else would in a race."""
    real = getattr(where, name)
    done: list[bool] = []

    def call(*arguments: Any, **more: Any) -> Any:
        if before and not done:
            done.append(True)
            swap()
        result = real(*arguments, **more)
        if not before and not done:
            done.append(True)
            swap()
        return result

    patch.setattr(where, name, call)


def test_a_new_fifo_exchanged_for_a_link_changes_no_mode_elsewhere(
    places: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, target = places
    victim = tmp_path / "victim"
    victim.write_text("host")
    victim.chmod(0o600)
    os.mkfifo(source / "pipe")
    (source / "pipe").chmod(0o666)

    def swap() -> None:
        (target / "pipe").unlink()
        (target / "pipe").symlink_to(victim)

    swapping(monkeypatch, os, "mknod", swap, before=False)
    copy(source, target)
    assert stat.S_IMODE(victim.stat().st_mode) == 0o600


def test_a_directory_exchanged_for_a_link_gives_no_hard_link_to_a_file_elsewhere(
    places: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, target = places
    victim = tmp_path / "victim"
    victim.mkdir()
    (victim / "file").write_text("host")
    (source / "below").mkdir()
    (source / "below" / "file").write_text("image")
    os.link(source / "below" / "file", source / "later")

    def swap() -> None:
        (target / "below").rename(target / "moved")
        (target / "below").symlink_to(victim)

    swapping(monkeypatch, openat2, "open_in", swap, before=True)
    copy(source, target)
    assert (target / "later").read_text() == "image"
    assert (victim / "file").stat().st_nlink == 1
