"""The layers: one row each, written when the layer is complete on disk.

Apart from that, which compressed blob is which layer, noted when a blob has been decompressed and seen to be so: a
manifest that pairs a blob with another layer's diff id is lying.
"""

from __future__ import annotations

from wherry import fastjson
from wherry.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wherry.store.db import Database, Row


class LayerRow(Record):
    """``size`` is bytes of file content, ``entries`` tar entries.

    ``implied_dirs`` are directories that the tar has no entry for, ``missing_links`` are (name, target) of hard links
    whose target lies in a layer below: what an image needs a fix-up for (design: state).  ``unfit`` says why this layer
    can only be unpacked, and not be mounted as the tar that it is.
    """

    diff_id: str
    size: int
    entries: int = 0
    implied_dirs: tuple[str, ...] = ()
    missing_links: tuple[tuple[str, str], ...] = ()
    unfit: str = ""


def _row(found: Row) -> LayerRow:
    links = tuple((name, target) for name, target in fastjson.loads(found[4]))
    return LayerRow(found[0], found[1], found[2], tuple(fastjson.loads(found[3])), links, found[5])


def get(db: Database, diff_id: str) -> LayerRow | None:
    """The row of a layer, or None when the layer is not unpacked here."""
    found = db.row("SELECT * FROM layers WHERE diff_id = ?", (diff_id,))
    return _row(found) if found else None


def put(db: Database, row: LayerRow) -> None:
    """Notes that a layer is complete."""
    implied, missing = fastjson.dumps(row.implied_dirs), fastjson.dumps(row.missing_links)
    values = (row.diff_id, row.size, row.entries, implied, missing, row.unfit)
    db.execute("INSERT OR REPLACE INTO layers VALUES (?, ?, ?, ?, ?, ?)", values)


def delete(db: Database, diff_id: str) -> None:
    """Forgets a layer; before its directory goes."""
    db.execute("DELETE FROM layers WHERE diff_id = ?", (diff_id,))


def list_all(db: Database) -> list[LayerRow]:
    """Every layer, in the order of their ids."""
    return [_row(found) for found in db.rows("SELECT * FROM layers ORDER BY diff_id")]


def diff_id_of(db: Database, digest: str) -> str:
    """The diff id that the blob ``digest`` was seen to have; empty when nobody has looked."""
    found = db.row("SELECT diff_id FROM blobs WHERE digest = ?", (digest,))
    return found[0] if found else ""


def blobs_of(db: Database, diff_id: str) -> list[str]:
    """The digests of the blobs that were seen to be the layer ``diff_id``; they need not be here any more."""
    return [digest for (digest,) in db.rows("SELECT digest FROM blobs WHERE diff_id = ? ORDER BY digest", (diff_id,))]


def note_blob(db: Database, digest: str, diff_id: str) -> None:
    """Notes that the blob ``digest`` decompresses to the layer ``diff_id``."""
    db.execute("INSERT OR REPLACE INTO blobs VALUES (?, ?)", (digest, diff_id))


def forget_blobs(db: Database, keep: frozenset[str]) -> None:
    """Drops the notes about blobs that are not in ``keep``."""
    for (digest,) in db.rows("SELECT digest FROM blobs"):
        if digest not in keep:
            db.execute("DELETE FROM blobs WHERE digest = ?", (digest,))
