"""The read-only side of a container's root file system, opened: directories, or one mounted EROFS image.

An EROFS image is mounted by nobody but the monitors of its containers, and attached nowhere: it is there as long as one
of them holds its descriptor, whatever is killed.  A container whose image another one already runs takes a clone of
that one's mount, through the descriptor in ``/proc``, so that all of them share one page cache; before Linux 6.15 such
a mount cannot be cloned, and each has its own.
"""

from __future__ import annotations

import errno
import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Self

    from wherry.container.record import ContainerRecord
    from wherry.engine.engine import Engine
    from wherry.oci.mount import Mount

#: In a running container's directory: where in ``/proc`` the descriptor of its image is.
NAME = "lower"
_CLONE_DETACHED = (6, 15)
_MOST = 4  # running containers that are asked for their mount


class Lower(tuple[str, ...]):
    """Paths of directories, top-most first, that are good until this is closed or dropped."""

    fd = -1

    def close(self) -> None:
        """Let the mount go, if there is one."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def __del__(self) -> None:
        self.close()


def open_lower(engine: Engine, record: ContainerRecord) -> Lower:
    """What a container's image shows, to be read in this process.  Raises `NotSupported`, `SystemFailure`."""
    mount = engine.mounts(record)
    if mount.type != "erofs":
        return Lower(mount.lower)
    fd = _running(engine, record)
    if fd < 0:
        fd = _mount(mount)
    return _held(fd)


def open_running(engine: Engine, record: ContainerRecord) -> Lower:
    """The same of a container that runs, by the descriptor that its monitor has: nothing is mounted, to be read in."""
    if record.snapshotter == "erofs":
        try:
            link = os.readlink(f"{engine.layout.run_container(record.id)}/{NAME}")
            fd = os.open(link, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError:
            return open_lower(engine, record)  # it has ended, or this kernel does not share mounts
        if os.fstatvfs(fd).f_fsid == _file_system_id(record.diff_ids[-1]):
            return _held(fd)
        os.close(fd)  # its process is gone, and another one has its number
    return open_lower(engine, record)


def _held(fd: int) -> Lower:
    lower = Lower((f"/proc/self/fd/{fd}/.",))
    lower.fd = fd
    return lower


def for_container(engine: Engine, record: ContainerRecord, lower: Lower, rootfs: Mount) -> Mount:
    """``rootfs`` of a container that this process starts, on the mount that ``lower`` holds; others may share it."""
    if lower.fd < 0 or engine.host.kernel < _CLONE_DETACHED:
        return rootfs
    link = f"{engine.layout.run_container(record.id)}/{NAME}"
    try:
        os.unlink(link)
    except FileNotFoundError:
        pass
    os.symlink(f"/proc/{os.getpid()}/fd/{lower.fd}", link)
    return rootfs.replace(lower=tuple(lower), below=None)


def _mount(mount: Mount) -> int:
    from wherry.errors import NotSupported, SystemFailure
    from wherry.runtime.trees import open_erofs

    try:
        return open_erofs(mount)
    except OSError as error:
        if error.errno in (errno.ENODEV, errno.ENOTBLK, errno.EOPNOTSUPP):
            raise NotSupported(
                "this kernel cannot mount the image: it was stored where EROFS is mounted from files (Linux 6.12)",
                hint="pull the image again, and make the container anew",
            ) from None
        raise SystemFailure("mount the image", getattr(error, "call", "mount"), error.errno or 0) from error


def _running(engine: Engine, record: ContainerRecord) -> int:
    """A clone of the mount that a running container of the same image has, or -1."""
    from wherry.linux import mount as m

    wanted = _file_system_id(record.diff_ids[-1])
    query = "SELECT id FROM containers WHERE image_id = ? AND pid > 0 ORDER BY created DESC LIMIT ?"
    for (other,) in engine.db.rows(query, (record.image_id, _MOST)):
        try:
            fd = m.clone_tree(os.readlink(f"{engine.layout.run_container(other)}/{NAME}"))
        except OSError:
            continue  # it is not of this form, has ended, or the kernel does not do that
        if os.fstatvfs(fd).f_fsid == wanted:
            return fd
        os.close(fd)  # its process is gone, and another one has its number
    return -1


def _file_system_id(key: str) -> int:
    """What `wherry.layers.erofs_image.file_system_id` says of an image with this key."""
    digits = bytes.fromhex(key.partition(":")[2][:32])
    return int.from_bytes(digits[:8], "little") ^ int.from_bytes(digits[8:], "little")
