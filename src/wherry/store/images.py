"""The images and their names.

An image's id is the digest of its configuration, as Docker's.  A name is a full reference with either a tag or a
digest (``docker.io/library/nginx:latest``, ``docker.io/library/nginx@sha256:…``) and points at one image; its
``target`` is the digest that the registry gave for it: of an index or of the manifest itself.
"""

from __future__ import annotations

from wherry.errors import InvalidArgument, NotFound
from wherry.oci import digest as digests
from wherry.oci import reference as references
from wherry.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wherry.oci.reference import Reference
    from wherry.store.db import Database, Row


class ImageRow(Record):
    """``config`` is the configuration's JSON text, ``diff_ids`` the layers, lowest first.

    ``size`` is bytes of all layers unpacked, ``created`` epoch seconds (what the image says), ``tagged`` epoch
    nanoseconds of the last time it got a name here, ``snapshotter`` keeps its layers ("overlay" or "erofs"), ``fixup``
    is the layer of this image alone that goes on top, or empty; for erofs, the key of the image of all layers.
    ``parent`` is the image of the container that it was committed from, or empty.
    """

    id: str
    manifest: str
    manifest_type: str
    manifest_size: int
    config: str
    diff_ids: tuple[str, ...]
    size: int
    created: int
    platform: str
    fixup: str = ""
    tagged: int = 0
    snapshotter: str = "overlay"
    parent: str = ""

    @property
    def stack(self) -> tuple[str, ...]:
        """What a snapshotter stacks, lowest first: the layers, and the fix-up where there is one."""
        return (*self.diff_ids, self.fixup) if self.fixup else self.diff_ids


class NameRow(Record):
    """One name of an image."""

    reference: str
    image_id: str
    target: str


def _row(found: Row) -> ImageRow:
    image_id, manifest, manifest_type, manifest_size, config, diff_ids, *rest = found
    return ImageRow(image_id, manifest, manifest_type, manifest_size, config, tuple(diff_ids.split()), *rest)


def put(db: Database, row: ImageRow) -> None:
    """Adds an image, or replaces the row of the same id; every layer and blob of it must be in place."""
    values = [getattr(row, field) for field in ImageRow._fields]
    values[5] = " ".join(row.diff_ids)
    changes = ", ".join(f"{field} = excluded.{field}" for field in ImageRow._fields[1:])
    marks = ", ".join("?" * len(values))
    db.execute(f"INSERT INTO images VALUES ({marks}) ON CONFLICT (id) DO UPDATE SET {changes}", values)


def get(db: Database, image_id: str) -> ImageRow | None:
    """The image with this full id, or None."""
    found = db.row("SELECT * FROM images WHERE id = ?", (image_id,))
    return _row(found) if found else None


def key(reference: Reference) -> str:
    """How a reference is written in the table: a digest beats a tag, and neither means ``latest``."""
    if reference.digest:
        return f"{reference.name}@{reference.digest}"
    return f"{reference.name}:{reference.tag or references.DEFAULT_TAG}"


def tag(db: Database, reference: Reference, image_id: str, target: str = "") -> None:
    """Gives an image a name, taking it from the image that had it.  Raises `NotFound` when there is no such image."""
    import time

    with db.transaction():
        if not db.execute("UPDATE images SET tagged = ? WHERE id = ?", (time.time_ns(), image_id)):
            raise NotFound("image", image_id)
        db.execute("INSERT OR REPLACE INTO names VALUES (?, ?, ?)", (key(reference), image_id, target))


def target(db: Database, reference: Reference) -> str:
    """The digest that a registry has for a name; empty when none is known."""
    found = db.row("SELECT target FROM names WHERE reference = ?", (key(reference),))
    return found[0] if found else ""


def note_target(db: Database, reference: Reference, image_id: str, target: str) -> None:
    """Notes the digest by which a registry knows the image under a name, unless the name has gone elsewhere meanwhile.

    A name with a digest is added when it is not there.
    """
    name = key(reference)
    with db.transaction():
        changed = db.execute(
            "UPDATE names SET target = ? WHERE reference = ? AND image_id = ?", (target, name, image_id)
        )
        if not changed and reference.digest and get(db, image_id) is not None:
            db.execute("INSERT OR REPLACE INTO names VALUES (?, ?, ?)", (name, image_id, target))


def untag(db: Database, reference: Reference) -> bool:
    """Takes a name away; whether it was there."""
    return bool(db.execute("DELETE FROM names WHERE reference = ?", (key(reference),)))


def names(db: Database, image_id: str = "") -> list[NameRow]:
    """The names of one image, or all of them, in alphabetical order."""
    if image_id:
        found = db.rows("SELECT * FROM names WHERE image_id = ? ORDER BY reference", (image_id,))
    else:
        found = db.rows("SELECT * FROM names ORDER BY reference")
    return [NameRow(*row) for row in found]


def by_name(db: Database, reference: Reference) -> ImageRow | None:
    """The image of this name, or None."""
    found = db.row(
        "SELECT images.* FROM names JOIN images ON images.id = names.image_id WHERE reference = ?", (key(reference),)
    )
    return _row(found) if found else None


def resolve(db: Database, text: str) -> ImageRow:
    """The image that ``text`` means: a full id, a name, or the beginning of an id, in that order, as in Docker.

    Raises `NotFound` in Docker's words, `InvalidArgument` for what is neither a name nor an id.
    """
    full = "sha256:" + text if len(text) == 64 and digests.is_hex(text) else text
    if digests.is_digest(full):
        found = get(db, full)
        if found is None:
            raise NotFound("image", text)
        return found
    try:
        reference = references.parse(text)
    except InvalidArgument:
        if not digests.is_hex(text.removeprefix("sha256:")):
            raise
        reference = None
    found = by_name(db, reference) if reference else None
    beginning = text.removeprefix("sha256:")
    if found is None and digests.is_hex(beginning):
        low = "sha256:" + beginning
        several = db.rows("SELECT * FROM images WHERE id >= ? AND id < ? LIMIT 2", (low, low + "g"))
        if len(several) > 1:
            raise NotFound("image", text, hint=f"several image ids begin with {beginning}")
        found = _row(several[0]) if several else None
    if found is None:
        raise NotFound("image", reference.tagged().familiar() if reference else text)
    return found


def resolve_or_none(db: Database, text: str) -> ImageRow | None:
    """What `resolve` finds, or None."""
    try:
        return resolve(db, text)
    except (NotFound, InvalidArgument):
        return None


def list_all(db: Database) -> list[ImageRow]:
    """Every image, the most recently created first."""
    return [_row(found) for found in db.rows("SELECT * FROM images ORDER BY created DESC, id")]


def delete(db: Database, image_id: str) -> None:
    """Forgets an image and its names; before its layers and blobs go."""
    with db.transaction():
        db.execute("DELETE FROM names WHERE image_id = ?", (image_id,))
        db.execute("DELETE FROM images WHERE id = ?", (image_id,))
