"""A container's root on an EROFS image: id-mapped, written to, and built in the way of kernels before 6.15."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.erofs import Tars
from support.tars import END, directory, hardlink, member
from wherry.linux import mount as m
from wherry.linux import namespaces
from wherry.linux.ids import IdMap
from wherry.oci.mount import Mount
from wherry.runtime import compat
from wherry.runtime.ops import OpenRoot
from wherry.runtime.trees import open_erofs, open_root

pytestmark = pytest.mark.needs("root", "erofs")

BASE = 0x70000000


@pytest.fixture
def mount(tmp_path: Path) -> Iterator[Mount]:
    """The root of a container whose ids begin at `BASE`."""
    tars = Tars(tmp_path / "tars")
    tars.add(directory("d", 0o750, uid=5) + member("d/file", b"below", uid=7) + hardlink("link", "d/file") + END)
    tars.add(member("d/upper", b"layer") + END)
    image = Mount("erofs", str(tars.image), tuple(f"device={path}" for path in tars.layers))
    for name in ("upper", "work"):
        (tmp_path / name).mkdir(mode=0o755)
        os.chown(tmp_path / name, BASE, BASE)
    yield Mount(
        "overlay", "overlay", ("redirect_dir=off", "metacopy=off"), (), str(tmp_path / "upper"), str(tmp_path / "work"),
        True, image,
    )  # fmt: skip


def ids(_uids: object, _gids: object) -> int:
    maps = (IdMap(0, BASE, 65536),)
    return namespaces.holder(maps, maps)


def look_and_write(root: int, mount: Mount) -> None:
    """What the container's root may do, done from outside through the detached mount."""
    path = Path(f"/proc/self/fd/{root}")
    try:
        assert (path / "d/file").read_bytes() == b"below" and (path / "d/upper").read_bytes() == b"layer"
        assert os.stat(path / "d/file").st_uid == BASE + 7 and os.stat(path / "d").st_uid == BASE + 5
        assert stat.S_IMODE(os.stat(path / "d").st_mode) == 0o750
        with open(path / "d/file", "a") as file:
            file.write(" and above")
        os.unlink(path / "d/upper")
        assert sorted(os.listdir(path / "d")) == ["file"]
    finally:
        os.close(root)
    copied = Path(mount.upper, "d/file")
    assert copied.read_bytes() == b"below and above" and copied.stat().st_uid == BASE + 7


def test_changes_go_to_the_container(mount: Mount) -> None:
    look_and_write(open_root(OpenRoot(0, mount), ids), mount)


def test_before_detached_mounts_could_be_stacked(mount: Mount) -> None:
    assert mount.below is not None
    tree = open_root(OpenRoot(0, mount.below.replace(idmap=True)), ids)
    look_and_write(compat.overlay(mount, 0, [tree]), mount)


def test_the_view_of_an_image_alone(mount: Mount) -> None:
    assert mount.below is not None
    plain, mapped = open_erofs(mount.below), open_root(OpenRoot(0, mount.below.replace(idmap=True)), ids)
    try:
        assert os.stat("d/file", dir_fd=plain).st_uid == 7 and os.stat("d/file", dir_fd=mapped).st_uid == BASE + 7
        with pytest.raises(OSError, match="Read-only"):
            os.mkdir("new", dir_fd=plain)
        clone = m.clone_tree(f"/proc/self/fd/{plain}/.")
        assert os.fstat(clone).st_dev == os.fstat(plain).st_dev != os.fstat(mapped).st_dev
        os.close(clone)
    finally:
        os.close(plain)
        os.close(mapped)
