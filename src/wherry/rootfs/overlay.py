"""Layers as directories, stacked by overlay (Linux, Documentation/filesystems/overlayfs.rst).

layers/<hex of the diff id>/         a layer; complete when it has this name
"""

from __future__ import annotations

import os

from wherry.oci.mount import Mount
from wherry.rootfs.directories import PLAIN, Directories

#: What overlay can stack (OVL_MAX_STACK).
MAX_LAYERS = 500
_NO_LAYERS = ".no-layers"


class OverlaySnapshotter(Directories):
    """`wherry.rootfs.Snapshotter` over directories in ``layers`` and ``containers``, which exist and are private."""

    def mounts(
        self, diff_ids: tuple[str, ...], container_id: str, idmap: bool = False, userxattr: bool = False
    ) -> Mount:
        """The overlay of ``diff_ids``, bottom-most first, under the container's changes (`Snapshotter.mounts`).

        A layer that is in an image twice is stacked once, where it is top-most: overlay refuses to have it twice, and
        the lower one shows nowhere, since everything in it is in the upper one as well.
        Raises `NotSupported` for more than `MAX_LAYERS` layers.
        """
        lower = tuple(dict.fromkeys(self.path(diff_id) for diff_id in reversed(diff_ids)))
        if not lower:
            lower = (self._no_layers(),)
        if len(lower) > MAX_LAYERS:
            from wherry.errors import NotSupported

            raise NotSupported(f"image has {len(lower)} layers, and overlay stacks at most {MAX_LAYERS}")
        options = ("userxattr",) if userxattr else PLAIN
        mount = Mount("overlay", "overlay", options, lower, idmap=idmap)
        return self._stack(container_id, mount) if container_id else mount

    def _no_layers(self) -> str:
        """An empty directory, for an image without layers: overlay needs one below."""
        path = f"{self._layers}/{_NO_LAYERS}"
        try:
            os.mkdir(path, 0o755)
        except FileExistsError:
            pass
        return path
