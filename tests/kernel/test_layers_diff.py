"""What a container changed, as a layer, and that layer applied again."""

from __future__ import annotations

import io
import os
import struct
import subprocess
import tarfile
from pathlib import Path

import pytest

from support import tars
from support.overlays import Store
from support.tars import directory, hardlink, member, symlink
from wherry.errors import NotSupported
from wherry.layers.changes import changes
from wherry.layers.diff import Written, diff
from wherry.linux.ids import IdMap

pytestmark = pytest.mark.needs("root")


def differences(path: Path | str, ids: tuple[IdMap, ...] = ()) -> tuple[bytes, Written]:
    out = io.BytesIO()
    fd = os.open(path, os.O_RDONLY)
    try:
        written = diff(fd, out, ids)
    finally:
        os.close(fd)
    assert written.tar_size == len(out.getvalue())
    return out.getvalue(), written


BASE = (
    directory("d") + member("d/a", b"1") + member("d/b", b"2") + directory("o") + member("o/old") + member("gone")
    + directory("becomes-a-file") + member("becomes-a-file/x") + member("moved", b"m" * 5000) + symlink("link", "d")
)  # fmt: skip
CHANGES = """
echo more >> d/a; rm d/b gone; rm -r o; mkdir -m 711 o; echo new > o/new; rm -r becomes-a-file; echo f > becomes-a-file
mv moved d/moved; ln d/moved d/twin; mkdir -p deep/er; chown 1000:50 deep; chmod 1777 deep/er; mkfifo pipe
mknod null c 1 3; ln -s /nowhere dangling; touch -d '2001-02-03 04:05:06.789' o/new
printf 'x' > "$(printf 'odd\\nname')"
python3 -c "import socket; socket.socket(socket.AF_UNIX).bind('socket')"
python3 -c "import os; os.setxattr('o', 'user.note', b'kept'); open('s' * 150, 'w').write('long')"
truncate -s 70000 d/a
"""


def test_the_layer_makes_the_same_tree(store: Store) -> None:
    base = store.add(BASE)
    store.snapshotter.make_upper("c", 0, 0)
    mount = store.snapshotter.mounts((base,), "c")
    store.shell(mount, CHANGES)
    expected = store.tree(mount)
    data, written = differences(mount.upper)
    assert differences(mount.upper)[1] == written  # the same directory, the same digest
    added = store.add(data, written.diff_id)
    assert store.applied[added].diff_id == written.diff_id
    assert (store.applied[added].size, store.applied[added].entries) == (written.size, written.entries)
    assert not store.applied[added].implied_dirs and not store.applied[added].missing_links
    found = store.tree(store.snapshotter.mounts((base, added), ""))
    expected.pop("socket")
    for tree in (expected, found):
        tree.pop("")
        for fields in tree.values():
            fields["mtime"] //= 10**9
    assert found == expected
    names = tarfile.open(fileobj=io.BytesIO(data)).getnames()
    assert {".wh.gone", "d/.wh.b", "o/.wh..wh..opq", ".wh.moved"} <= set(names)
    assert names.index("d") < names.index("d/a")


def test_gnu_tar_reads_it(store: Store) -> None:
    base = store.add(BASE)
    store.snapshotter.make_upper("c", 0, 0)
    mount = store.snapshotter.mounts((base,), "c")
    store.shell(mount, CHANGES)
    data, _ = differences(mount.upper)
    listed = subprocess.run(["tar", "--quoting-style=literal", "-tf", "-"], input=data, check=True, capture_output=True)
    assert not listed.stderr
    assert b"o/new\n" in listed.stdout and b"s" * 150 + b"\n" in listed.stdout


def test_ids_are_those_of_the_container(tmp_path: Path) -> None:
    upper = tmp_path / "upper"
    upper.mkdir()
    (upper / "a").write_text("x")
    os.chown(upper / "a", 1_879_048_192 + 1000, 1_879_048_192)
    capability = struct.pack("<IIIII", 0x03000001, 1 << 10, 0, 0, 0) + struct.pack("<I", 1_879_048_192)
    os.setxattr(upper / "a", "security.capability", capability)
    data, _ = differences(upper, (IdMap(0, 1_879_048_192, 65536),))
    (info,) = tarfile.open(fileobj=io.BytesIO(data)).getmembers()
    assert (info.uid, info.gid) == (1000, 0)
    assert b"SCHILY.xattr.security.capability=\x01\x00\x00\x02" in data
    os.chown(upper / "a", 5, 5)
    with pytest.raises(NotSupported, match="belongs to the id 5"):
        differences(upper, (IdMap(0, 1_879_048_192, 65536),))


def test_whiteouts_by_attribute(tmp_path: Path) -> None:
    """The form that overlay writes where it cannot make device nodes (Linux 6.7)."""
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "gone").touch()
    os.setxattr(tmp_path / "d", "trusted.overlay.opaque", b"x")
    os.setxattr(tmp_path / "d" / "gone", "trusted.overlay.whiteout", b"y")
    assert tarfile.open(fileobj=io.BytesIO(differences(tmp_path)[0])).getnames() == ["d", "d/.wh.gone"]


@pytest.mark.parametrize("mark", ["trusted.overlay.metacopy", "user.overlay.metacopy", "trusted.overlay.redirect"])
def test_what_is_not_all_there_is_refused(tmp_path: Path, mark: str) -> None:
    path = tmp_path / "x"
    if mark.endswith("redirect"):
        path.mkdir()
    else:
        path.touch()
    os.setxattr(path, mark, b"/other")
    with pytest.raises(NotSupported):
        differences(tmp_path)


def test_links_and_deep_trees(tmp_path: Path) -> None:
    upper = tmp_path / "upper"
    upper.mkdir()
    (upper / "z").write_text("shared")
    os.link(upper / "z", upper / "a")
    os.symlink("x", upper / "s")
    os.link(upper / "s", upper / "t", follow_symlinks=False)
    deep = upper.joinpath(*["d"] * 500)
    deep.mkdir(parents=True)
    data, written = differences(upper)
    kinds = {
        info.name: (info.type, info.linkname) for info in tarfile.open(fileobj=io.BytesIO(data)) if "d" not in info.name
    }
    assert kinds == {"a": (b"0", ""), "z": (b"1", "a"), "s": (b"2", "x"), "t": (b"1", "s")}
    assert written.size == 6
    (deep / "d" / "d" / "d").mkdir(parents=True)
    deep.joinpath(*["d"] * 20).mkdir(parents=True)
    with pytest.raises(NotSupported, match="too deep"):
        differences(upper)


def test_a_copied_up_file_that_replaces_a_link(store: Store) -> None:
    base = store.add(member("a", b"1") + hardlink("b", "a"))
    store.snapshotter.make_upper("c", 0, 0)
    mount = store.snapshotter.mounts((base,), "c")
    store.shell(mount, "echo 2 > b")
    assert sorted(tars.tree(mount.upper)) == ["b"]
    assert tarfile.open(fileobj=io.BytesIO(differences(mount.upper)[0])).getnames() == ["b"]


def compare(store: Store, base: str, upper: str, **more: bool) -> list[str]:
    """`wherry.layers.changes.changes` as lines; one layer is its own root."""
    above, below = os.open(upper, os.O_RDONLY), os.open(store.snapshotter.path(base), os.O_RDONLY)
    try:
        return [f"{change.kind} {os.fsdecode(change.path)}" for change in changes(above, below, **more)]
    finally:
        os.close(above)
        os.close(below)


def test_changes_are_dockers(store: Store) -> None:
    base = store.add(BASE)
    store.snapshotter.make_upper("c", 0, 0, (".dockerenv",))
    mount = store.snapshotter.mounts((base,), "c")
    store.shell(mount, CHANGES)
    for name in ("proc", "dev/pts", "etc"):
        Path(mount.upper, name).mkdir(parents=True)
    Path(mount.upper, "etc/hosts").touch()
    odd = "odd\nname"
    assert compare(store, base, mount.upper) == [
        "C /becomes-a-file", "C /d", "C /d/a", "D /d/b", "A /d/moved", "A /d/twin", "A /dangling", "A /deep",
        "A /deep/er", "D /gone", "D /moved", "A /null", "C /o", "A /o/new", "D /o/old", f"A /{odd}", "A /pipe",
        "A /socket", f"A /{'s' * 150}",
    ]  # fmt: skip
    Path(mount.upper, "etc/x").touch()
    assert [line for line in compare(store, base, mount.upper) if "etc" in line] == ["C /etc", "A /etc/x"]


def test_a_change_that_hides_its_time(store: Store) -> None:
    base = store.add(BASE)
    store.snapshotter.make_upper("c", 0, 0)
    mount = store.snapshotter.mounts((base,), "c")
    store.shell(mount, "touch -r d/a t; echo 9 | tr -d '\\n' > d/a; touch -r t d/a; rm t; chmod 700 d; chmod 755 d")
    assert compare(store, base, mount.upper) == []
    assert compare(store, base, mount.upper, touched=True) == ["C /d", "C /d/a"]
