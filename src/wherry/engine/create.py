"""``docker create``: from options and an image to a container that can be started.

Whatever fails, the ``undo`` stack of the caller takes back what was made: the row, the directories, new volumes.
"""

from __future__ import annotations

import os
import time

from wherry.container import modes
from wherry.container.check import check
from wherry.container.merge import command, merge
from wherry.container.record import ContainerRecord, new_id
from wherry.engine import events, places
from wherry.errors import Conflict, InvalidArgument, WherryError
from wherry.oci.image import ImageConfig
from wherry.store import containers, networks

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from wherry.container.options import ContainerOptions
    from wherry.container.record import MountPoint
    from wherry.engine.engine import Engine
    from wherry.engine.undo import Undo
    from wherry.network.model import EndpointSettings
    from wherry.store.images import ImageRow

NAME_ATTEMPTS = 20
OWN_RUNTIME = "wherry"
MARK = ".dockerenv"  # by which programs tell that they are in a container


def create(engine: Engine, options: ContainerOptions, image: ImageRow, undo: Undo) -> ContainerRecord:
    """Make a container and everything it keeps on disk.  Raises `InvalidArgument`, `Conflict`, `StorageFull` …"""
    _check_id_file(options)
    config = image_config(image)
    merged = places.with_default(engine, merge(options, config))
    check(merged, **machine_limits(merged))
    wanted = places.decide(engine, merged)
    identity = new_id()
    mounts = _mounts(engine, merged, undo)
    namespace = _user_namespace(engine, image, merged, mounts)
    record = ContainerRecord(
        id=identity,
        name=_checked_name(options.name),
        created=time.time_ns(),
        image_id=image.id,
        image_name=options.image,
        options=merged,
        path=command(merged)[0],
        args=command(merged)[1:],
        mounts=mounts,
        id_base=_joined_ids(engine, merged),
        diff_ids=image.stack,
        manifest=image.manifest,
        snapshotter=image.snapshotter,
        runtime=_runtime(merged.runtime),
        userns_fallback=namespace.reason,
    )
    lease_ids = namespace.own and not engine.rootless and not record.id_base
    record = _insert(engine, record, wanted, lease_ids=lease_ids)
    undo.callback(events.forget_container, engine.db, record)
    _make_directories(engine, record, undo)
    if any(mount.populate for mount in mounts):
        from wherry.engine.volumes import populate

        populate(engine, record)
    _write_id_file(options, record, undo)
    return record


def _runtime(name: str) -> str:
    """The runtime to use; containerd's name for runc, which Docker's clients write, is runc.  Raises `NotFound`."""
    if name in ("", OWN_RUNTIME):
        return OWN_RUNTIME
    from wherry.runtime.external import find_program

    name = "runc" if name == "io.containerd.runc.v2" else name
    find_program(name)
    return name


def _checked_name(name: str) -> str:
    if not name:
        return ""
    from wherry.container.names import check_name

    return check_name(name)


def image_config(image: ImageRow) -> ImageConfig:
    """The image's configuration, from its row."""
    from wherry.oci.image import parse

    return parse(image.config.encode())


def machine_limits(options: ContainerOptions) -> dict[str, Any]:
    """What the checks of an option need to know of the machine, when it was given."""
    found: dict[str, Any] = {}
    if options.nano_cpus:
        found["cpus"] = os.cpu_count() or 0
    if options.cpuset_cpus:
        found["cpuset"] = _read("/sys/devices/system/cpu/online")
    if options.cpuset_mems:
        found["mems"] = _read("/sys/devices/system/node/online")
    return found


def _read(path: str) -> str:
    try:
        with open(path) as file:
            return file.read().strip()
    except OSError:
        return ""


def _mounts(engine: Engine, options: ContainerOptions, undo: Undo) -> tuple[MountPoint, ...]:
    if not (options.binds or options.mounts or options.tmpfs or options.volumes or options.volumes_from):
        return ()
    from wherry.engine.volumes import decide

    return decide(engine, options, undo)


def _joined_ids(engine: Engine, options: ContainerOptions) -> int:
    """The ids of the container whose namespaces are joined: its user namespace comes with them."""
    if engine.rootless:
        return 0
    from wherry.engine.containers import find, load

    return next((load(find(engine, name)).id_base for _kind, name in modes.joined(options)), 0)


def _user_namespace(
    engine: Engine, image: ImageRow, options: ContainerOptions, mounts: tuple[MountPoint, ...]
) -> modes.UserNamespace:
    """Whether the container has ids of its own; another container's namespaces bring that container's ids with them."""
    if engine.rootless:
        return modes.UserNamespace(True)
    if modes.joined(options):
        return modes.UserNamespace(False)
    without: tuple[str, ...] = ()
    beyond: tuple[str, ...] = ()
    if mounts:
        from wherry.engine.idmap import beyond_the_range, without_id_maps

        without, beyond = without_id_maps(mounts), beyond_the_range(mounts)
    return modes.own_user_namespace(
        options,
        mounts,
        layers=image.snapshotter == "erofs" or engine.layers_can_be_mapped,
        binds=not options.runtime or options.runtime == OWN_RUNTIME,
        without=without,
        beyond=beyond,
    )


def _insert(
    engine: Engine, record: ContainerRecord, wanted: list[tuple[str, EndpointSettings]], *, lease_ids: bool
) -> ContainerRecord:
    """Take the name (a random one when none was asked for), the ids, the places in networks and the hold on the image
    at once."""
    for attempt in range(NAME_ATTEMPTS):
        named = record
        if not record.name:
            from wherry.container.names import random_name

            named = record.replace(name=random_name(attempt))
        try:
            with engine.db.transaction():
                row = containers.ContainerRow(
                    named.id, named.name, named.image_id, named.to_json(), "created", created=named.created
                )
                if named.mounts:
                    from wherry.engine.volumes import hold

                    hold(engine, named)
                leased = containers.insert(engine.db, row, lease_ids=lease_ids).id_base
                for network_id, settings in wanted:
                    networks.add_endpoint(engine.db, places.new_endpoint(network_id, named.id, settings))
                events.of_container(engine.db, named, "create")
                return named.replace(id_base=leased or named.id_base)
        except Conflict:
            if record.name:
                raise
    raise WherryError("no unused container name was found", hint="give one with --name")


def _make_directories(engine: Engine, record: ContainerRecord, undo: Undo) -> None:
    layout = engine.layout
    os.mkdir(layout.container(record.id), 0o700)
    undo.callback(_remove_files, engine, record)
    os.mkdir(layout.run_container(record.id), 0o700)
    make_upper(engine, record)


def make_upper(engine: Engine, record: ContainerRecord) -> None:
    """The directories that a container writes to, empty."""
    base = record.id_base
    engine.snapshotter.make_upper(record.id, base or os.geteuid(), base or os.getegid(), (MARK,))


def _remove_files(engine: Engine, record: ContainerRecord) -> None:
    from wherry.engine.clean import remove_container_files

    remove_container_files(engine, record)


def _check_id_file(options: ContainerOptions) -> None:
    if options.container_id_file and os.path.exists(options.container_id_file):
        raise InvalidArgument(
            "container ID file found, make sure the other container isn't running or delete "
            + options.container_id_file
        )


def _write_id_file(options: ContainerOptions, record: ContainerRecord, undo: Undo) -> None:
    if not options.container_id_file:
        return
    try:
        fd = os.open(options.container_id_file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise InvalidArgument(
            f"failed to create the container ID file: open {options.container_id_file}: "
            + (error.strerror or str(error)).lower()
        ) from None
    undo.callback(os.unlink, options.container_id_file)
    with open(fd, "w") as file:
        file.write(record.id)
