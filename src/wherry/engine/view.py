"""A container's files as its own root sees them: rootfs, volumes, binds, under the container's ids.

Everything is done by a child process that has a descriptor of the container's root and resolves every path in it; it
never makes that root its own, so nothing of the container can be loaded into it (CVE-2019-14271).  Of a container that
runs the root is that of its first process, mounts included.  Of one that does not, root file system and mounts are
put together in a mount namespace that ends with the child; the container's lock is held meanwhile.  Where the container
has a user namespace the child enters it: it can do what the container's root can, and no more.
"""

from __future__ import annotations

import errno
import os
import time

from wherry.container.record import ID_COUNT
from wherry.engine import local_driver
from wherry.engine.containers import ALIVE, find, load, monitor_lock
from wherry.engine.worker import Worker
from wherry.errors import Conflict, Forbidden, SystemFailure
from wherry.linux import mount as m
from wherry.linux import namespaces, openat2, trees
from wherry.linux.ids import IdMap
from wherry.runtime import compat
from wherry.runtime.exec import open_process
from wherry.runtime.ops import OpenBind, OpenRoot
from wherry.runtime.trees import open_bind, open_root

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Self, TypeVar

    from wherry.container.record import ContainerRecord, MountPoint
    from wherry.engine.engine import Engine

    T = TypeVar("T")

_PATIENCE = 30.0  # seconds that another command may take to finish with the container
_NAP = 0.02
_ETC = ("resolv.conf", "hostname", "hosts")


class View:
    """The files of one container; a context manager.  ``start`` makes one child, ``mounts`` False leaves out what is
    mounted on the root file system.  Raises `NotFound`, `Conflict` while another command has the container."""

    def __init__(self, engine: Engine, name: str) -> None:
        self._engine = engine
        self._row = find(engine, name)
        self.record = load(self._row)
        self._lock = monitor_lock(engine, self._row.id)
        self._root = self._user = self._mounts = -1

    def __enter__(self) -> Self:
        until = time.monotonic() + _PATIENCE
        while not self._take():
            if time.monotonic() > until:
                raise Conflict(f"container {self._row.id} is being used by another command")
            time.sleep(_NAP)
        if self._lock.fd >= 0 and self.record.mounts:
            try:
                local_driver.attach(self._engine, self.record)
            except BaseException:
                self.__exit__()
                raise
        return self

    def __exit__(self, *_error: object) -> None:
        for fd in (self._root, self._user, self._mounts):
            if fd >= 0:
                os.close(fd)
        self._root = self._user = self._mounts = -1
        if self._lock.fd >= 0:
            try:
                if self.record.mounts:
                    local_driver.detach(self._engine, self.record)
            finally:
                self._lock.release(remove=True)

    @property
    def running(self) -> bool:
        """Whether the container runs (or is paused): then others may change what is seen."""
        return self._row.status in ALIVE

    def _take(self) -> bool:
        """Get hold of the root of a running container, or of the lock of one that does not run."""
        self._row = row = find(self._engine, self._row.id)
        if row.status == "restarting":
            raise Conflict(f"container {row.id} is restarting, wait until the container is running")
        if row.status not in ALIVE:
            if not self._lock.try_acquire():
                return False
            if find(self._engine, row.id).status not in ALIVE:
                return True
            self._lock.release(remove=True)  # it was started and ended in between
            return False
        try:
            pid, pidfd = open_process(row.pid, None)
        except Conflict:
            return False  # it has ended, and its monitor is noting it
        try:
            self._root = os.open(f"/proc/{pid}/root", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
            self._user = os.open(f"/proc/{pid}/ns/user", os.O_RDONLY | os.O_CLOEXEC)
            self._mounts = os.open(f"/proc/{pid}/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
        except (FileNotFoundError, ProcessLookupError):
            self.__exit__()
            return False
        finally:
            os.close(pidfd)
        if find(self._engine, row.id).pid != row.pid:  # the number may have been another process's already
            self.__exit__()
            return False
        if os.path.samestat(os.fstat(self._user), os.stat("/proc/self/ns/user")):
            os.close(self._user)
            self._user = -1
        return True

    def start(self, function: Callable[[int], T], *, mounts: bool = True) -> Worker[T]:
        """Begin to call ``function`` with a descriptor of the container's root, in a child with the container's ids."""
        engine = self._engine
        if self.running:
            return Worker(engine, lambda: self._inside(function, mounts), lambda child: namespaces.start(0, child))
        if engine.rootless:
            return Worker(
                engine,
                lambda: function(_put_together(engine, self.record, -1, mounts=mounts)),
                lambda child: namespaces.start_in_user_namespace(engine.id_maps, child),
            )
        if self.record.id_base and self._user < 0:
            maps = (IdMap(0, self.record.id_base, ID_COUNT),)
            self._user = namespaces.holder(maps, maps)
        return Worker(
            engine,
            lambda: self._assembled(function, mounts),
            lambda child: namespaces.start(namespaces.CLONE_NEWNS, child),
        )

    def call(self, function: Callable[[int], T], *, mounts: bool = True) -> T:
        """`start`, and wait for what ``function`` returns."""
        with self.start(function, mounts=mounts) as worker:
            return worker.result()

    def _inside(self, function: Callable[[int], T], mounts: bool) -> T:
        become_root(self._user)
        return function(self._root if mounts else compat.in_child(self._bare_root))

    def _bare_root(self) -> int:
        """The root file system of a running container without its mounts, in a child that does nothing else: a mount
        can be cloned only by who is in its mount namespace."""
        namespaces.enter(self._mounts, namespaces.CLONE_NEWNS)
        return m.clone_tree("", at=self._root)

    def _assembled(self, function: Callable[[int], T], mounts: bool) -> T:
        root = _put_together(self._engine, self.record, self._user, mounts=mounts)
        become_root(self._user)
        return function(root)


def become_root(user_namespace: int) -> None:
    """Enter a user namespace as its root, without groups from outside; -1: stay."""
    if user_namespace < 0:
        return
    namespaces.enter(user_namespace, namespaces.CLONE_NEWUSER)
    os.setresgid(0, 0, 0)
    try:
        os.setgroups([])
    except PermissionError:
        pass  # where a single group is mapped, groups cannot be set (user_namespaces(7))
    os.setresuid(0, 0, 0)


def _put_together(engine: Engine, record: ContainerRecord, user: int, *, mounts: bool) -> int:
    """The root of a container that does not run, in the calling process's mount namespace, which is its own."""
    m.set_propagation("/", m.MS_PRIVATE, recursive=True)

    def ids(_uids: object, _gids: object) -> int:
        return os.dup(user)

    described = engine.mounts(record, record.id, idmap=bool(record.id_base))
    root = open_root(OpenRoot(0, described, m.ATTR_NODEV if user >= 0 or engine.rootless else 0), ids)
    m.attach_at(root, "/")
    if mounts:
        for op, target in _binds(engine, record, mapped=user >= 0):
            _attach(root, open_bind(op, ids), target, user)
    if record.options.readonly_rootfs:
        m.set_read_only(root, attributes=m.ATTR_RDONLY)
    return root


def _binds(engine: Engine, record: ContainerRecord, *, mapped: bool) -> list[tuple[OpenBind, str]]:
    """What is mounted on the root file system, shallow before deep; a tmpfs is empty while nothing runs."""
    directory = engine.layout.container(record.id)
    found = [
        (_bind(f"{directory}/{name}", mapped=mapped, read_only=record.options.readonly_rootfs), f"/etc/{name}")
        for name in _ETC
        if os.path.exists(f"{directory}/{name}")
    ]
    taken = {mount.destination for mount in record.mounts}
    found = [one for one in found if one[1] not in taken]
    found += [(_point(mount, mapped), mount.destination) for mount in record.mounts if mount.type != "tmpfs"]
    return sorted(found, key=lambda one: one[1].rstrip("/").count("/"))


def _point(mount: MountPoint, mapped: bool) -> OpenBind:
    op = _bind(mount.source, mapped=mapped, recursive="rbind" in mount.options, read_only=not mount.rw)
    if mount.type == "volume":
        op = op.replace(set=op.set | m.ATTR_NODEV, idmap_deep=False)
    return op.replace(subdirectory=mount.subpath)


def _bind(source: str, *, mapped: bool, recursive: bool = False, read_only: bool = False) -> OpenBind:
    attributes = m.ATTR_RDONLY if read_only else 0
    return OpenBind(
        0, source, recursive, 0 if recursive else attributes, 0, attributes if recursive else 0, 0,
        mapped, mapped and recursive, (), (), "",
    )  # fmt: skip


def _attach(root: int, tree: int, target: str, user: int) -> None:
    """Mount ``tree`` inside the root; a place that is missing is made by the container's root."""
    directory = not _is_file(tree)
    try:
        place = openat2.open_in(root, target, os.O_PATH)
    except FileNotFoundError:
        make = openat2.make_directories if directory else openat2.make_file

        def make_place() -> int:
            become_root(user)
            os.close(make(root, target))
            return 0

        _, status = os.waitpid(namespaces.start(0, make_place), 0)
        if status:
            raise SystemFailure(f"making a place for the mount at {target}", "mkdir", errno.EIO) from None
        place = openat2.open_in(root, target, os.O_PATH)
    try:
        if directory == _is_file(place):
            raise Conflict(f"{target} is a directory and its source is not, or the other way round")
        if m.is_pseudo(place):
            raise Forbidden(f'"{target}" cannot be mounted because it is inside /proc')
        m.attach(tree, place)
    finally:
        os.close(place)
        os.close(tree)


def _is_file(fd: int) -> bool:
    return not trees.is_directory(fd)
