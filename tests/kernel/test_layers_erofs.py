"""Layers that stay tars under one EROFS image, mounted: the same as unpacked ones under overlay, and as umoci's."""

from __future__ import annotations

import gzip
import os
import struct
import subprocess
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from support import images
from support import tars as tar_support
from support.erofs import Tars, Unpacked, comparable
from support.erofs_utils import fsck
from support.tars import END, directory, hardlink, header, member, padded, pax, symlink
from wherry.errors import Corrupt, WherryError
from wherry.layers import erofs_index
from wherry.layers.apply import Applied
from wherry.layers.erofs_tree import Directory

pytestmark = pytest.mark.needs("root", "erofs")

CAPABILITY = struct.pack("<IIIII", 0x02000001, 1 << 10, 0, 0, 0)
OLD_CAPABILITY = struct.pack("<III", 0x01000001, 1 << 10, 0)


def acl(*entries: tuple[int, int, int]) -> bytes:
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)


NAMED = acl((1, 6, 0xFFFFFFFF), (2, 4, 1000), (4, 4, 0xFFFFFFFF), (0x10, 6, 0xFFFFFFFF), (0x20, 0, 0xFFFFFFFF))
PLAIN = acl((1, 7, 0xFFFFFFFF), (4, 5, 0xFFFFFFFF), (0x20, 1, 0xFFFFFFFF))
BROKEN = acl((1, 7, 0xFFFFFFFF), (0x20, 1, 0xFFFFFFFF))


def xattr(name: str, value: bytes) -> bytes:
    return pax([(f"SCHILY.xattr.{name}", value)])


def check_same(tmp_path: Path, *layers: bytes) -> dict[str, object]:
    """Both forms show the same; what that is."""
    tars, unpacked = Tars(tmp_path / "tars"), Unpacked(tmp_path / "unpacked")
    applied = []
    for data in layers:
        one, other = tars.add(data + END), unpacked.add(data + END)
        assert one.replace(missing_links=tuple(sorted(one.missing_links))) == other.replace(
            missing_links=tuple(sorted(other.missing_links))
        )
        applied.append(one)
    found = comparable(tars.tree(), applied)
    assert found == comparable(unpacked.tree(), applied)
    return found


KINDS = (
    directory("d", 0o1777, uid=70_000, gid=4_000_000_000)
    + member("d/file", b"content", mode=0o4755, uid=4_000_000_000, mtime=1)
    + pax({"mtime": "1700000000.123456789"})
    + member("d/times", b"x" * 600)
    + pax({"mtime": "-5.25"})
    + member("d/before 1970", b"")
    + symlink("d/link", "../d/file")
    + symlink("d/long link", b"t" * 99)
    + pax({"linkpath": "p" * 500})
    + symlink("d/longer link", "x")
    + pax({"linkpath": "p/" * 2000})
    + symlink("d/longest link", "x")
    + header("d/null", b"3", device=(1, 3), mode=0o666)
    + header("d/far", b"3", device=(4095, 1048575))
    + header("d/disk", b"4", device=(8, 300), mode=0o640)
    + header("d/pipe", b"6", mode=0o600)
    + hardlink("d/again", "d/file")
    + hardlink("z", "d/link")
    + pax({"path": "d/" + "n" * 255})
    + member("x", b"long name")
    + pax({"path": "d/\udcff\udcfe bytes"})
    + member("x", b"not UTF-8")
)


def test_every_kind_of_file(tmp_path: Path) -> None:
    found = check_same(tmp_path, KINDS)
    assert len(found) == 17
    assert found["d/times"]["mtime"] == 1_700_000_000_123_456_789  # type: ignore[index]


def test_extended_attributes(tmp_path: Path) -> None:
    found = check_same(
        tmp_path,
        xattr("user.plain", b"value")
        + member("f", b"1")
        + pax([(f"SCHILY.xattr.user.{number:03}", bytes([number]) * 3) for number in range(60)])
        + member("many", b"2")
        + xattr("user.large", b"v" * 3000)
        + pax([("SCHILY.xattr.user.with link", b"x" * 400)])
        + member("large", b"3")
        + xattr("security.capability", CAPABILITY)
        + member("ping", b"4", mode=0o755)
        + xattr("security.capability", OLD_CAPABILITY)
        + member("old ping", b"5", mode=0o755)
        + xattr("trusted.mine", b"t")
        + symlink("l", "f")
        + xattr("user.on a link", b"t")
        + symlink("m", "f")
        + xattr("user.on a pipe", b"t")
        + header("p", b"6")
        + xattr("trusted.overlay.opaque", b"y")
        + directory("not opaque")
        + xattr("security.selinux", b"label")
        + member("label", b"")
        + xattr("user.d", b"d" * 700)
        + directory("d")
        + xattr("system.posix_acl_access", NAMED)
        + member("named", b"", mode=0o600)
        + xattr("system.posix_acl_access", PLAIN)
        + member("plain", b"", mode=0o600)
        + xattr("system.posix_acl_access", BROKEN)
        + member("broken", b"", mode=0o600)
        + pax([("SCHILY.xattr.system.posix_acl_default", NAMED), ("SCHILY.xattr.system.posix_acl_access", NAMED)])
        + directory("defaults", 0o700),
    )
    assert found["ping"]["xattrs"] == {"security.capability": CAPABILITY}  # type: ignore[index]
    assert "xattrs" not in found["old ping"]  # type: ignore[operator]
    assert len(found["many"]["xattrs"]) == 60  # type: ignore[index]


def test_layers_on_each_other(tmp_path: Path) -> None:
    """Whiteouts, opaque directories, implied ones, replaced kinds and hard links into layers below."""
    below = (
        directory("tmp", 0o1777, uid=5, mtime=9)
        + directory("d", 0o711)
        + member("d/a", b"1")
        + member("d/b", b"2")
        + directory("o")
        + member("o/a")
        + member("f", b"f")
        + directory("gone")
        + member("gone/x")
        + symlink("s", "d")
        + member("linked", b"linked", uid=7)
        + directory("becomes a file")
        + member("becomes a file/x")
        + member("becomes a directory", b"file")
    )
    middle = (
        member("tmp/x", b"x")
        + member("d/.wh.a")
        + directory("o", 0o700)
        + member("o/.wh..wh..opq")
        + member("o/new", b"new")
        + member(".wh.f")
        + member(".wh.gone")
        + directory("gone", 0o710)
        + member("gone/y", b"y")
        + hardlink("e/link", "linked")
        + member(".wh.linked")
        + member("becomes a file", b"file")
        + directory("becomes a directory")
        + member("becomes a directory/x", b"x")
        + header("dev0", b"3", device=(0, 0))
        + member("s/through", b"not followed into another layer")
    )
    above = member("e/more", b"m") + hardlink("d/third", "e/link") + member("o/.wh.nothing") + member("tmp/.wh.x")
    found = check_same(tmp_path, below, middle, above)
    assert {"d/third", "e/link", "o/new", "gone/y"} <= set(found) and not {"f", "linked", "dev0", "o/a"} & set(found)
    assert found["tmp"]["mode"] == "0o41777"  # type: ignore[index]


def sparse(name: str, pieces: list[tuple[int, bytes]], size: int) -> bytes:
    """GNU tar's format 1.0."""
    table = "".join(f"{value}\n" for value in [len(pieces), *[v for at, data in pieces for v in (at, len(data))]])
    data = padded(table.encode()) + b"".join(data for _at, data in pieces)
    records = {
        "GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.name": name, "GNU.sparse.realsize": str(size),
    }  # fmt: skip
    return pax(records) + member("GNUSparseFile.0/x", data)


def test_sparse_files(tmp_path: Path) -> None:
    check_same(
        tmp_path,
        sparse("one", [(1000, b"a" * 700), (70_000, b"b" * 5)], 200_000)
        + member("between", b"c" * 1000)
        + sparse("empty", [], 4096)
        + sparse("gone", [(0, b"x")], 600)
        + hardlink("two", "one")
        + member("gone", b"no longer sparse"),
        member("upper", b"u"),
    )


def test_a_file_of_more_than_four_gibibytes(tmp_path: Path) -> None:
    """Its tar is made of holes, and is read at both ends of the file."""
    size = 5 << 30
    tars = Tars(tmp_path)
    path = tmp_path / "0.tar"
    with open(path, "wb") as file:
        file.write(header("large", size=size) + b"head")
        file.seek(512 + size - 4)
        file.write(b"tail" + member("after", b"after") + END)
    layer = _Layer.of(path, size + 3 * 512)
    path.with_suffix(".index").write_bytes(erofs_index.dump(layer))
    tars.layers.append(path)
    tree = tars.open()
    try:
        with open(f"/proc/self/fd/{tree}/large", "rb") as large:
            assert large.read(5) == b"head\0"
            assert large.seek(-5, os.SEEK_END) == size - 5 and large.read() == b"\0tail"
        assert Path(f"/proc/self/fd/{tree}/after").read_bytes() == b"after"
    finally:
        os.close(tree)


class _Layer:
    """What indexing the tar of the test above would give; reading five gibibytes of holes takes too long here."""

    @staticmethod
    def of(path: Path, after: int) -> erofs_index.Layer:
        root = Directory(0o40755, 0, 0, 0, 0)
        blocks = -(-path.stat().st_size // 512)
        root.children[b"large"] = (0o100644, 0, 0, 1, 2, 5 << 30, 1, b"", b"")
        root.children[b"after"] = (0o100644, 0, 0, 1, 2, 5, (after - 512) // 512, b"", b"")
        return erofs_index.Layer(root, path.stat().st_size, blocks)


def test_a_large_directory(tmp_path: Path) -> None:
    """Entries are found in every block, whatever the order in the tar; names around the dots sort like any other."""
    names = [f"{number * 7919 % 10007:x}-{'n' * (number % 90)}" for number in range(10_000)] + ["!", "-", ".a", "..a"]
    tars = Tars(tmp_path)
    tars.add(b"".join(member(f"d/{name}", b"%d" % len(name)) for name in names) + END)
    tree = tars.open()
    try:
        path = f"/proc/self/fd/{tree}/d"
        assert sorted(os.listdir(path)) == sorted(names)
        for name in names[::200] + names[-4:]:
            assert Path(path, name).read_text() == str(len(name))
        for missing in ("0", "zz", "!!", ".b", "n" * 255):
            assert not os.path.lexists(f"{path}/{missing}")
    finally:
        os.close(tree)


def test_two_hundred_layers(tmp_path: Path) -> None:
    """Each a device of the one image; long paths of devices go by descriptor."""
    long = tmp_path / ("l" * 200) / ("m" * 200)
    long.parent.mkdir()
    tars = Tars(long)
    for number in range(200):
        tars.add(member(f"file{number}", b"%d" % number) + member("last", b"%d" % number) + END)
    tree = tars.open()
    try:
        for number in range(0, 200, 13):
            assert Path(f"/proc/self/fd/{tree}/file{number}").read_text() == str(number)
        assert Path(f"/proc/self/fd/{tree}/last").read_text() == "199"
        assert len(os.listdir(f"/proc/self/fd/{tree}")) == 201
    finally:
        os.close(tree)


def test_an_index_is_what_was_indexed(tmp_path: Path) -> None:
    tars = Tars(tmp_path)
    tars.add(KINDS + member(".wh.x") + hardlink("far", "nowhere") + directory("o") + member("o/.wh..wh..opq") + END)
    data = tars.layers[0].with_suffix(".index").read_bytes()
    layer = erofs_index.load(data)
    assert erofs_index.dump(layer) == data
    assert erofs_index.load(data, 7).root.children[b"z"] is not layer.root.children[b"z"]
    assert layer.root.children[b"d"].children[b"again"] is layer.root.children[b"d"].children[b"file"]  # type: ignore[union-attr]
    for damaged in (data[:50], data[:-1], data[:-1] + bytes([data[-1] ^ 1]), b"x" + data[1:]):
        with pytest.raises(Corrupt):
            erofs_index.load(damaged)


def test_an_open_hard_link_is_refused(tmp_path: Path) -> None:
    missing, below_a_file, to_a_directory = hardlink("a", "missing"), hardlink("a", "x/y"), hardlink("a", "x")
    for layers in ([missing], [member("x"), below_a_file], [directory("x"), to_a_directory]):
        tars = Tars(tmp_path)
        for data in layers:
            tars.add(data + END)
        with pytest.raises(Corrupt, match="hard link"):
            tars.open()
    tars = Tars(tmp_path)
    for data in (hardlink("a/b", "missing"), member(".wh.a")):  # it does not show
        tars.add(data + END)
    assert list(tars.tree()) == [""]


@pytest.mark.needs("erofs-utils")
def test_fsck_of_erofs_utils_finds_nothing_wrong(tmp_path: Path) -> None:
    """And gets the same files out of it."""
    tars = Tars(tmp_path / "tars")
    many = b"".join(member(f"many/{number:x}-{'n' * (number % 80)}", b"%d" % number) for number in range(1000))
    sizes = b"".join(
        member(f"sizes/{size}", bytes([size % 251]) * size) for size in (0, 1, 511, 512, 513, 4096, 70_000)
    )
    for data in (KINDS, many + sizes, member("d/.wh.pipe") + hardlink("e", "sizes/513") + sparse("s", [(5, b"x")], 99)):
        tars.add(data + END)
    devices = [f"--device={path}" for path in tars.layers]
    command = [*fsck(), *devices, f"--extract={tmp_path / 'out'}", str(tars.image)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0 and "<E>" not in done.stderr, done.stderr
    theirs = tar_support.tree(tmp_path / "out")
    ours = tars.tree()
    del ours[""]
    hidden = ("xattrs", "inode")  # it extracts neither
    for found in (ours, theirs):
        for about in found.values():
            for key in hidden:
                about.pop(key, None)
    assert ours == theirs


NAMES = st.sampled_from(["a", "b", "c", "a/a", "a/b", "b/a", "b/c/a", "c/b", "/a", "./b", "a/../c", "b/", "a//b"])
TARGETS = st.sampled_from(["a", "b", "/a", "../b", "a/b", "/b/c", "b/c/a", "c", "../../c/b", "../.."])
WHITEOUTS = st.sampled_from([".wh.a", ".wh.b", "a/.wh.b", "b/.wh.c", "a/.wh..wh..opq", "b/.wh..wh..opq", "c/.wh.a"])
#: What hard links may lead to: where a layer with one has a directory of that name too, overlay cannot do it justice.
BASE = member("x", b"x", uid=9) + directory("y") + member("y/z", b"z")


@st.composite
def entry(draw: st.DrawFn) -> bytes:
    kind = draw(st.sampled_from("ffddlhwwnp"))
    name = draw(NAMES)
    mtime = draw(st.integers(1, 3))
    if kind == "f":
        return member(name.rstrip("/"), draw(st.sampled_from([b"", b"1", b"22" * 300])), mtime=mtime)
    if kind == "d":
        return directory(name, draw(st.sampled_from([0o755, 0o1700])), uid=draw(st.integers(0, 1)), mtime=mtime)
    if kind == "l":
        return symlink(name.rstrip("/"), draw(TARGETS), mtime=mtime)
    if kind == "h":
        return hardlink(draw(st.sampled_from(["h", "a/h", "b/h"])), draw(st.sampled_from(["x", "y/z", "/x"])))
    if kind == "w":
        return member(draw(WHITEOUTS))
    if kind == "n":
        return header(name.rstrip("/"), b"3", device=(0, draw(st.integers(0, 1))), mtime=mtime)
    return header(name.rstrip("/"), b"6", mtime=mtime)


def outcome(form: Tars | Unpacked, entries: list[bytes]) -> Applied | type[Exception]:
    try:
        applied = form.add(b"".join(entries) + END)
    except WherryError as error:
        return type(error)
    return applied.replace(missing_links=tuple(sorted(applied.missing_links)))


@settings(max_examples=150, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
@given(st.lists(st.lists(entry(), min_size=1, max_size=7), min_size=1, max_size=3))
def test_whatever_a_tar_says_both_forms_make_the_same_of_it(layers: list[list[bytes]]) -> None:
    with tempfile.TemporaryDirectory(dir="/var/tmp") as place:
        tars, unpacked = Tars(Path(place, "tars")), Unpacked(Path(place, "unpacked"))
        applied = []
        for entries in [[BASE], *layers]:
            one, other = outcome(tars, entries), outcome(unpacked, entries)
            assert one == other
            if not isinstance(one, Applied):
                return
            applied.append(one)
        assert comparable(tars.tree(), applied) == comparable(unpacked.tree(), applied)


@pytest.mark.needs("umoci", "skopeo")
def test_the_same_as_umoci(tmp_path: Path) -> None:
    below = (
        images.Layer()
        .directory("tmp", mode=0o1777)
        .directory("d", mode=0o711, uid=7)
        .file("d/a", b"1", mode=0o4755, xattrs={"user.x": "y"})
        .file("d/b", b"2" * 5000)
        .directory("o")
        .file("o/x", b"x")
        .symlink("l", "d/a")
        .hardlink("d/c", "d/a")
        .device("null", "c", 1, 3)
    )
    above = images.Layer().file("d/new", b"n").whiteout("d/b").hardlink("e", "d/a").directory("o").opaque("o")
    above.file("o/y", b"y")
    built = images.Image([below, above]).build(tmp_path / "image")
    command = ["umoci", "unpack", "--image", f"{built.layout}:latest", str(tmp_path / "bundle")]
    subprocess.run(command, check=True, capture_output=True)
    tars = Tars(tmp_path / "tars")
    applied = []
    for descriptor in built.manifest["layers"]:
        applied.append(tars.add(gzip.decompress(built.blob(descriptor["digest"]))))
    root = tmp_path / "bundle" / "rootfs"
    theirs = {"": tar_support.describe(str(root), {}), **tar_support.tree(root)}
    assert comparable(tars.tree(), applied) == comparable(theirs, applied)
