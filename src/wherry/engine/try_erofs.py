"""Whether the kernel mounts EROFS images from files as the erofs snapshotter needs it: asked with a small one."""

from __future__ import annotations

import os

from wherry.layers import compress, erofs_image
from wherry.layers.erofs_tree import Directory
from wherry.oci.mount import Mount
from wherry.rootfs.erofs import IMAGE, TAR
from wherry.runtime.trees import open_erofs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wherry.engine.engine import Engine

_CONTENT = b"what a file in a tar holds".ljust(512, b".")


def attempt(engine: Engine) -> str:
    """Why not; empty when it works, from files of the store's file system and with a device, compressed and not.

    (Any kernel that does this has id-mapped mounts of EROFS, since 5.19.)
    """
    root = Directory(0o40755, 0, 0, 0, 0)
    root.children[b"file"] = (0o100644, 0, 0, 0, 0, len(_CONTENT), erofs_image.base(0), b"", b"")
    image = bytes(erofs_image.build(root, [1], bytes(16)))
    return _attempt(engine, image) or _attempt(engine, compress.quickly(image))


def _attempt(engine: Engine, image: bytes) -> str:
    with engine.tars.prepare("sha256:" + os.urandom(32).hex()) as staging:
        for name, data in ((TAR, _CONTENT), (IMAGE, image)):
            fd = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=staging.fd)
            try:
                os.write(fd, data)
            finally:
                os.close(fd)
        try:
            tree = open_erofs(Mount("erofs", f"{staging.path}/{IMAGE}", (f"device={staging.path}/{TAR}",)))
        except OSError as error:
            return f"mounting an EROFS image from a file: {os.strerror(error.errno or 0).lower()}"
        try:
            with open(f"/proc/self/fd/{tree}/file", "rb") as file:
                if file.read() != _CONTENT:
                    return "this kernel reads an EROFS image from a file wrongly"
        except OSError as error:
            return f"reading an EROFS image from a file: {os.strerror(error.errno or 0).lower()}"
        finally:
            os.close(tree)
    return ""
