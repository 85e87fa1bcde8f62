"""Layers as tars that nobody unpacks, under one EROFS image of all their names (Linux, filesystems/erofs.rst).

erofs/<hex of a diff id>/{tar,heads,index}   a layer: its tar in two parts (`wherry.layers.erofs_tar`), and the tree of
                                             what is in it
erofs/<hex of an image's key>/image          the merged tree of an image's layers, whose files are in their tars, often
                                             compressed (gzip)

The image is mounted from the file, the tars are its devices in the order of the layers.  It is the only lower directory
of a container's overlay, however many layers there are.
"""

from __future__ import annotations

from wherry.oci.mount import Mount
from wherry.rootfs.directories import PLAIN, Directories

TAR, HEADS, INDEX, IMAGE = "tar", "heads", "index", "image"


class ErofsSnapshotter(Directories):
    """`wherry.rootfs.Snapshotter` over tars; what it stacks has the image's key last.

    The root of the host only: EROFS cannot be mounted in a user namespace.
    """

    def mounts(
        self, diff_ids: tuple[str, ...], container_id: str, idmap: bool = False, userxattr: bool = False
    ) -> Mount:
        """The image whose key is last in ``diff_ids``, over the layers before it (`Snapshotter.mounts`)."""
        del userxattr  # for whoever may not set the attributes that overlay needs: never root
        *layers, key = diff_ids
        devices = tuple([f"device={self.path(one)}/{TAR}" for one in dict.fromkeys(layers)])
        image = Mount("erofs", f"{self.path(key)}/{IMAGE}", devices)
        if not container_id:
            return image.replace(idmap=idmap)
        return self._stack(container_id, Mount("overlay", "overlay", PLAIN, idmap=idmap, below=image))
