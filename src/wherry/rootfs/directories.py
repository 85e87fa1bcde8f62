"""What both snapshotters keep as directories: layers by their ids, and what containers change.

containers/<id>/{upper,work}         a container's changes
"""

from __future__ import annotations

import os

from wherry.errors import InvalidArgument
from wherry.linux import trees
from wherry.store.layout import make_private, translate

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wherry.oci.mount import Mount
    from wherry.rootfs.staging import DirectoryStaging

_HEX = frozenset("0123456789abcdef")
#: What a container changes is all in its upper directory, whatever the kernel's defaults are: no renames that refer to
#: a layer, no files without their data.  (The kernel sees to the same itself where it has ``userxattr``.)
PLAIN = ("redirect_dir=off", "metacopy=off")


def _name(diff_id: str) -> str:
    """The file name of a layer.  Raises `InvalidArgument` for what is not a digest, before it becomes a path."""
    name = diff_id.partition(":")[2]
    if len(name) < 32 or not _HEX.issuperset(name):
        raise InvalidArgument(f"invalid digest of a layer: {diff_id[:140]!r}")
    return name


class Directories:
    """The parts of `wherry.rootfs.Snapshotter` that do not depend on what is in a layer's directory.

    ``layers`` and ``containers`` are private directories; the first one is made when it is missing.  Without ``sync``
    whoever adds layers has them synced.
    """

    def __init__(self, layers: str, containers: str, *, sync: bool = True) -> None:
        self._layers = layers
        self._containers = containers
        self._sync = sync

    def path(self, diff_id: str) -> str:
        """The directory of a layer."""
        return f"{self._layers}/{_name(diff_id)}"

    def has(self, diff_id: str) -> bool:
        """Whether the layer is there, complete."""
        return os.path.isdir(self.path(diff_id))

    def names(self) -> list[str]:
        """The file names of what is kept, which are the hexadecimal digits of ids, and of what is being made."""
        try:
            return os.listdir(self._layers)
        except FileNotFoundError:
            return []

    def prepare(self, diff_id: str) -> DirectoryStaging:
        """A new empty directory to write the layer into.  Raises `StorageFull`, `SystemFailure`."""
        from wherry.rootfs.staging import DirectoryStaging

        name = _name(diff_id)
        try:
            make_private(self._layers)
            return DirectoryStaging(self._layers, name, sync=self._sync)
        except OSError as error:
            raise translate(error, "prepare a layer") from error

    def remove(self, diff_id: str) -> None:
        """Remove a layer; nothing there is fine.  It disappears at once, its files afterwards."""
        from wherry.rootfs import staging

        staging.remove(self._layers, _name(diff_id))

    def set_aside(self, diff_id: str) -> str:
        """Have a layer disappear; the path by which `wherry.rootfs.staging.discard_alone` removes its files, or "".

        What nobody removes, `sweep` does.
        """
        from wherry.rootfs import staging

        return staging.set_aside(self._layers, _name(diff_id))

    def sweep(self) -> int:
        """Remove what writers and removers that died have left; how many directories that were.

        Those that another process still writes are locked, and stay.
        """
        from wherry.rootfs import staging

        return staging.sweep(self._layers) if os.path.isdir(self._layers) else 0

    def _stack(self, container_id: str, mount: Mount) -> Mount:
        """``mount`` with the container's upper and work directories."""
        container = f"{self._containers}/{container_id}"
        return mount.replace(upper=f"{container}/upper", work=f"{container}/work")

    def make_upper(self, container_id: str, uid: int, gid: int, marks: tuple[str, ...] = ()) -> None:
        """Make the container's upper and work directories, owned by its root on this host; ``marks`` are empty files.

        Raises `StorageFull`, `SystemFailure`.
        """
        container = f"{self._containers}/{container_id}"
        try:
            make_private(container)
            for name, mode in (("upper", 0o755), ("work", 0o700)):
                path = f"{container}/{name}"
                os.mkdir(path, mode)
                if (uid, gid) != (os.geteuid(), os.getegid()):
                    os.chown(path, uid, gid)
                os.chmod(path, mode)
            for name in marks:
                fd = os.open(f"{container}/upper/{name}", os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o755)
                if (uid, gid) != (os.geteuid(), os.getegid()):
                    os.fchown(fd, uid, gid)
                os.fchmod(fd, 0o755)
                os.close(fd)
        except OSError as error:
            raise translate(error, "make a container's directories") from error

    def remove_upper(self, container_id: str) -> None:
        """Remove the container's upper and work directories whatever is in them; nothing there is fine.

        Where subordinate ids own files in there, to be called inside the user namespace that maps them.
        Raises `SystemFailure`.
        """
        try:
            try:
                fd = os.open(f"{self._containers}/{container_id}", trees.HANDLE)
            except FileNotFoundError:
                return
            try:
                trees.remove("upper", dir_fd=fd)
                trees.remove("work", dir_fd=fd)
            finally:
                os.close(fd)
        except OSError as error:
            raise translate(error, "remove a container's files") from error

    def usage(self, container_id: str) -> tuple[int, int]:
        """Bytes of disk and inodes of the container's changes.  Raises `SystemFailure`; a missing one uses nothing."""
        try:
            return trees.usage(f"{self._containers}/{container_id}/upper")
        except FileNotFoundError:
            return 0, 0
        except OSError as error:
            raise translate(error, "measure a container's files") from error
