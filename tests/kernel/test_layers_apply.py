"""Layers on disk as root writes them: owners, devices, capabilities; the same as GNU tar and umoci make of them."""

from __future__ import annotations

import hashlib
import os
import stat
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from support import images, tars, users
from support.overlays import Store
from support.tars import END, Dribble, directory, hardlink, header, member, pax, symlink
from wherry.errors import NotSupported
from wherry.layers.apply import Applied, ApplyOptions, apply

pytestmark = pytest.mark.needs("root")

CAPABILITY = struct.pack("<IIIII", 0x02000001, 1 << 10, 0, 0, 0)  # cap_net_bind_service=ep
CAPABILITY_OF_NAMESPACE = struct.pack("<IIIIII", 0x03000001, 1 << 10, 0, 0, 0, 12345)


@pytest.fixture
def layer(tmp_path: Path) -> Callable[..., tuple[Path, Applied]]:
    def make(data: bytes, options: ApplyOptions | None = None) -> tuple[Path, Applied]:
        path = tmp_path / "layer"
        path.mkdir(mode=0o700)
        fd = os.open(path, os.O_RDONLY)
        try:
            return path, apply(Dribble(data, most=90_000), fd, options)
        finally:
            os.close(fd)

    return make


Make = Callable[..., tuple[Path, Applied]]


def test_owners_and_what_chown_takes_away(layer: Make) -> None:
    data = member("suid", b"x", mode=0o6755, uid=1000, gid=50) + directory("sgid", 0o2775, uid=1, gid=1000)
    data += (
        member("sgid/in", uid=70000, gid=4294967294) + symlink("l", "t", uid=5, gid=6) + header("p", b"6", uid=7, gid=8)
    )
    data += member("sgid/implied/file") + pax({"uid": "3000000000"}) + member("big")
    path, _ = layer(data + END)
    found = {name: (fields["owner"], int(fields["mode"], 8) & 0o7777) for name, fields in tars.tree(path).items()}
    assert found == {
        "suid": ((1000, 50), 0o6755), "sgid": ((1, 1000), 0o2775), "sgid/in": ((70000, 4294967294), 0o644),
        "l": ((5, 6), 0o777), "p": ((7, 8), 0o644), "sgid/implied": ((0, 0), 0o755),
        "sgid/implied/file": ((0, 0), 0o644), "big": ((3000000000, 0), 0o644),
    }  # fmt: skip


def test_owners_can_be_ignored(layer: Make) -> None:
    path, _ = layer(member("a", uid=1000, gid=1) + directory("d", uid=5) + END, ApplyOptions(ownership="ignore"))
    assert {fields["owner"] for fields in tars.tree(path).values()} == {(0, 0)}


def test_devices(layer: Make) -> None:
    data = (
        directory("dev")
        + header("dev/null", b"3", mode=0o666, device=(1, 3))
        + header("dev/sda", b"4", mode=0o660, gid=6, device=(8, 0))
    )
    data += header("dev/wide", b"3", device=(4095, 1048575)) + header("dev/null", b"3", mode=0o600, device=(1, 5))
    path, _ = layer(data + END)
    found = tars.tree(path / "dev")
    assert (found["null"]["device"], found["null"]["mode"]) == ((1, 5), oct(stat.S_IFCHR | 0o600))
    assert (found["sda"]["device"], found["sda"]["mode"], found["sda"]["owner"]) == (
        (8, 0),
        oct(stat.S_IFBLK | 0o660),
        (0, 6),
    )
    assert found["wide"]["device"] == (4095, 1048575)


def test_capabilities_and_attributes_of_root(layer: Make) -> None:
    data = pax({"SCHILY.xattr.security.capability": CAPABILITY, "SCHILY.xattr.trusted.note": b"t"}) + member(
        "bound", b"x", mode=0o755, uid=3
    )
    data += pax({"SCHILY.xattr.security.capability": CAPABILITY_OF_NAMESPACE}) + member("mapped", b"x", mode=0o755)
    data += pax({"SCHILY.xattr.security.capability": b"rubbish"}) + member("rubbish")
    data += (
        pax({"SCHILY.xattr.trusted.note": b"l"})
        + symlink("link", "bound")
        + pax({"SCHILY.xattr.trusted.overlay.opaque": b"y"})
        + directory("d")
    )
    path, _ = layer(data + END)
    found = {name: fields.get("xattrs") for name, fields in tars.tree(path).items()}
    assert found == {
        "bound": {"security.capability": CAPABILITY, "trusted.note": b"t"},
        "mapped": {"security.capability": CAPABILITY},
        "rubbish": None,
        "link": {"trusted.note": b"l"},
        "d": None,
    }


def test_whiteouts_as_root_writes_them(layer: Make) -> None:
    path, _ = layer(member("d/.wh..wh..opq") + member("d/.wh.gone") + END)
    found = tars.tree(path)
    assert found["d"]["xattrs"] == {"trusted.overlay.opaque": b"y"}
    assert found["d/gone"]["device"] == (0, 0)


def test_a_group_that_the_parent_hands_down_is_not_taken(tmp_path: Path) -> None:
    """A layer directory below one with the set-group-id bit."""
    os.chown(tmp_path, 0, 4321)
    tmp_path.chmod(0o2755)
    path = tmp_path / "layer"
    path.mkdir()
    fd = os.open(path, os.O_RDONLY)
    apply(Dribble(member("a") + directory("d") + member("d/b") + symlink("s", "x") + END), fd)
    os.close(fd)
    assert {fields["owner"] for fields in tars.tree(path).values()} == {(0, 0)}
    assert path.stat().st_gid == 0


def populate(root: Path) -> None:
    """A tree with everything that GNU tar can keep."""
    (root / "usr/bin").mkdir(parents=True)
    (root / "usr/bin/tool").write_bytes(os.urandom(70_001))
    os.chown(root / "usr/bin/tool", 12, 34)
    (root / "usr/bin/tool").chmod(0o4755)
    os.link(root / "usr/bin/tool", root / "usr/tool2")
    os.symlink("usr/bin", root / "bin")
    os.symlink("x" * 300, root / ("link" * 40))
    (root / "tmp").mkdir()
    (root / "tmp").chmod(0o1777)
    deep = root.joinpath(*(["directory-with-a-long-name"] * 9))
    deep.mkdir(parents=True)
    (deep / "caf\u00e9").write_text("deep")
    os.mknod(root / "null", 0o666 | stat.S_IFCHR, os.makedev(1, 3))
    os.mkfifo(root / "pipe")
    os.setxattr(root / "tmp", "user.note", b"\0\1")
    os.setxattr(root / "usr/tool2", "security.capability", CAPABILITY)
    (root / os.fsdecode(b"\xff\xfe")).write_text("bytes")
    with (root / "sparse").open("wb") as file:
        file.seek(5 << 20)
        file.write(b"end")
    for top, names, files in os.walk(root, topdown=False):
        for name in [*names, *files]:
            os.utime(os.path.join(top, name), ns=(1, 1_600_000_000_123456789 + len(name)), follow_symlinks=False)


FORMS = [
    ("--format=posix", "--xattrs", "--xattrs-include=*", "-S"),
    ("--format=gnu", "-S"),
    ("--format=ustar",),
    ("--format=v7",),
]


@pytest.mark.parametrize("form", FORMS, ids=["posix", "gnu", "ustar", "v7"])
def test_the_same_as_gnu_tar(layer: Make, tmp_path: Path, form: tuple[str, ...]) -> None:
    source, theirs = tmp_path / "source", tmp_path / "theirs"
    source.mkdir()
    theirs.mkdir()
    populate(source)
    archive = tmp_path / "archive.tar"
    done = subprocess.run(
        ["tar", "-C", str(source), *form, "-cf", str(archive), "."], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0 or form[0] in ("--format=ustar", "--format=v7"), done.stderr
    extract = [
        "tar",
        "-C",
        str(theirs),
        "-xpf",
        str(archive),
        "--numeric-owner",
        "--same-owner",
        "--delay-directory-restore",
    ]
    subprocess.run([*extract, "--xattrs", "--xattrs-include=*"], check=True)
    data = archive.read_bytes()
    path, applied = layer(data)
    assert tars.tree(path) == tars.tree(theirs)
    assert applied.diff_id == "sha256:" + hashlib.sha256(data).hexdigest()
    assert not applied.missing_links
    if "posix" in form[0]:
        assert tars.tree(path) == tars.tree(source)


@pytest.mark.needs("user-namespaces", "uidmap")
def test_inside_a_user_namespace(tmp_path: Path) -> None:
    """As a user with subordinate ids: owners are theirs, capabilities belong to the namespace, no devices."""
    base = users.RANGE[0]
    path = tmp_path / "layer"
    path.mkdir(mode=0o700)
    os.chown(path, base, base)
    fd = os.open(path, os.O_RDONLY)
    options = ApplyOptions(whiteouts="overlay-user", devices="skip")
    data = pax({"SCHILY.xattr.security.capability": CAPABILITY}) + member("a", b"x", mode=0o4755, uid=1000, gid=7)
    data += (
        header("null", b"3", device=(1, 3))
        + member("d/.wh..wh..opq")
        + member("d/.wh.gone")
        + directory("e", 0o2755, uid=65535, gid=65535)
    )
    data += pax({"SCHILY.xattr.trusted.note": b"t"}) + hardlink("b", "a")
    assert in_namespace(base, lambda: apply_into(fd, data + END, options)) == 0
    found = tars.tree(path)
    assert sorted(found) == ["a", "b", "d", "d/gone", "e"]
    assert found["a"]["owner"] == (base + 1000, base + 7) and int(found["a"]["mode"], 8) & 0o7777 == 0o4755
    assert found["a"]["xattrs"]["security.capability"] == CAPABILITY[:3] + b"\3" + CAPABILITY[4:] + struct.pack(
        "<I", base
    )
    assert found["d"]["xattrs"] == {"user.overlay.opaque": b"y"} and found["d/gone"]["device"] == (0, 0)
    assert found["e"]["owner"] == (base + 65535, base + 65535)

    def beyond() -> None:
        with pytest.raises(NotSupported, match=r"user namespace \(requested 65536:1 for"):
            apply_into(fd, member("f", uid=65536, gid=1) + END, options)

    assert in_namespace(base, beyond) == 0
    os.close(fd)


def apply_into(fd: int, data: bytes, options: ApplyOptions) -> None:
    apply(Dribble(data), fd, options)


def in_namespace(base: int, function: Callable[[], Any]) -> int:
    from wherry.linux.ids import IdMap
    from wherry.linux.namespaces import in_user_namespace

    def run() -> int:
        function()
        return 0

    maps = (IdMap(0, base, 65536),)
    return in_user_namespace((maps, maps), run)


FULL = """
import io, os, sys
from support.tars import END, member
from wherry.errors import StorageFull
from wherry.layers.apply import apply
from wherry.rootfs.overlay import OverlaySnapshotter

snapshotter = OverlaySnapshotter(sys.argv[1], sys.argv[1])
data = b"".join(member(f"d{number}/file", bytes(100_000)) for number in range(int(sys.argv[2]))) + END
try:
    with snapshotter.prepare("sha256:" + "a" * 64) as staging:
        apply(io.BytesIO(data), staging.fd)
        staging.commit()
except StorageFull as error:
    print("full:", error, "|", error.hint)
print(os.listdir(sys.argv[1]))
"""


@pytest.mark.parametrize(("options", "files"), [("size=1m", 100), ("nr_inodes=50", 60)])
def test_a_full_disk_leaves_nothing(tmp_path: Path, options: str, files: int) -> None:
    path = os.pathsep.join(str(Path(__file__).parents[depth] / name) for depth, name in ((2, "src"), (1, "")))
    script = f"mount -t tmpfs -o {options} tmpfs '{tmp_path}' && exec '{sys.executable}' -c \"$0\" '{tmp_path}' {files}"
    command = ["unshare", "--mount", "--propagation", "private", "sh", "-c", script, FULL]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=os.environ | {"PYTHONPATH": path})
    first, last = done.stdout.splitlines()
    assert first.startswith("full: no space left on device while unpacking 'd") and first.endswith("keeps its state")
    assert last == "[]"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    yield Store(tmp_path)


STACK: list[images.Layer] = [
    images.Layer()
    .directory("usr").directory("usr/bin", uid=3).file("usr/bin/perl", b"perl" * 1000, 0o755)
    .directory("tmp", 0o1777).directory("var", 0o751).directory("var/lib")
    .file("var/lib/a", b"a").file("var/lib/b", b"b")
    .directory("etc").file("etc/passwd", b"root:x:0:0::/:\n").symlink("etc/mtab", "/proc/mounts")
    .file("over", b"written over").directory("dir").file("dir/in", b"x").hardlink("usr/bin/perl5", "usr/bin/perl"),
    images.Layer()
    .file("tmp/scratch", b"s").whiteout("etc/mtab").opaque("var/lib").file("var/lib/c", b"c")
    .file("etc/group", b"root:x:0:\n", 0o600, uid=1, gid=42).file("over", b"anew")
    .whiteout("dir").file("dir", b"a file"),
    images.Layer()
    .directory("new", 0o700, uid=1000, gid=1000).file("new/file", b"n" * 100_000, uid=1000, gid=1000)
    .hardlink("new/perl", "usr/bin/perl").whiteout("tmp/scratch").file("var/lib/d/e/f", b"deep"),
]  # fmt: skip


@pytest.mark.needs("umoci", "debian")
def test_a_stack_shows_what_umoci_unpacks(store: Store, tmp_path: Path) -> None:
    built = images.Image(layers=list(STACK)).build(tmp_path / "image")
    bundle = tmp_path / "bundle"
    subprocess.run(
        ["umoci", "unpack", "--image", f"{built.layout}:latest", str(bundle)], check=True, capture_output=True
    )
    theirs = tars.tree(bundle / "rootfs")
    diff_ids = tuple(
        store.add(layer.tar(), diff_id)
        for layer, diff_id in zip(STACK, built.config["rootfs"]["diff_ids"], strict=True)
    )
    ours = store.tree(store.snapshotter.mounts(store.fix_up(diff_ids), ""))
    ours.pop("")
    for fields in [*ours.values(), *theirs.values()]:
        fields.pop("inode", None)
        if fields["mode"].startswith("0o4"):  # umoci leaves its own time on directories that it works in
            fields.pop("mtime")
    assert ours == theirs
