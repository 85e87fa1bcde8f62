"""What an image needs on top of layers that were unpacked without each other."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from support import tars
from support.tars import directory, hardlink, member, pax, symlink
from wherry.errors import Corrupt
from wherry.layers import fixup
from wherry.layers.apply import Applied
from wherry.layers.fixup import FixUp

Make = Callable[..., tuple[Path, Applied]]


@pytest.fixture
def stack(layer: Make, tmp_path: Path) -> Callable[..., tuple[Path, FixUp]]:
    """``stack(bottom, …, top)``: the fix-up layer that was written, and its plan."""

    def make(*tars_of_layers: bytes) -> tuple[Path, FixUp]:
        layers = []
        for data in tars_of_layers:
            path, applied = layer(data)
            layers.append(fixup.Layer(str(path), applied.implied_dirs, applied.missing_links))
        plan = fixup.plan(layers)
        target = tmp_path / "fixup"
        target.mkdir()
        fd = os.open(target, os.O_RDONLY)
        fixup.write(plan, layers, fd)
        os.close(fd)
        return target, plan

    return make


Stack = Callable[..., tuple[Path, FixUp]]
TMP = directory("tmp", 0o1777, mtime=11)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_nothing_to_do_is_the_usual_case(stack: Stack) -> None:
    assert not stack(TMP, directory("tmp", 0o700) + member("tmp/a"))[1].needed
    assert not fixup.plan([]).needed


def test_an_implied_directory_takes_after_the_one_below(stack: Stack) -> None:
    records = {"SCHILY.xattr.user.note": "kept"}
    path, plan = stack(pax(records) + TMP, member("tmp/a"), member("tmp/b"))
    assert sorted(tars.tree(path)) == ["tmp"]
    assert mode(path / "tmp") == 0o1777 and (path / "tmp").stat().st_mtime == 11
    assert os.getxattr(path / "tmp", "user.note") == b"kept"
    assert plan.needed


def test_directories_around_it_are_right_too(stack: Stack) -> None:
    path, _ = stack(
        directory("a", 0o711) + directory("a/b", 0o755) + directory("a/b/c", 0o1777),
        directory("a/b", 0o750),
        member("a/b/c/file"),
    )
    assert [mode(path / name) for name in ("a", "a/b", "a/b/c")] == [0o711, 0o750, 0o1777]


@pytest.mark.parametrize(
    "layers",
    [
        (TMP, member(".wh.tmp"), member("tmp/a")),
        (TMP, member(".wh.tmp") + member("tmp/a")),
        (TMP, member("tmp/a") + member(".wh.tmp")),
        (TMP, member("tmp", b"a file"), member("tmp/a")),
        (TMP, symlink("tmp", "var"), member("tmp/a")),
        (TMP, member("tmp/a"), member(".wh.tmp")),
        (TMP, member("tmp/a"), symlink("tmp", "var")),
        (TMP, member("tmp/a"), directory("tmp", 0o700)),
        (directory("d/tmp", 0o1777), directory("d") + member("d/.wh..wh..opq") + member("d/tmp/a")),
        (directory("d/tmp", 0o1777), member("d/tmp/a"), directory("d") + member("d/.wh..wh..opq")),
        (directory("d/tmp", 0o1777), member(".wh.d"), directory("d"), member("d/tmp/a")),
        (directory("tmp", 0o755, mtime=3), member("tmp/a")),
    ],
    ids=["deleted below", "deleted before", "deleted after", "a file below", "a link below", "deleted above",
         "a link above", "an entry above", "opaque around", "opaque above", "deleted around", "only the time"],
)  # fmt: skip
def test_where_nothing_is_taken_over(stack: Stack, layers: tuple[bytes, ...]) -> None:
    assert not stack(*layers)[1].needed


def test_an_opaque_directory_without_an_entry_keeps_its_attributes(stack: Stack) -> None:
    path, _ = stack(TMP, member("tmp/.wh..wh..opq") + member("tmp/a"))
    assert mode(path / "tmp") == 0o1777
    assert not os.listxattr(path / "tmp")


def test_a_link_into_a_layer_below(stack: Stack) -> None:
    path, _ = stack(
        directory("usr", 0o751) + directory("usr/bin", 0o711) + member("usr/bin/perl", b"perl", mode=0o755),
        directory("usr", 0o755) + directory("usr/bin", 0o755) + hardlink("usr/bin/perl5", "usr/bin/perl"),
    )
    assert sorted(tars.tree(path)) == ["usr", "usr/bin", "usr/bin/perl5"]
    assert (path / "usr/bin/perl5").read_text() == "perl" and mode(path / "usr") == 0o755
    assert (path / "usr/bin/perl5").samefile(path.parent / "layer1/usr/bin/perl")


def test_a_link_means_the_file_that_its_layer_saw(stack: Stack) -> None:
    path, _ = stack(
        member("a", b"old"), member("a", b"new"), hardlink("b", "a"), member("a", b"newest"), member(".wh.a")
    )
    assert (path / "b").read_text() == "new"


def test_a_link_to_what_its_own_layer_deletes(stack: Stack) -> None:
    path, _ = stack(member("a", b"1"), member(".wh.a") + hardlink("b", "a"))
    assert (path / "b").read_text() == "1"


def test_a_link_to_a_link(stack: Stack) -> None:
    path, _ = stack(member("a", b"1") + symlink("s", "x"), hardlink("b", "a"), hardlink("c", "b") + hardlink("t", "s"))
    assert sorted(tars.tree(path)) == ["b", "c", "t"]
    assert (path / "c").read_text() == "1" and os.readlink(path / "t") == "x"


@pytest.mark.parametrize("above", [member("b", b"2"), member(".wh.b"), directory("b"), hardlink("b", "other")])
def test_a_link_that_does_not_show_is_left_out(stack: Stack, above: bytes) -> None:
    path, _ = stack(member("a", b"1") + member("other", b"3"), hardlink("b", "a"), above)
    if (path / "b").exists():
        assert (path / "b").read_text() == "3"


@pytest.mark.parametrize(
    "layers",
    [
        (member("x"), hardlink("b", "a")),
        (member("a"), member(".wh.a"), hardlink("b", "a")),
        (member("d/a"), directory("d") + member("d/.wh..wh..opq"), hardlink("b", "d/a")),
        (directory("a"), hardlink("b", "a")),
        (symlink("l", "/etc") + member("x"), hardlink("b", "l/passwd")),
        (hardlink("b", "etc/passwd"),),
    ],
    ids=["nowhere", "deleted", "opaque", "a directory", "through a link", "no layer below"],
)
def test_a_link_to_nothing_is_corrupt(stack: Stack, layers: tuple[bytes, ...]) -> None:
    with pytest.raises(Corrupt, match="hard link"):
        stack(*layers)
