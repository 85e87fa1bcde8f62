"""What a layer's tar becomes on disk."""

from __future__ import annotations

import errno
import gc
import hashlib
import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from support import tars
from support.tars import END, Dribble, directory, hardlink, header, member, pax, symlink
from wherry.errors import Corrupt, InvalidArgument, StorageFull, Unavailable
from wherry.layers.apply import Applied, ApplyOptions, Limits, apply

Make = Callable[..., tuple[Path, Applied]]


def is_whiteout(path: Path) -> bool:
    status = path.lstat()
    return stat.S_ISCHR(status.st_mode) and status.st_rdev == 0


def is_opaque(path: Path) -> bool:
    return "user.overlay.opaque" in os.listxattr(path)


def test_files_directories_and_links(layer: Make) -> None:
    data = (
        directory("./", 0o751, mtime=5)
        + directory("./a", 0o2775, mtime=6)
        + member("a/file", b"hello", mode=0o4755, mtime=7)
    )
    data += (
        symlink("a/link", "/etc/passwd", mtime=8) + hardlink("b", "a/file") + header("pipe", b"6", mode=0o622, mtime=9)
    )
    path, applied = layer(data)
    assert stat.S_IMODE(path.stat().st_mode) == 0o751 and path.stat().st_mtime == 5
    assert (path / "a").stat().st_mode == stat.S_IFDIR | 0o2775 and (path / "a").stat().st_mtime == 6
    file = (path / "a/file").stat()
    assert (file.st_mode, file.st_mtime, file.st_nlink) == (stat.S_IFREG | 0o4755, 7, 2)
    assert (path / "b").read_text() == "hello"
    assert os.readlink(path / "a/link") == "/etc/passwd" and (path / "a/link").lstat().st_mtime == 8
    assert (path / "pipe").stat().st_mode == stat.S_IFIFO | 0o622
    assert applied == Applied("sha256:" + hashlib.sha256(data + END).hexdigest(), 5, 6, (), (), len(data + END))


def test_the_digest_covers_what_follows_the_end(layer: Make) -> None:
    data = member("a", b"1") + END + b"\0" * 4096 + b"trailing bytes"
    path, applied = layer(data)
    assert applied.diff_id == "sha256:" + hashlib.sha256(data + END).hexdigest()
    assert os.listdir(path) == ["a"]


def test_an_empty_layer(layer: Make) -> None:
    path, applied = layer(b"")
    assert (os.listdir(path), applied.entries, applied.size) == ([], 0, 0)
    assert stat.S_IMODE(path.stat().st_mode) == 0o755


def test_modes_do_not_depend_on_the_umask(layer: Make) -> None:
    old = os.umask(0o077)
    try:
        path, _ = layer(member("d/file", mode=0o666) + directory("e", 0o777) + header("f", b"6", mode=0o666))
    finally:
        os.umask(old)
    assert [stat.S_IMODE((path / name).stat().st_mode) for name in ("d", "d/file", "e", "f")] == [
        0o755,
        0o666,
        0o777,
        0o666,
    ]


def test_directories_that_cannot_be_written_are_filled(layer: Make) -> None:
    path, _ = layer(directory("a", 0o500) + directory("a/b", 0o000) + member("a/b/c", b"x") + member("a/d", b"y"))
    assert stat.S_IMODE((path / "a").stat().st_mode) == 0o500
    assert stat.S_IMODE((path / "a/b").stat().st_mode) == 0
    os.chmod(path / "a/b", 0o700)
    os.chmod(path / "a", 0o700)
    assert (path / "a/b/c").read_text() == "x"


def test_nanoseconds_and_times_before_1970(layer: Make) -> None:
    path, _ = layer(
        pax({"mtime": "1234567890.123456789"})
        + member("a")
        + member("old", mtime=-86400)
        + directory("d", mtime=3)
        + member("d/x")
    )
    assert (path / "a").stat().st_mtime_ns == 1234567890123456789
    assert (path / "old").stat().st_mtime == -86400
    assert (path / "d").stat().st_mtime == 3


def test_absurd_times_are_no_error(layer: Make) -> None:
    layer(pax({"mtime": "9" * 19}) + member("a") + pax({"mtime": "-" + "9" * 19}) + member("b"))


def test_names_are_cleaned(layer: Make) -> None:
    path, _ = layer(
        member("/abs", b"1")
        + member(".//x/./y", b"2")
        + member("p/../q", b"3")
        + directory("d///")
        + member("./.hidden", b"4")
    )
    assert sorted(tars.tree(path)) == [".hidden", "abs", "d", "q", "x", "x/y"]


def test_names_may_be_any_bytes(layer: Make) -> None:
    path, _ = layer(member(b"caf\xe9\n\x1b[31m", b"1") + directory(b"\xff\xfe/"))
    assert sorted(map(os.fsencode, os.listdir(path))) == [b"caf\xe9\n\x1b[31m", b"\xff\xfe"]


def test_implied_directories_are_reported(layer: Make) -> None:
    path, applied = layer(
        member("a/b/c", b"1", mtime=7)
        + directory("x")
        + member("x/y/z", b"2", mtime=9)
        + member("l/m")
        + directory("l")
    )
    assert applied.implied_dirs == ("a", "a/b", "x/y")
    assert (path / "a/b").stat().st_mtime == 7
    assert (path / "x/y").stat().st_mtime == 9


def test_the_last_entry_of_a_name_wins(layer: Make) -> None:
    data = member("a", b"first") + hardlink("keep", "a") + member("a", b"second", mode=0o600)
    data += directory("d", 0o700) + member("d/in", b"kept") + directory("d", 0o750, mtime=4)
    data += directory("e") + member("e/in", b"gone") + member("e", b"a file now")
    data += symlink("s", "d") + directory("s") + member("s/in", b"not through the link")
    data += member("f", b"") + directory("f") + member("f/in", b"x") + symlink("l", "old") + symlink("l", "new")
    path, _ = layer(data)
    assert ((path / "a").read_text(), (path / "keep").read_text()) == ("second", "first")
    assert (path / "d/in").read_text() == "kept" and stat.S_IMODE((path / "d").stat().st_mode) == 0o750
    assert (path / "d").stat().st_mtime == 4
    assert (path / "e").read_text() == "a file now"
    assert (path / "s").is_dir() and not (path / "s").is_symlink()
    assert (path / "s/in").read_text() == "not through the link"
    assert (path / "f/in").exists() and os.readlink(path / "l") == "new"


def test_links_on_the_way_stay_inside(layer: Make) -> None:
    data = directory("usr") + directory("usr/lib", 0o711) + symlink("lib", "usr/lib") + member("lib/one", b"1")
    data += (
        symlink("abs", "/usr/lib")
        + member("abs/two", b"2")
        + symlink("usr/up", "../../../../usr/lib")
        + member("usr/up/three", b"3")
    )
    data += (
        symlink("gone", "not/here/yet")
        + member("gone/four", b"4")
        + directory("lib/five", 0o700)
        + hardlink("six", "abs/one")
    )
    data += symlink("top", "/") + member("top/seven", b"7") + member("lib/../eight", b"8")
    path, applied = layer(data)
    inside = tars.tree(path)
    expected = {
        "usr",
        "usr/lib",
        "usr/lib/one",
        "usr/lib/two",
        "usr/lib/three",
        "usr/lib/five",
        "usr/up",
        "lib",
        "abs",
        "gone",
        "not",
        "not/here",
        "not/here/yet",
        "not/here/yet/four",
        "six",
        "top",
        "seven",
        "eight",
    }
    assert set(inside) == expected
    assert stat.S_IMODE((path / "usr/lib").stat().st_mode) == 0o711
    assert stat.S_IMODE((path / "usr/lib/five").stat().st_mode) == 0o700
    assert applied.implied_dirs == ("not", "not/here", "not/here/yet")
    assert (path / "six").samefile(path / "usr/lib/one")


def test_a_replaced_link_leads_elsewhere(layer: Make) -> None:
    data = (
        directory("one")
        + directory("two")
        + symlink("l", "one")
        + member("l/a", b"1")
        + symlink("l", "two")
        + member("l/b", b"2")
    )
    path, _ = layer(data)
    assert (os.listdir(path / "one"), os.listdir(path / "two")) == (["a"], ["b"])


def test_many_directories_do_not_use_up_descriptors(layer: Make) -> None:
    data = b"".join(member(f"d{index}/{'/'.join('abcdefgh')}/file", b"x") for index in range(400))
    data += b"".join(member(f"d{index}/again", b"y") for index in range(400))
    gc.collect()  # what other tests' garbage holds is not to be closed meanwhile
    before = set(os.listdir("/proc/self/fd"))
    path, _ = layer(data)
    assert set(os.listdir("/proc/self/fd")) <= before
    assert sum(name == "again" for _, _, files in os.walk(path) for name in files) == 400


def test_whiteouts(layer: Make) -> None:
    path, applied = layer(
        directory("d") + member("d/.wh.gone") + member(".wh.top") + member("e/.wh..wh..opq") + member("e/new", b"1")
    )
    assert is_whiteout(path / "d/gone") and is_whiteout(path / "top")
    assert is_opaque(path / "e") and not is_opaque(path / "d")
    assert sorted(tars.tree(path)) == ["d", "d/gone", "e", "e/new", "top"]
    assert applied.implied_dirs == ("e",)


@pytest.mark.parametrize("order", [1, -1])
def test_a_whiteout_and_its_replacement_in_one_layer(layer: Make, order: int) -> None:
    pairs = [member(".wh.dir"), directory("dir", 0o700) + member("dir/x")], [member(".wh.file"), member("file", b"new")]
    pairs += ([member(".wh.implied"), member("implied/x")], [member(".wh.link"), symlink("link", "t")])
    path, applied = layer(b"".join(b"".join(pair[::order]) for pair in pairs))
    assert is_opaque(path / "dir") and stat.S_IMODE((path / "dir").stat().st_mode) == 0o700
    assert (path / "file").read_text() == "new" and (path / "link").is_symlink()
    assert is_opaque(path / "implied")
    assert applied.implied_dirs == ()  # below is hidden: nothing to take over


def test_marks_of_aufs_are_left_out(layer: Make) -> None:
    data = (
        directory(".wh..wh.plnk")
        + member(".wh..wh.plnk/1.2")
        + member(".wh..wh.aufs")
        + member("a/.wh..wh.orph/x")
        + member("not.wh.a", b"1")
    )
    path, _ = layer(data)
    assert os.listdir(path) == ["not.wh.a"]


def test_missing_links_are_reported(layer: Make) -> None:
    data = (
        hardlink("a", "lower/file")
        + hardlink("d/b", "./a")
        + hardlink("c", "c")
        + hardlink("over", "x")
        + member("over", b"1")
    )
    data += member("was", b"2") + hardlink("was", "/lower/was") + member(".wh.white") + hardlink("w", "white")
    data += hardlink("e/f", "y") + member("e", b"replaced") + hardlink("g", "y") + member("y", b"later")
    path, applied = layer(data)
    assert dict(applied.missing_links) == {
        "a": "lower/file",
        "d/b": "lower/file",
        "was": "lower/was",
        "w": "white",
        "g": "y",
    }
    assert sorted(tars.tree(path)) == ["d", "e", "over", "white", "y"]


def test_a_link_to_itself_is_kept(layer: Make) -> None:
    path, _ = layer(
        member("a", b"1")
        + hardlink("a", "a")
        + symlink("d", ".")
        + hardlink("d/a", "a")
        + hardlink("b", "a")
        + hardlink("b", "a")
    )
    assert (path / "a").read_text() == "1" and (path / "b").stat().st_nlink == 2


def test_xattrs(layer: Make) -> None:
    keep = {"SCHILY.xattr.user.note": b"\0value\n", "LIBARCHIVE.xattr.user.other": "dmFsdWU="}
    drop = {
        "SCHILY.xattr.user.overlay.opaque": "y",
        "SCHILY.xattr.trusted.overlay.redirect": "/",
        "SCHILY.xattr.security.selinux": "x",
        "SCHILY.xattr.security.ima": "x",
        "SCHILY.xattr.made.up": "x",
    }
    path, _ = layer(
        pax(keep | drop) + member("f", b"1") + pax(keep | drop) + directory("d") + pax(keep) + symlink("l", "f")
    )
    for name in ("f", "d"):
        found = {key: os.getxattr(path / name, key) for key in os.listxattr(path / name)}
        assert found == {"user.note": b"\0value\n", "user.other": b"value"}


def test_devices_are_left_out_when_asked(layer: Make) -> None:
    path, _ = layer(header("null", b"3", device=(1, 3)) + header("sda", b"4", device=(8, 0)) + member("f"))
    assert os.listdir(path) == ["f"]


def test_the_limits(layer: Make) -> None:
    tiny = Limits(entries=5, directories=4, file=100, total=150)
    options = ApplyOptions(whiteouts="overlay-user", ownership="ignore", devices="skip", limits=tiny)
    for data in (
        header("a") * 6,
        member("a/b/c/d/e"),
        member("a", bytes(101)),
        member("a", bytes(90)) + member("b", bytes(90)),
    ):
        with pytest.raises(Corrupt, match="more"):
            layer(data, options)


@pytest.mark.parametrize(
    "name", ["n" * 256, "/".join("ab" for _ in range(600)), "/".join("c" * 200 for _ in range(30))]
)
def test_names_that_are_too_long(layer: Make, name: str) -> None:
    with pytest.raises(Corrupt, match="too long"):
        layer(pax({"path": name}) + member("x"))


def test_a_full_disk_is_said_so(layer: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_fd: int, _data: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("wherry.layers.source.os.write", full)
    with pytest.raises(StorageFull, match=r"no space left on device while unpacking 'd/file'") as caught:
        layer(member("d/file", b"data"))
    assert caught.value.hint


def test_an_error_of_the_stream_passes_and_leaves_no_thread(tmp_path: Path) -> None:
    import threading

    class Breaking(Dribble):
        def read(self, size: int = -1, /) -> bytes:
            piece = super().read(size)
            if not piece:
                raise Unavailable("connection reset")
            return piece

    fd = os.open(tmp_path, os.O_RDONLY)
    with pytest.raises(Unavailable, match="connection reset"):
        apply(Breaking(member("a", bytes(5000))), fd, ApplyOptions(whiteouts="overlay-user", ownership="ignore"))
    os.close(fd)
    assert not [thread for thread in threading.enumerate() if thread.name == "layer-reader"]


def test_options_are_checked() -> None:
    with pytest.raises(InvalidArgument, match="whiteouts"):
        apply(Dribble(END), 0, ApplyOptions(whiteouts="aufs"))


def test_sparse_files_have_holes(layer: Make) -> None:
    numbers = b"".join(tars.octal(value, 12) for value in (4096, 3, 1 << 30, 2, (1 << 30) + 10, 0))
    data = header("big", b"S", size=5, magic=b"ustar  \0", patch={386: numbers, 483: tars.octal((1 << 30) + 10, 12)})
    path, applied = layer(data + tars.padded(b"abcde") + member("after", b"x"))
    status = (path / "big").stat()
    assert status.st_size == (1 << 30) + 10 and status.st_blocks * 512 < 1 << 20
    with (path / "big").open("rb") as file:
        assert os.pread(file.fileno(), 5, 4095) == b"\0abc\0"
        assert os.pread(file.fileno(), 99, 1 << 30) == b"de" + bytes(8)
    assert applied.size == 6
    assert (path / "after").read_text() == "x"
