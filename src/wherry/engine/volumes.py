"""Volumes as containers use them: made when first named, filled from the image when empty, removed when nobody's."""

from __future__ import annotations

import errno
import os
import time

from wherry.container import volumes
from wherry.engine.clean import as_owner, remove_tree
from wherry.errors import Conflict, InvalidArgument, NotFound, WherryError
from wherry.linux import openat2
from wherry.linux.mount import ATTR_NODEV, ATTR_NOSUID
from wherry.linux.treecopy import copy_contents
from wherry.linux.trees import DIRECTORY
from wherry.oci.mount import Mount
from wherry.runtime.trees import open_overlay
from wherry.store import volumes as rows
from wherry.store.locks import Lock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wherry.container.options import ContainerOptions
    from wherry.container.record import ContainerRecord, MountPoint
    from wherry.engine.engine import Engine
    from wherry.engine.undo import Undo


def decide(engine: Engine, options: ContainerOptions, undo: Undo) -> tuple[MountPoint, ...]:
    """The mounts of a new container, with their sources in place; volumes made here are undone with the rest."""
    from wherry.engine.containers import find, load

    inherited = []
    for text in options.volumes_from:
        name, mode = volumes.volumes_from(text)
        inherited.append((load(find(engine, name)).mounts, mode))
    points = volumes.plan(options, tuple(inherited))
    volumes.check_sources(points)
    if any(point.propagation.lstrip("r") in ("shared", "slave") for point in points):
        from wherry.container import propagation

        with open("/proc/self/mountinfo") as file:
            propagation.check(points, file.read())
    return tuple(_with_source(engine, point, undo) if point.type == "volume" else point for point in points)


def _with_source(engine: Engine, point: MountPoint, undo: Undo) -> MountPoint:
    from wherry.engine import local_driver
    from wherry.engine.volume_objects import ANONYMOUS, make

    labels = ((ANONYMOUS, ""), *point.labels) if point.anonymous else point.labels
    row = rows.VolumeRow(point.name, point.driver or "local", point.driver_options, labels, time.time_ns())
    row, made = make(engine, row)
    if made:
        undo.callback(remove_unused, engine, [point.name])
    local = local_driver.check(engine, row.driver, row.options)
    data = local_driver.data(engine, row)
    if point.subpath and not local.kind:
        _check_subpath(data, point)
    return point.replace(source=data, rw=point.rw and not local.read_only, populate=point.populate and not local.kind)


def hold(engine: Engine, record: ContainerRecord) -> None:
    """In the transaction that makes the container's row: its volumes are still there.  Raises `NotFound`."""
    for point in record.mounts:
        if point.type == "volume":
            rows.get(engine.db, point.name)


def _check_subpath(data: str, point: MountPoint) -> None:
    root = os.open(data, DIRECTORY)
    try:
        os.close(openat2.open_in(root, point.subpath, os.O_PATH, openat2.BENEATH | openat2.NO_SYMLINKS))
    except OSError as error:
        raise InvalidArgument(
            f"cannot access path {point.subpath} in volume {point.name}: {os.strerror(error.errno or 0).lower()}"
        ) from None
    finally:
        os.close(root)


def populate(engine: Engine, record: ContainerRecord) -> None:
    """Fill the empty volumes of a new container with what its image has at their destinations (docker-run(1), -v).

    A volume that holds anything is never touched (CVE-2020-1726).  It is filled aside and put in place whole, so that
    a command that is killed leaves it empty; only where a running container has it mounted is it filled in place.
    """
    from wherry.engine.containers import load
    from wherry.store import containers

    wanted = [point for point in record.mounts if point.populate]
    lower = engine.lower_layers(record)  # kept open as long as ``fill`` is
    running = [load(row) for row in containers.list_all(engine.db) if row.status in ("running", "paused")]
    mounted = {mount.name for other in running for mount in other.mounts}

    def fill() -> int:
        for point in wanted:
            with Lock(f"{engine.layout.locks}/volume-{point.name}"):
                if not os.listdir(point.source):
                    inside = point.source.startswith(f"{engine.layout.volumes}/")
                    _fill(lower, point, point.name in mounted or not inside, userxattr=engine.rootless)
        return 0

    if as_owner(engine, fill) != 0:
        raise WherryError(f"volume {wanted[0].name}: copying the image's files into it failed")


def _fill(lower: tuple[str, ...], point: MountPoint, in_place: bool, *, userxattr: bool) -> None:
    root = _image_root(lower, userxattr=userxattr)
    try:
        source = openat2.open_in(root, point.destination, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR):
            return  # the image has no such directory: the volume starts empty
        raise
    finally:
        os.close(root)
    try:
        if in_place:
            _copy(source, point.source)
            return
        aside = f"{point.source}.filling"
        remove_tree(aside)  # what a killed command left
        os.mkdir(aside, 0o700)
        _copy(source, aside)
        os.rename(aside, point.source)
    finally:
        os.close(source)


def _copy(source: int, path: str) -> None:
    target = os.open(path, DIRECTORY)
    try:
        copy_contents(source, target)
    finally:
        os.close(target)


def _image_root(lower: tuple[str, ...], *, userxattr: bool) -> int:
    """The image's files, read-only and attached nowhere (overlayfs needs two directories, one is itself)."""
    if len(lower) == 1:
        return os.open(lower[0], DIRECTORY)
    options = ("userxattr",) if userxattr else ()
    return open_overlay(Mount("overlay", lower=lower, options=options), ATTR_NODEV | ATTR_NOSUID, _no_namespaces)


def _no_namespaces(_uids: object, _gids: object) -> int:
    raise AssertionError("the layers are shown as they are")


def remove_unused(engine: Engine, names: list[str]) -> None:
    """Remove volumes that no container uses; the others, and those that are gone, are left alone."""
    from wherry.engine.volume_objects import remove

    for name in names:
        try:
            remove(engine, name)
        except (Conflict, NotFound):
            continue
