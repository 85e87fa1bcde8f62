"""``docker volume``: made, listed, inspected, removed; the documents are Docker's (Engine API, ``/volumes``)."""

from __future__ import annotations

import fcntl
import os
import time

from wherry.engine import events, local_driver, room
from wherry.engine.clean import as_owner, remove_tree
from wherry.errors import Conflict, InvalidArgument, NotFound
from wherry.record import Record
from wherry.store import containers
from wherry.store import volumes as rows

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from wherry.engine.engine import Engine
    from wherry.store.volumes import VolumeRow

ANONYMOUS = "com.docker.volume.anonymous"
"""The label of a volume that nobody named."""

_FILTERS = ("dangling", "driver", "label", "name")
_REMOVING = ".removing-"


class NewVolume(Record):
    """What a volume is to be; ``name`` "" for one that nobody names."""

    name: str = ""
    driver: str = "local"
    options: tuple[tuple[str, str], ...] = ()
    labels: tuple[tuple[str, str], ...] = ()


def create(engine: Engine, new: NewVolume) -> VolumeRow:
    """The volume, made or found.  Raises `InvalidArgument`, `NotFound` for a driver, `Conflict` for another's name."""
    name, labels = new.name, new.labels
    if not name:
        from wherry.container.volumes import new_volume_name

        name, labels = new_volume_name(), ((ANONYMOUS, ""), *labels)
    return make(engine, rows.VolumeRow(name, new.driver or "local", new.options, labels, time.time_ns()))[0]


def make(engine: Engine, row: VolumeRow) -> tuple[VolumeRow, bool]:
    """The volume of that name, with its directory, and whether it is new.  Raises what `create` does."""
    local_driver.check(engine, row.driver, row.options)
    with engine.db.transaction():
        row, made = rows.create(engine.db, row)
        if made:
            events.of_volume(engine.db, row.name, "create", driver=row.driver)
    os.makedirs(local_driver.mountpoint(engine, row.name), 0o755, exist_ok=True)
    return row, made


def users(engine: Engine) -> dict[str, list[str]]:
    """The ids of the containers that have each volume, running or not."""
    from wherry.engine.containers import load

    found: dict[str, list[str]] = {}
    for row in containers.list_all(engine.db):
        for mount in load(row).mounts:
            if mount.type == "volume":
                found.setdefault(mount.name, []).append(row.id)
    return found


def list_volumes(engine: Engine, filters: Mapping[str, Sequence[str]] | None = None) -> list[VolumeRow]:
    """By name.  ``filters`` are Docker's: dangling (true or false), driver, name (a part of it), label; of labels all
    have to be there, of the others one.  Raises `InvalidArgument`."""
    wanted = filters or {}
    for name in wanted:
        if name not in _FILTERS:
            raise InvalidArgument(f"invalid filter '{name}'", hint=f"known are {', '.join(_FILTERS)}")
    used = users(engine) if "dangling" in wanted else {}
    dangling = {_truth(text) for text in wanted.get("dangling", ())}
    return [
        row
        for row in rows.list_all(engine.db)
        if (not dangling or (row.name not in used) in dangling)
        and ("driver" not in wanted or row.driver in wanted["driver"])
        and ("name" not in wanted or any(text in row.name for text in wanted["name"]))
        and all(has_label(dict(row.labels), text) for text in wanted.get("label", ()))
    ]


def _truth(text: str) -> bool:
    if text.lower() not in ("1", "t", "true", "0", "f", "false"):
        raise InvalidArgument(f"invalid filter 'dangling={text}'")
    return text.lower() in ("1", "t", "true")


def has_label(labels: Mapping[str, str], text: str) -> bool:
    """Whether there is a label ``name``, or ``name=value``."""
    name, equals, value = text.partition("=")
    return name in labels and (not equals or labels[name] == value)


def document(engine: Engine, row: VolumeRow) -> dict[str, Any]:
    """Docker's JSON of a volume."""
    return {
        "CreatedAt": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(row.created // 1_000_000_000)),
        "Driver": row.driver,
        "Labels": dict(row.labels) or None,
        "Mountpoint": local_driver.mountpoint(engine, row.name),
        "Name": row.name,
        "Options": dict(row.options) or None,
        "Scope": "local",
    }


def documents(engine: Engine, filters: Mapping[str, Sequence[str]]) -> list[dict[str, Any]]:
    """Docker's JSON of what `list_volumes` finds."""
    return [document(engine, row) for row in list_volumes(engine, filters)]


def inspect(engine: Engine, name: str) -> dict[str, Any]:
    """Docker's JSON of one volume.  Raises `NotFound`."""
    return document(engine, rows.get(engine.db, name))


def remove(engine: Engine, name: str) -> None:
    """Remove a volume and its data.  Raises `NotFound`, `Conflict` when a container has it, running or not."""
    room.writing(engine, lambda: _forget(engine, name))
    sweep(engine)
    room.made(engine)


def _forget(engine: Engine, name: str) -> None:
    place, aside = engine.layout.volume(name), f"{engine.layout.volumes}/{_REMOVING}{os.urandom(8).hex()}"
    try:
        with engine.db.transaction():
            row = rows.get(engine.db, name)
            using = users(engine).get(name)
            if using:
                raise Conflict(f"remove {name}: volume is in use - [{', '.join(using)}]")
            local_driver.release(engine, name)
            rows.delete(engine.db, name)
            events.of_volume(engine.db, name, "destroy", driver=row.driver)
            if os.path.lexists(place):
                os.rename(place, aside)  # whoever makes the name anew finds nothing of this one
    except BaseException:
        if os.path.lexists(aside):  # a full disk: it stays
            os.rename(aside, place)
        raise


def sweep(engine: Engine) -> None:
    """Remove the data of volumes that are gone, also of those whose remover was killed."""
    left = [name for name in os.listdir(engine.layout.volumes) if name.startswith(_REMOVING)]
    if not left:
        return

    def away() -> int:
        for name in left:
            path = f"{engine.layout.volumes}/{name}"
            with HeldDirectory(path) as ours:
                if ours:
                    remove_tree(path)
        return 0

    as_owner(engine, away)


class HeldDirectory:
    """``with HeldDirectory(path) as ours:`` the directory is locked, unless it is gone or somebody else has locked it:
    who removes a large volume does for minutes."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._fd = -1

    def __enter__(self) -> bool:
        try:
            self._fd = os.open(self._path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (FileNotFoundError, BlockingIOError):
            return False
        return True

    def __exit__(self, *_error: object) -> None:
        if self._fd >= 0:
            os.close(self._fd)


def abandoned(engine: Engine) -> list[str]:
    """The directories of volumes whose remover was killed."""
    found = []
    for name in os.listdir(engine.layout.volumes):
        if name.startswith(_REMOVING):
            path = f"{engine.layout.volumes}/{name}"
            with HeldDirectory(path) as ours:
                if ours:
                    found.append(path)
    return found


def unknown(engine: Engine) -> list[str]:
    """The names of directories of volumes that have no row.  A row is made before its directory, and goes after it."""

    def is_unknown(name: str) -> bool:
        try:
            rows.get(engine.db, name)
        except NotFound:
            return True
        return False

    names = [name for name in os.listdir(engine.layout.volumes) if not name.startswith(".") and is_unknown(name)]
    names = [name for name in names if os.path.isdir(engine.layout.volume(name))]  # not removed meanwhile
    return sorted(filter(is_unknown, names))


def adopt(engine: Engine, name: str) -> None:
    """List a volume again of which there are only the files."""
    make(engine, rows.VolumeRow(name, created=time.time_ns()))


def size(engine: Engine, name: str) -> int:
    """Bytes in a volume's files, as Docker counts them; 0 where they are somebody else's (a bind, a mount)."""
    from wherry.engine.unpack import in_store
    from wherry.linux import trees

    row = rows.get(engine.db, name)
    if row.options:
        return 0
    path = local_driver.mountpoint(engine, name)

    def measure() -> int:
        try:
            return trees.usage(path)[0]
        except FileNotFoundError:
            return 0

    return in_store(engine, measure)


def prune(engine: Engine, filters: Mapping[str, Sequence[str]], *, everything: bool) -> tuple[list[str], int]:
    """Remove the volumes that no container has, of those only the ones that nobody named unless ``everything``.

    Their names, and the bytes that became free.  ``filters``: with every ``label``, with none of ``label!``.
    """
    from wherry.engine.prune import allowed, keeps

    allowed(filters, ("label", "label!"))
    sweep(engine)
    used, removed, freed = users(engine), [], 0
    for row in rows.list_all(engine.db):
        labels = dict(row.labels)
        if row.name in used or keeps(labels, filters) or not (everything or ANONYMOUS in labels):
            continue
        try:
            bytes_ = size(engine, row.name)
            remove(engine, row.name)
        except (Conflict, NotFound):
            continue  # taken by a container, or removed, meanwhile
        removed.append(row.name)
        freed += bytes_
    room.writing(engine, lambda: events.record(engine.db, "volume", "prune", "", {"reclaimed": str(freed)}))
    room.made(engine)
    return removed, freed
