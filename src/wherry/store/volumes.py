"""The named volumes.  Their data is in the layout's ``volumes/<name>/_data``."""

from __future__ import annotations

from wherry import fastjson
from wherry.errors import Conflict, InvalidArgument, NotFound
from wherry.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wherry.store.db import Database, Row

_FIRST = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789")
_NAME = _FIRST | frozenset("_.-")


class VolumeRow(Record):
    """``options`` and ``labels`` are pairs; ``created`` is epoch nanoseconds."""

    name: str
    driver: str = "local"
    options: tuple[tuple[str, str], ...] = ()
    labels: tuple[tuple[str, str], ...] = ()
    created: int = 0


def _pairs(text: str) -> tuple[tuple[str, str], ...]:
    return tuple((key, value) for key, value in fastjson.loads(text))


def _row(found: Row) -> VolumeRow:
    return VolumeRow(found[0], found[1], _pairs(found[2]), _pairs(found[3]), found[4])


def check_name(name: str) -> None:
    """Raises `InvalidArgument` in Docker's words unless ``name`` may name a volume, and so a directory."""
    if len(name) == 1:
        raise InvalidArgument("volume name is too short, names should be at least two alphanumeric characters")
    if not name or name[0] not in _FIRST or not _NAME.issuperset(name):
        raise InvalidArgument(
            f'"{name}" includes invalid characters for a local volume name, only "[a-zA-Z0-9][a-zA-Z0-9_.-]" are '
            "allowed. If you intended to pass a host directory, use absolute path"
        )
    if len(name) > 255:
        raise InvalidArgument(f"volume name is too long, {len(name)} characters, maximum 255")


def create(db: Database, row: VolumeRow) -> tuple[VolumeRow, bool]:
    """The volume of that name and whether it is new.  Raises `Conflict` when it is there with another driver."""
    check_name(row.name)
    with db.transaction():
        found = db.row("SELECT * FROM volumes WHERE name = ?", (row.name,))
        if found is None:
            values = (row.name, row.driver, fastjson.dumps(row.options), fastjson.dumps(row.labels), row.created)
            db.execute("INSERT INTO volumes VALUES (?, ?, ?, ?, ?)", values)
            return row, True
    there = _row(found)
    if there.driver != row.driver:
        raise Conflict(f"a volume named {row.name!r} is already there with the driver {there.driver!r}")
    return there, False


def get(db: Database, name: str) -> VolumeRow:
    """Raises `NotFound` in Docker's words."""
    found = db.row("SELECT * FROM volumes WHERE name = ?", (name,))
    if found is None:
        raise NotFound("volume", name, f"get {name}: no such volume")
    return _row(found)


def list_all(db: Database) -> list[VolumeRow]:
    """Every volume, by name."""
    return [_row(found) for found in db.rows("SELECT * FROM volumes ORDER BY name")]


def delete(db: Database, name: str) -> None:
    """Forgets a volume.  Raises `NotFound`."""
    if not db.execute("DELETE FROM volumes WHERE name = ?", (name,)):
        raise NotFound("volume", name, f"get {name}: no such volume")
