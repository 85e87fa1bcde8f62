"""The containers.  A row is made when a container is created and goes when it is removed.

The name, the range of host ids and the hold on the image are taken in one transaction, so that two processes can
neither share a name or a range, nor remove an image under a container that is being made.
"""

from __future__ import annotations

from wherry.errors import Conflict, InvalidArgument, NotFound, StorageFull
from wherry.oci.digest import is_hex
from wherry.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wherry.store.db import Database, Row

ID_FIRST = 0x70000000
ID_LAST = 0x7FFF0000
ID_COUNT = 65536
"""Host ids that containers of root own: ranges of `ID_COUNT` that begin at `ID_FIRST` … `ID_LAST`."""

_FIXED = ("id", "image_id", "id_base", "created")


class ContainerRow(Record):
    """``record`` is JSON text; ``status`` is Docker's word for the state; times are epoch nanoseconds, 0 for never.

    ``id_base`` is the first of the container's own host ids, 0 when it has none.  ``error`` says why the last start
    failed; ``oom_killed`` is 1 when the kernel ended it for its memory limit, ``stopped`` when somebody asked it to
    end.
    """

    id: str
    name: str
    image_id: str = ""
    record: str = ""
    status: str = "created"
    pid: int = 0
    exit_code: int = 0
    started_at: int = 0
    finished_at: int = 0
    id_base: int = 0
    created: int = 0
    error: str = ""
    oom_killed: int = 0
    restart_count: int = 0
    stopped: int = 0
    health: str = ""
    boot: str = ""


_CHANGEABLE = frozenset(ContainerRow._fields).difference(_FIXED)


def insert(db: Database, row: ContainerRow, *, lease_ids: bool = False) -> ContainerRow:
    """Adds a container and returns its row, with ``id_base`` set when ``lease_ids``.

    Raises `Conflict` when the name is taken, `NotFound` when the image is gone, `StorageFull` when no range is free.
    """
    with db.transaction():
        other = db.row("SELECT id FROM containers WHERE name = ?", (row.name,))
        if other is not None:
            raise Conflict(
                f'Conflict. The container name "/{row.name}" is already in use by container "{other[0]}". '
                "You have to remove (or rename) that container to be able to reuse that name."
            )
        if row.image_id and db.row("SELECT 1 FROM images WHERE id = ?", (row.image_id,)) is None:
            raise NotFound("image", row.image_id)
        if lease_ids:
            row = row.replace(id_base=_free_range(db))
        values = [getattr(row, field) for field in ContainerRow._fields]
        marks = ", ".join("?" * len(values))
        db.execute(f"INSERT INTO containers VALUES ({marks})", values)
    return row


def _free_range(db: Database) -> int:
    if db.row("SELECT 1 FROM containers WHERE id_base = ?", (ID_FIRST,)) is None:
        return ID_FIRST
    found = db.row(
        "SELECT min(id_base) + ? FROM containers AS here WHERE id_base > 0 AND NOT EXISTS"
        " (SELECT 1 FROM containers WHERE id_base > 0 AND id_base = here.id_base + ?)",
        (ID_COUNT, ID_COUNT),
    )
    assert found is not None
    if found[0] > ID_LAST:
        raise StorageFull(
            "every range of user ids is in use by a container", hint="remove containers that are no longer needed"
        )
    base: int = found[0]
    return base


def update(db: Database, container_id: str, **changes: str | int) -> None:
    """Changes fields of the container with this full id.  Raises `NotFound`, and `Conflict` for a taken name."""
    if not _CHANGEABLE.issuperset(changes):
        raise ValueError(f"cannot change {sorted(set(changes) - _CHANGEABLE)}")
    names = ", ".join(f"{name} = ?" for name in changes)
    with db.transaction():
        if "name" in changes:
            other = db.row("SELECT id FROM containers WHERE name = ? AND id != ?", (changes["name"], container_id))
            if other is not None:
                raise Conflict(f'Conflict. The container name "/{changes["name"]}" is already in use by "{other[0]}".')
        if not db.execute(f"UPDATE containers SET {names} WHERE id = ?", (*changes.values(), container_id)):
            raise NotFound("container", container_id)


def delete(db: Database, container_id: str) -> None:
    """Forgets the container with this full id, and frees its name and ids; no error when it is gone."""
    db.execute("DELETE FROM containers WHERE id = ?", (container_id,))


def get(db: Database, text: str) -> ContainerRow:
    """The container with this full id, this name, or this beginning of an id, in that order.

    Raises `NotFound`, or `InvalidArgument` when the beginning fits several.
    """
    found = db.row("SELECT * FROM containers WHERE id = ?", (text,))
    if found is None:
        found = db.row("SELECT * FROM containers WHERE name = ?", (text.removeprefix("/"),))
    if found is None and is_hex(text):
        beginning = db.rows("SELECT * FROM containers WHERE id >= ? AND id < ? LIMIT 2", (text, text + "g"))
        if len(beginning) > 1:
            raise InvalidArgument(f"multiple IDs found with provided prefix: {text}")
        found = beginning[0] if beginning else None
    if found is None:
        raise NotFound("container", text)
    return _row(found)


def _row(found: Row) -> ContainerRow:
    return ContainerRow(*found)


def list_all(db: Database) -> list[ContainerRow]:
    """Every container, the newest first."""
    return [_row(found) for found in db.rows("SELECT * FROM containers ORDER BY created DESC, id")]


def statuses(db: Database) -> dict[str, str]:
    """Every container's status, by id."""
    return {str(identity): str(status) for identity, status in db.rows("SELECT id, status FROM containers")}


def using_image(db: Database, image_id: str) -> list[ContainerRow]:
    """The containers made from an image, the newest first."""
    query = "SELECT * FROM containers WHERE image_id = ? ORDER BY created DESC, id"
    return [_row(found) for found in db.rows(query, (image_id,))]
