"""Layers given as tar bytes in both forms, and what an image of them shows in each, to be compared."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from support.tars import Dribble, describe, tree
from wherry.layers import erofs_image, erofs_index, erofs_layer, erofs_tar, fixup
from wherry.layers.apply import Applied, apply
from wherry.layers.erofs_tree import Directory, check, merge
from wherry.linux.trees import remove
from wherry.oci.mount import Mount
from wherry.rootfs.overlay import OverlaySnapshotter
from wherry.runtime.ops import OpenRoot
from wherry.runtime.trees import open_erofs, open_root

UUID = bytes(range(16))


def shown(tree_fd: int) -> dict[str, Any]:
    """What a detached mount shows, its root under ""; closes it.

    Overlay lists whiteouts of directories that are in one layer only, although nothing is there.
    """
    try:
        path = f"/proc/self/fd/{tree_fd}/."
        found: dict[str, Any] = tree(path, skip=lambda name: not os.path.lexists(f"{path}/{name}"))
        return {"": describe(path, {}), **found}
    finally:
        os.close(tree_fd)


class Tars:
    """Layers kept as tars in a directory of the test's own."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        directory.mkdir(exist_ok=True)
        self.layers: list[Path] = []

    def add(self, data: bytes, seed: int = 1) -> Applied:
        """Keep one more layer, on top of the others."""
        path = self.directory / f"{len(self.layers)}.tar"
        with open(path, "w+b") as tar, open(path.with_suffix(".heads"), "w+b") as heads:
            parts = tar.fileno(), heads.fileno()
            found = erofs_layer.index(Dribble(data, seed, 70_000), parts)
            assert found.root is not None, found.reason
            kept = erofs_tar.Tar(*parts)
            assert kept.read(len(data) + 1) == data and found.applied.tar_size == len(data)
            again = erofs_layer.index(erofs_tar.Tar(*parts), None)
        assert again.root is not None and again.applied == found.applied and again.blocks == found.blocks
        layer = erofs_index.Layer(found.root, found.applied.tar_size, found.blocks)
        index = erofs_index.dump(layer)
        assert index == erofs_index.dump(layer.replace(root=again.root))
        path.with_suffix(".index").write_bytes(index)
        self.layers.append(path)
        return found.applied

    @property
    def image(self) -> Path:
        """The image of all layers, written anew."""
        indexes = [path.with_suffix(".index").read_bytes() for path in self.layers]
        blocks = [erofs_index.head(data).blocks for data in indexes]
        root = Directory(0o40755, 0, 0, 0, 0)
        for number, data in enumerate(indexes):
            merge(root, erofs_index.load(data, erofs_image.base(number)).root)
        check(root)
        path = self.directory / "image"
        path.write_bytes(erofs_image.build(root, blocks, UUID))
        return path

    def open(self) -> int:
        """The image of all layers, mounted and attached nowhere."""
        return open_erofs(Mount("erofs", str(self.image), tuple(f"device={path}" for path in self.layers)))

    def tree(self) -> dict[str, Any]:
        """What the image shows."""
        return shown(self.open())


class Unpacked:
    """Layers unpacked into directories of the test's own."""

    def __init__(self, directory: Path) -> None:
        for name in ("layers", "containers"):
            (directory / name).mkdir(parents=True)
        self.snapshotter = OverlaySnapshotter(str(directory / "layers"), str(directory / "containers"))
        self.layers: list[str] = []
        self.applied: dict[str, Applied] = {}

    def add(self, data: bytes) -> Applied:
        """Unpack one more layer, on top of the others."""
        key = "sha256:" + hashlib.sha256(b"%d" % len(self.layers) + data).hexdigest()
        staging = self.snapshotter.prepare(key)
        with staging:
            self.applied[key] = apply(Dribble(data, 2, 70_000), staging.fd)
            os.rename(staging.path, self.snapshotter.path(key))  # a test does not wait for the disk
            staging._committed = True
        self.layers.append(key)
        return self.applied[key]

    def tree(self) -> dict[str, Any]:
        """What overlay shows of all layers and the fix-up that they need."""
        stack = [
            fixup.Layer(self.snapshotter.path(one), self.applied[one].implied_dirs, self.applied[one].missing_links)
            for one in self.layers
        ]
        plan = fixup.plan(stack)
        keys = tuple(self.layers)
        if plan.needed:
            key = "sha256:" + "f" * 64
            with self.snapshotter.prepare(key) as staging:
                fixup.write(plan, stack, staging.fd)
                os.rename(staging.path, self.snapshotter.path(key))
                staging._committed = True
            keys += (key,)
        mount = self.snapshotter.mounts(keys, "")
        if len(mount.lower) == 1:  # overlay wants two, and a whiteout is one only where it is mounted
            mount = mount.replace(lower=mount.lower + self.snapshotter.mounts((), "").lower)
        return shown(open_root(OpenRoot(0, mount), _none))

    def remove(self) -> None:
        fd = os.open(os.path.dirname(self.snapshotter.path("sha256:" + "f" * 64)), os.O_RDONLY)
        try:
            for name in os.listdir(fd):
                remove(name, dir_fd=fd)
        finally:
            os.close(fd)


def _none(_uids: object, _gids: object) -> int:
    raise AssertionError


def comparable(found: dict[str, Any], applied: Sequence[Applied]) -> dict[str, Any]:
    """A tree without what the two forms need not agree about: the times of directories that a layer only implies, and
    links to a file that do not show."""
    implied = {name for one in applied for name in one.implied_dirs} | {""}
    links = Counter(about["inode"] for about in found.values() if "inode" in about)
    return {
        name: {
            key: value
            for key, value in about.items()
            if not (key == "mtime" and name in implied) and not (key == "inode" and links[value] == 1)
        }
        for name, about in found.items()
    }


__all__ = ("UUID", "Tars", "Unpacked", "comparable", "shown")
