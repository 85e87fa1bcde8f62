"""What every snapshotter promises (`wherry.rootfs.Snapshotter`)."""

from __future__ import annotations

import fcntl
import os
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from wherry.errors import InvalidArgument, NotSupported
from wherry.oci.mount import Mount
from wherry.rootfs import Snapshotter
from wherry.rootfs.erofs import ErofsSnapshotter
from wherry.rootfs.overlay import OverlaySnapshotter

ID = "sha256:" + "a1" * 32
OTHER = "sha256:" + "b2" * 32


def overlay(root: Path) -> Snapshotter:
    for name in ("layers", "containers"):
        (root / name).mkdir(mode=0o700)
    return OverlaySnapshotter(str(root / "layers"), str(root / "containers"))


def erofs(root: Path) -> Snapshotter:
    for name in ("layers", "containers"):
        (root / name).mkdir(mode=0o700)
    return ErofsSnapshotter(str(root / "layers"), str(root / "containers"))


@pytest.fixture(params=[overlay, erofs])
def snapshotter(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Snapshotter]:
    make: Callable[[Path], Snapshotter] = request.param
    yield make(tmp_path)
    left = [path for path in (tmp_path / "layers").iterdir() if path.name.startswith((".staging", ".removing"))]
    assert not left


def write(fd: int, name: str = "file", text: str = "x") -> None:
    with os.fdopen(os.open(name, os.O_WRONLY | os.O_CREAT, 0o644, dir_fd=fd), "w") as file:
        file.write(text)


def add(snapshotter: Snapshotter, diff_id: str, text: str = "x") -> None:
    with snapshotter.prepare(diff_id) as staging:
        write(staging.fd, text=text)
        staging.commit()


def test_a_layer_is_there_from_its_commit_on(snapshotter: Snapshotter) -> None:
    assert not snapshotter.has(ID)
    with snapshotter.prepare(ID) as staging:
        assert stat.S_IMODE(os.fstat(staging.fd).st_mode) == 0o700 and os.listdir(staging.path) == []
        write(staging.fd)
        assert not snapshotter.has(ID)
        staging.commit()
        assert snapshotter.has(ID)
    assert snapshotter.has(ID) and not snapshotter.has(OTHER)
    snapshotter.remove(ID)
    assert not snapshotter.has(ID)
    snapshotter.remove(ID)


def test_a_layer_that_is_not_committed_leaves_nothing(snapshotter: Snapshotter) -> None:
    with pytest.raises(ZeroDivisionError), snapshotter.prepare(ID) as staging:
        os.mkdir("d", 0o000, dir_fd=staging.fd)
        write(staging.fd)
        raise ZeroDivisionError
    with snapshotter.prepare(ID):
        pass
    assert not snapshotter.has(ID)


def test_the_first_commit_wins(snapshotter: Snapshotter) -> None:
    with snapshotter.prepare(ID) as first, snapshotter.prepare(ID) as second:
        write(first.fd, text="first")
        write(second.fd, text="second")
        second.commit()
        first.commit()
    assert snapshotter.has(ID)
    assert Path(snapshotter.path(ID), "file").read_text() == "second"


def test_the_umask_does_not_matter(snapshotter: Snapshotter) -> None:
    old = os.umask(0)
    try:
        with snapshotter.prepare(ID) as staging:
            assert stat.S_IMODE(os.fstat(staging.fd).st_mode) == 0o700
        snapshotter.make_upper("c", os.geteuid(), os.getegid())
    finally:
        os.umask(old)
    upper = snapshotter.mounts((ID,), "c").upper
    assert stat.S_IMODE(os.stat(os.path.dirname(upper)).st_mode) == 0o700


@pytest.mark.parametrize(
    "bad", ["", "sha256:", "sha256:../../etc", "sha256:" + "A1" * 32, "sha256:aa/bb" + "c" * 60, "x" * 64]
)
def test_what_is_no_digest_is_no_path(snapshotter: Snapshotter, bad: str) -> None:
    for call in (snapshotter.has, snapshotter.prepare, snapshotter.remove, lambda one: snapshotter.mounts((one,), "c")):
        with pytest.raises(InvalidArgument):
            call(bad)


def test_overlay_has_the_top_most_first(tmp_path: Path) -> None:
    snapshotter = overlay(tmp_path)
    mount = snapshotter.mounts((ID, OTHER), "c", idmap=True)
    assert [Path(lower).name for lower in mount.lower] == ["b2" * 32, "a1" * 32]
    assert mount.idmap and mount.upper.endswith("/c/upper") and mount.work.endswith("/c/work")
    assert snapshotter.mounts((ID,), "c", userxattr=True).options == ("userxattr",)
    view = snapshotter.mounts((ID,), "")
    assert (view.upper, view.work) == ("", "")


def test_erofs_has_one_image_over_the_tars_of_all_layers(tmp_path: Path) -> None:
    snapshotter, layers = erofs(tmp_path), f"{tmp_path}/layers"
    devices = (f"device={layers}/{'a1' * 32}/tar", f"device={layers}/{'b2' * 32}/tar")
    image = Mount("erofs", f"{layers}/{'c3' * 32}/image", devices)
    stack = (ID, OTHER, ID, "sha256:" + "c3" * 32)
    assert snapshotter.mounts(stack, "") == image
    assert snapshotter.mounts(stack, "", idmap=True) == image.replace(idmap=True)
    mount = snapshotter.mounts(stack, "c", idmap=True)
    assert mount.lower == () and mount.below == image and mount.idmap
    assert mount.upper.endswith("/c/upper") and mount.work.endswith("/c/work")


def test_a_layer_that_is_there_twice_is_stacked_once(tmp_path: Path) -> None:
    snapshotter = overlay(tmp_path)
    assert [Path(lower).name[:2] for lower in snapshotter.mounts((ID, OTHER, ID), "c").lower] == ["a1", "b2"]


def test_an_image_may_have_no_layers(tmp_path: Path) -> None:
    snapshotter = overlay(tmp_path)
    for _ in range(2):
        (lower,) = snapshotter.mounts((), "c").lower
        assert os.listdir(lower) == []


def test_too_many_layers(tmp_path: Path) -> None:
    snapshotter = overlay(tmp_path)
    many = tuple(f"sha256:{number:064x}" for number in range(501))
    assert len(snapshotter.mounts(many[:500], "c").lower) == 500
    with pytest.raises(NotSupported, match="501 layers"):
        snapshotter.mounts(many, "c")


def test_the_writable_part(snapshotter: Snapshotter) -> None:
    assert snapshotter.usage("c") == (0, 0)
    snapshotter.make_upper("c", os.geteuid(), os.getegid())
    mount = snapshotter.mounts((ID,), "c")
    assert stat.S_IMODE(os.stat(mount.upper).st_mode) == 0o755
    empty, inodes = snapshotter.usage("c")
    Path(mount.upper, "big").write_bytes(bytes(1 << 20))
    os.link(f"{mount.upper}/big", f"{mount.upper}/again")
    used, more = snapshotter.usage("c")
    assert used - empty == 1 << 20 and more - inodes == 1
    snapshotter.remove_upper("c")
    assert not os.path.exists(mount.upper) and not os.path.exists(mount.work)
    snapshotter.remove_upper("c")
    snapshotter.make_upper("c", os.geteuid(), os.getegid(), (".mark",))
    mark = os.stat(f"{snapshotter.mounts((ID,), 'c').upper}/.mark")
    assert (mark.st_size, stat.S_IMODE(mark.st_mode)) == (0, 0o755)
    snapshotter.remove_upper("c")
    snapshotter.remove_upper("never made")


def test_the_writable_part_goes_whatever_is_in_it(snapshotter: Snapshotter, tmp_path: Path) -> None:
    snapshotter.make_upper("c", os.geteuid(), os.getegid())
    mount = snapshotter.mounts((ID,), "c")
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").write_text("kept")
    os.symlink(outside, f"{mount.upper}/link")
    os.symlink("/", f"{mount.upper}/root")
    os.mkdir(f"{mount.work}/work", 0o000)
    os.mkfifo(f"{mount.upper}/pipe")
    here = os.open(mount.upper, os.O_RDONLY)
    for _ in range(700):  # deeper than a path can be long
        os.mkdir("directory", dir_fd=here)
        write(here)
        below = os.open("directory", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)
    for closed in ("a", "a/b"):
        os.mkdir(f"{mount.upper}/{closed}")
    write_to = Path(mount.upper, "a/b/file")
    write_to.write_text("x")
    os.chmod(write_to.parent, 0o500)
    os.chmod(write_to.parent.parent, 0)
    snapshotter.remove_upper("c")
    assert not os.path.exists(mount.upper)
    assert (outside / "kept").read_text() == "kept"


DIES = """
import os, sys
from wherry.rootfs.overlay import OverlaySnapshotter
snapshotter = OverlaySnapshotter(sys.argv[1], sys.argv[2])
staging = snapshotter.prepare("sha256:" + "a1" * 32)
os.mkdir("d", dir_fd=staging.fd)
os.kill(os.getpid(), 9)
"""


def test_what_a_killed_writer_leaves_is_swept(tmp_path: Path) -> None:
    snapshotter = overlay(tmp_path)
    paths = [str(tmp_path / "layers"), str(tmp_path / "containers")]
    source = str(Path(__file__).parents[2] / "src")
    done = subprocess.run([sys.executable, "-c", DIES, *paths], env={"PYTHONPATH": source}, check=False)
    assert done.returncode == -9
    assert not snapshotter.has(ID) and len(os.listdir(paths[0])) == 1
    with snapshotter.prepare(OTHER) as staging:
        write(staging.fd)
        assert snapshotter.sweep() == 1
        staging.commit()
    assert snapshotter.has(OTHER) and snapshotter.sweep() == 0
    assert os.listdir(paths[0]) == ["b2" * 32]


def test_a_removal_that_was_interrupted_is_swept(tmp_path: Path) -> None:
    snapshotter = overlay(tmp_path)
    add(snapshotter, ID)
    os.rename(snapshotter.path(ID), f"{tmp_path}/layers/.removing-{'a1' * 32}-x")
    assert not snapshotter.has(ID)
    assert snapshotter.sweep() == 1


def test_a_writer_that_is_alive_is_not_swept(tmp_path: Path) -> None:
    snapshotter = overlay(tmp_path)
    with snapshotter.prepare(ID) as staging:
        other = os.open(staging.path, os.O_RDONLY)
        with pytest.raises(BlockingIOError):
            fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.close(other)
        assert snapshotter.sweep() == 0
        staging.commit()
    assert snapshotter.has(ID)
