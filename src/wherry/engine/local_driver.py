"""The ``local`` volume driver: where a volume's data is, and its file system mounted while containers use it.

Only volumes with a ``type`` of their own (tmpfs, nfs, ext4 …) are mounted: on their ``_data``, by the first container
that starts with them, for all (docs/decisions/0096-volumes.md).
"""

from __future__ import annotations

import errno
import os

from wherry.container import local_volume
from wherry.container.local_volume import Local
from wherry.errors import InvalidArgument, NotFound, NotSupported, WherryError
from wherry.linux import mount
from wherry.store import containers
from wherry.store import volumes as rows
from wherry.store.locks import Lock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wherry.container.record import ContainerRecord
    from wherry.engine.engine import Engine
    from wherry.store.volumes import VolumeRow


def check(engine: Engine, driver: str, options: tuple[tuple[str, str], ...]) -> Local:
    """Raises what a volume with this driver and these options is refused for."""
    if driver not in ("", "local"):
        raise NotFound("plugin", driver, f'plugin "{driver}" not found', hint="the only driver is local")
    local = local_volume.parse(dict(options))
    if local.kind and engine.rootless:
        raise NotSupported(
            f"a volume of type {local.kind} has to be mounted by root", hint="use --tmpfs, or a bind: type=none,o=bind"
        )
    return local


def data(engine: Engine, row: VolumeRow) -> str:
    """Where the volume's data is: the directory that is bound into containers."""
    local = local_volume.parse(dict(row.options))
    return local.device if local.device and not local.kind else mountpoint(engine, row.name)


def mountpoint(engine: Engine, name: str) -> str:
    """Where `inspect` says that it is."""
    return f"{engine.layout.volume(name)}/_data"


def attach(engine: Engine, record: ContainerRecord) -> None:
    """Mount what the volumes of a container need to have mounted; the caller holds the container's lock.

    Raises `InvalidArgument` when one cannot be.
    """
    for name, local in _mounted(engine, record).items():
        with _lock(engine, name):
            path = mountpoint(engine, name)
            if not os.path.ismount(path):
                _mount(name, local, path)


def detach(engine: Engine, record: ContainerRecord) -> None:
    """Unmount what nobody uses any more; while other containers hold a volume it stays."""
    for name in _mounted(engine, record):
        release(engine, name, besides=record.id)


def release(engine: Engine, name: str, *, besides: str = "") -> None:
    """Unmount a volume unless a container that runs, or is about to, uses it."""
    with _lock(engine, name):
        path = mountpoint(engine, name)
        if os.path.ismount(path) and not _in_use(engine, name, besides):
            try:
                mount.unmount(path)
            except OSError as error:
                if error.errno != errno.EBUSY:  # somebody on this machine is in it: it goes when they leave
                    raise
                mount.unmount(path, mount.MNT_DETACH)


def _mounted(engine: Engine, record: ContainerRecord) -> dict[str, Local]:
    found: dict[str, Local] = {}
    for point in record.mounts:
        if point.type == "volume":
            try:
                local = local_volume.parse(dict(rows.get(engine.db, point.name).options))
            except NotFound:
                continue
            if local.kind:
                found[point.name] = local
    return found


def _in_use(engine: Engine, name: str, besides: str) -> bool:
    """Whether a container with this volume has a monitor, by the lock that it holds."""
    from wherry.engine.containers import load, monitor_lock

    for row in containers.list_all(engine.db):
        if row.id != besides and any(point.name == name for point in load(row).mounts):
            lock = monitor_lock(engine, row.id)
            if not lock.try_acquire():
                return True
            lock.release(remove=True)
    return False


def _lock(engine: Engine, name: str) -> Lock:
    return Lock(f"{engine.layout.locks}/mount-{name}")


def _mount(name: str, local: Local, path: str) -> None:
    options = tuple(_resolved(name, word) for word in local.options)
    try:
        tree = mount.new(local.kind, options, local.attributes, local.device)
        try:
            mount.attach_at(tree, path)
        finally:
            os.close(tree)
    except OSError as error:
        reason = getattr(error, "message", "") or os.strerror(error.errno or 0).lower()
        raise InvalidArgument(
            f"error while mounting volume '{path}': failed to mount local volume: "
            f"mount {local.device}:{path}, data: {','.join(local.options)}: {reason}"
        ) from None


def _resolved(name: str, word: str) -> str:
    """``addr=`` as the kernel wants it: a number."""
    host = word.removeprefix("addr=")
    if host == word:
        return word
    import socket

    try:
        return f"addr={socket.getaddrinfo(host, None)[0][4][0]}"
    except OSError as error:
        raise WherryError(f"volume {name}: error resolving passed in network volume address {host}: {error}") from None
