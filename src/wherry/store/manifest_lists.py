"""Indexes that are being made (`wherry manifest`): a name and the manifests that it will stand for."""

from __future__ import annotations

from wherry import fastjson
from wherry.oci.manifest import parse_descriptor
from wherry.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wherry.oci.manifest import Descriptor
    from wherry.store.db import Database


class Entry(Record):
    """One manifest: ``reference`` is where it is, ``body`` its text; ``descriptor`` has the platform."""

    reference: str
    descriptor: Descriptor
    body: str


def get(db: Database, name: str) -> tuple[Entry, ...] | None:
    """The entries of the list, in order, or None when there is no list of this name."""
    found = db.row("SELECT document FROM manifest_lists WHERE name = ?", (name,))
    if found is None:
        return None
    entries = fastjson.loads(found[0])
    return tuple(Entry(one["reference"], parse_descriptor(one["descriptor"]), one["body"]) for one in entries)


def put(db: Database, name: str, entries: tuple[Entry, ...]) -> None:
    """Keeps the list under its name, in place of what was there."""
    document = [
        {"reference": one.reference, "descriptor": one.descriptor.to_json(), "body": one.body} for one in entries
    ]
    db.execute("INSERT OR REPLACE INTO manifest_lists VALUES (?, ?)", (name, fastjson.dumps(document)))


def delete(db: Database, name: str) -> bool:
    """Forgets a list; whether it was there."""
    return bool(db.execute("DELETE FROM manifest_lists WHERE name = ?", (name,)))
