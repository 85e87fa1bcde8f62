"""Layers as directories, stacked by overlay (Linux, Documentation/filesystems/overlayfs.rst).

layers/<hex of the diff id>/         a layer; complete when it has this name
layers/.staging-<hex>-<random>/      one that is written, locked (flock(2)) by its writer
layers/.removing-<hex>-<random>/     one that is removed
containers/<id>/{upper,work}         a container's changes
"""

from __future__ import annotations

import errno
import fcntl
import os

from wherry.errors import InvalidArgument
from wherry.linux import trees
from wherry.oci.mount import Mount
from wherry.store.layout import make_private, translate

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType

#: What overlay can stack (OVL_MAX_STACK).
MAX_LAYERS = 500
_STAGING = ".staging-"
_REMOVING = ".removing-"
_NO_LAYERS = ".no-layers"
_HEX = frozenset("0123456789abcdef")
#: What a container changes is all in its upper directory, whatever the kernel's defaults are: no renames that refer to
#: a layer, no files without their data.  (The kernel sees to the same itself where it has ``userxattr``.)
_PLAIN = ("redirect_dir=off", "metacopy=off")


def _name(diff_id: str) -> str:
    """The file name of a layer.  Raises `InvalidArgument` for what is not a digest, before it becomes a path."""
    name = diff_id.partition(":")[2]
    if len(name) < 32 or not _HEX.issuperset(name):
        raise InvalidArgument(f"invalid digest of a layer: {diff_id[:140]!r}")
    return name


class OverlayStaging:
    """A layer while it is written (`wherry.rootfs.Staging`)."""

    def __init__(self, layers: str, name: str) -> None:
        self._layers = layers
        self._name = name
        self._committed = False
        self.path, self.fd = self._make()

    def _make(self) -> tuple[str, int]:
        while True:
            path = f"{self._layers}/{_STAGING}{self._name}-{os.urandom(6).hex()}"
            os.mkdir(path, 0o700)
            try:
                fd = os.open(path, trees.DIRECTORY)
            except FileNotFoundError:
                continue  # swept before it was locked
            fcntl.flock(fd, fcntl.LOCK_EX)
            if os.fstat(fd).st_nlink:
                os.fchmod(fd, 0o700)
                return path, fd
            os.close(fd)

    def __enter__(self) -> OverlayStaging:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._committed:
            _discard(self.path)
        os.close(self.fd)

    def commit(self) -> None:
        """Make it durable, then visible (docs/decisions/0041-layer-durability.md).

        Raises `StorageFull`, `SystemFailure`.
        """
        from wherry.linux import sync

        try:
            sync.file_system(self.fd)
            try:
                os.rename(self.path, f"{self._layers}/{self._name}")
            except OSError as error:
                if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):
                    raise
                return
            self._committed = True
            sync_directory(self._layers)
        except OSError as error:
            raise translate(error, "keep a layer") from error


def sync_directory(path: str) -> None:
    """Make the names in a directory durable."""
    fd = os.open(path, trees.DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _discard(path: str) -> None:
    directory, _, name = path.rpartition("/")
    fd = os.open(directory, trees.HANDLE)
    try:
        trees.remove(name, dir_fd=fd)
    finally:
        os.close(fd)


class OverlaySnapshotter:
    """`wherry.rootfs.Snapshotter` over directories in ``layers`` and ``containers``, which exist and are private."""

    def __init__(self, layers: str, containers: str) -> None:
        self._layers = layers
        self._containers = containers

    def path(self, diff_id: str) -> str:
        """The directory of a layer."""
        return f"{self._layers}/{_name(diff_id)}"

    def has(self, diff_id: str) -> bool:
        """Whether the layer is there, complete."""
        return os.path.isdir(self.path(diff_id))

    def prepare(self, diff_id: str) -> OverlayStaging:
        """A new empty directory to write the layer into.  Raises `StorageFull`, `SystemFailure`."""
        try:
            return OverlayStaging(self._layers, _name(diff_id))
        except OSError as error:
            raise translate(error, "prepare a layer") from error

    def remove(self, diff_id: str) -> None:
        """Remove a layer; nothing there is fine.  It disappears at once, its files afterwards."""
        name = _name(diff_id)
        aside = f"{self._layers}/{_REMOVING}{name}-{os.urandom(6).hex()}"
        try:
            try:
                os.rename(f"{self._layers}/{name}", aside)
            except FileNotFoundError:
                return
            _discard(aside)
        except OSError as error:
            raise translate(error, "remove a layer") from error

    def sweep(self) -> int:
        """Remove what writers and removers that died have left; how many directories that were.

        Those that another process still writes are locked, and stay.
        """
        count = 0
        for name in os.listdir(self._layers):
            if not name.startswith((_STAGING, _REMOVING)):
                continue
            path = f"{self._layers}/{name}"
            try:
                fd = os.open(path, trees.DIRECTORY)
            except FileNotFoundError:
                continue
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                _discard(path)
                count += 1
            except BlockingIOError:
                continue
            except OSError as error:
                raise translate(error, "remove an unfinished layer") from error
            finally:
                os.close(fd)
        return count

    def mounts(
        self, diff_ids: tuple[str, ...], container_id: str, idmap: bool = False, userxattr: bool = False
    ) -> Mount:
        """The overlay of ``diff_ids``, bottom-most first, under the container's changes (`Snapshotter.mounts`).

        A layer that is in an image twice is stacked once, where it is top-most: overlay refuses to have it twice, and
        the lower one shows nowhere, since everything in it is in the upper one as well.
        Raises `NotSupported` for more than `MAX_LAYERS` layers.
        """
        lower = tuple(dict.fromkeys(f"{self._layers}/{_name(diff_id)}" for diff_id in reversed(diff_ids)))
        if not lower:
            lower = (self._no_layers(),)
        if len(lower) > MAX_LAYERS:
            from wherry.errors import NotSupported

            raise NotSupported(f"image has {len(lower)} layers, and overlay stacks at most {MAX_LAYERS}")
        options = ("userxattr",) if userxattr else _PLAIN
        if not container_id:
            return Mount("overlay", "overlay", options, lower, idmap=idmap)
        container = f"{self._containers}/{container_id}"
        return Mount("overlay", "overlay", options, lower, f"{container}/upper", f"{container}/work", idmap)

    def _no_layers(self) -> str:
        """An empty directory, for an image without layers: overlay needs one below."""
        path = f"{self._layers}/{_NO_LAYERS}"
        try:
            os.mkdir(path, 0o755)
        except FileExistsError:
            pass
        return path

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
