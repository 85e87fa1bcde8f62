"""Where everything is on disk.

Everything below both roots belongs to their owner alone: directories are made 0700 and files 0600 whatever the umask
is, so that no other user reaches a set-user-id file of an image, or another user's data (CVE-2021-41091,
CVE-2021-41103, CVE-2024-25621).
"""

from __future__ import annotations

import os

from wherry.errors import InvalidArgument, StorageFull, SystemFailure

_OCI_LAYOUT = b'{"imageLayoutVersion":"1.0.0"}'


class Layout:
    """Paths below ``root``, which survives a reboot, and ``run``, which does not (design: state)."""

    __slots__ = (
        "blobs",
        "cache",
        "containers",
        "db",
        "erofs",
        "execs",
        "index",
        "ingest",
        "layers",
        "locks",
        "netns",
        "recipes",
        "root",
        "run",
        "run_containers",
        "unsynced",
        "volumes",
    )

    def __init__(self, root: str, run: str) -> None:
        self.root = root
        self.run = run
        self.db = root + "/wherry.db"
        self.index = root + "/index.json"
        self.blobs = root + "/blobs"
        self.ingest = root + "/ingest"
        self.layers = root + "/layers"
        self.erofs = root + "/erofs"
        self.containers = root + "/containers"
        self.volumes = root + "/volumes"
        self.cache = root + "/cache"
        self.unsynced = root + "/unsynced"
        self.recipes = root + "/recipes"
        self.locks = run + "/locks"
        self.run_containers = run + "/containers"
        self.netns = run + "/netns"
        self.execs = run + "/execs"

    def ensure(self) -> None:
        """Makes the directories that are missing.  Cheap when nothing is.

        Raises `SystemFailure`, `StorageFull`, and `InvalidArgument` when a root is a directory with other things in it
        or belongs to another user.
        """
        if _is_private(self.root) and _is_private(self.netns) and os.path.exists(self.root + "/oci-layout"):
            return
        from wherry.store import reserve

        try:
            _take(self.root, "oci-layout")
            _take(self.run, "locks")
            for path in self._directories():
                make_private(path)
            write_private(self.root + "/oci-layout", _OCI_LAYOUT)
            reserve.keep(self)
        except OSError as error:
            raise translate(error, "prepare the store") from error

    def _directories(self) -> tuple[str, ...]:
        kept = (self.blobs, self.blobs + "/sha256", self.ingest, self.layers, self.containers, self.volumes, self.cache)
        return (*kept, self.locks, self.run_containers, self.execs, self.netns)

    def container(self, container_id: str) -> str:
        """The directory of one container that survives a reboot."""
        return f"{self.containers}/{container_id}"

    def run_container(self, container_id: str) -> str:
        """The directory of one container that does not survive a reboot."""
        return f"{self.run_containers}/{container_id}"

    def lock(self, container_id: str) -> str:
        """The lock that a container's monitor holds."""
        return f"{self.locks}/{container_id}"

    def exec(self, exec_id: str) -> str:
        """The directory of the monitor of a command that has an id; there while the command runs."""
        return f"{self.execs}/{exec_id}"

    def exec_lock(self, exec_id: str) -> str:
        """The lock that the monitor of a command holds."""
        return f"{self.execs}/{exec_id}/lock"

    def volume(self, name: str) -> str:
        """The directory that a volume's ``_data`` is in."""
        return f"{self.volumes}/{name}"


def _is_private(path: str) -> bool:
    try:
        status = os.stat(path)
    except OSError:
        return False
    return status.st_mode & 0o777 == 0o700 and status.st_uid == os.geteuid()


def _take(root: str, marker: str) -> None:
    """Makes ``root``, or closes it to others when it is empty or has been ours before."""
    _make_parents(os.path.dirname(root))
    make_private(root)
    if _is_private(root):
        return
    owner = os.stat(root).st_uid
    if owner != os.geteuid():  # who could have put an image there, or take what will be
        raise InvalidArgument(f"{root} belongs to another user (uid {owner})", hint="name a directory of your own")
    inside = os.listdir(root)
    if inside and marker not in inside and inside != ["lost+found"]:
        raise InvalidArgument(
            f"{root} has other things in it, and Wherry would close it to other users",
            hint="name a directory that is empty or does not exist",
        )
    os.chmod(root, 0o700)


def _make_parents(path: str) -> None:
    if path and not os.path.isdir(path):
        _make_parents(os.path.dirname(path))
        try:
            os.mkdir(path, 0o755)
        except FileExistsError:
            return
        os.chmod(path, 0o755)


def make_private(path: str) -> None:
    """Makes the directory ``path`` with mode 0700 exactly; no error when it is there."""
    try:
        os.mkdir(path, 0o700)
    except FileExistsError:
        return
    os.chmod(path, 0o700)


def write_private(path: str, data: bytes, *, sync: bool = True) -> None:
    """Replaces the file ``path`` by ``data``, mode 0600: readers, and what a crash leaves, see the old or the new.

    Without ``sync`` a crash of the machine may leave anything.
    """
    aside = f"{path}.{os.getpid()}.{os.urandom(4).hex()}"
    fd = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        try:
            view = memoryview(data)
            while view:
                view = view[os.write(fd, view) :]
            if sync:
                os.fsync(fd)
        finally:
            os.close(fd)
        os.rename(aside, path)
    except BaseException:
        os.unlink(aside)
        raise
    if sync:
        sync_directory(os.path.dirname(path))


def sync_directory(path: str) -> None:
    """Makes the names in directory ``path`` survive a power failure."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def translate(error: OSError, operation: str) -> SystemFailure | StorageFull:
    """The error of ours that ``error`` is: `StorageFull` for a full disk or a used-up quota, else `SystemFailure`."""
    import errno

    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return StorageFull(
            f"{operation}: {os.strerror(error.errno).lower()}",
            hint="free some space where Wherry keeps its state, or remove images with `wherry rmi`",
        )
    where = f" {error.filename}" if error.filename else ""
    return SystemFailure(operation, f"file{where}", error.errno or errno.EIO)
