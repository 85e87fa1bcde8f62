"""What no row reaches, and what crashes left behind.

Whoever adds blobs and layers holds `adding` from before it looks at what is there until its rows are written; nothing
is collected meanwhile.  Reachable are: of every image its manifest, its configuration and its layers, compressed
and unpacked; of every name the whole index that it stands for, if that is here; of every container the layers it was
made from.
"""

from __future__ import annotations

import os
import time

from wherry import fastjson
from wherry.errors import Corrupt, NotFound, NotSupported
from wherry.oci.manifest import Manifest, parse_manifest
from wherry.record import Record
from wherry.store import images
from wherry.store.locks import Lock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from wherry.store.content import Content
    from wherry.store.db import Database
    from wherry.store.layout import Layout

_MAX_DEPTH = 4
_REPLACED = ("index.json.", "oci-layout.")  # how the names begin that these have while they are written
KEEP_PARTIAL = 24 * 3600
"""Seconds that an interrupted download is kept to be taken up again."""


class Reachable(Record):
    """Digests of blobs, diff ids of layers, and what each snapshotter must keep: layers, fix-ups, images of layers."""

    blobs: frozenset[str]
    layers: frozenset[str]
    kept: dict[str, frozenset[str]]


def adding(layout: Layout, waiting: Callable[[], None] | None = None) -> Lock:
    """The lock that whoever adds content holds; any number may."""
    return Lock(layout.locks + "/content", shared=True, waiting=waiting)


def collecting(layout: Layout) -> Lock:
    """The lock that whoever removes unreachable content holds alone.  Use `Lock.try_acquire`: it can wait."""
    return Lock(layout.locks + "/content")


def reachable(db: Database, content: Content) -> Reachable:
    """Everything that must stay.  Raises `Corrupt` rather than overlook something."""
    blobs: set[str] = set()
    layers: set[str] = set()
    kept: dict[str, set[str]] = {"overlay": set(), "erofs": set()}
    for row in images.list_all(db):
        blobs |= image_blobs(content, row)
        layers.update(row.diff_ids)
        kept[row.snapshotter].update(row.stack)
    for name in images.names(db):
        if name.target and name.target not in blobs:
            _add_index(content, name.target, blobs, 0)
    for text, image_id in db.rows("SELECT record, image_id FROM containers"):
        record = fastjson.loads(text) if text else {}
        stack = record.get("diff_ids", ())
        layers.update(stack)
        kept[record.get("snapshotter", "overlay")].update(stack)
        kept["overlay"].add(image_id)
    for digest in content.recipes():
        if digest in blobs:  # the tar that the blob is made of stays, whatever form its images have
            kept["erofs"].add((content.recipe(digest) or {}).get("diff_id", digest))
    return Reachable(frozenset(blobs), frozenset(layers), {name: frozenset(ids) for name, ids in kept.items()})


def _add_index(content: Content, digest: str, found: set[str], depth: int) -> None:
    """Adds a document and everything that it names to ``found``; what is not here, or is none, adds nothing."""
    if depth > _MAX_DEPTH or not content.has(digest):
        return
    found.add(digest)
    try:
        document = parse_manifest(content.read(digest))
    except (Corrupt, NotSupported):
        return
    if isinstance(document, Manifest):
        found.update((document.config.digest, *(layer.digest for layer in document.layers)))
        return
    for entry in document.manifests:
        if entry.digest not in found:
            _add_index(content, entry.digest, found, depth + 1)


def image_blobs(content: Content, row: images.ImageRow) -> set[str]:
    """The digests of an image's manifest, configuration and compressed layers."""
    try:
        manifest = parse_manifest(content.read(row.manifest), row.manifest_type)
    except (NotFound, Corrupt):
        return {row.manifest, row.id}  # what it needs cannot be known; it must be pulled again
    assert isinstance(manifest, Manifest)
    return {row.manifest, manifest.config.digest, *(layer.digest for layer in manifest.layers)}


def remove_blobs(content: Content, keep: frozenset[str]) -> int:
    """Removes the blobs that are not in ``keep``; returns the bytes that became free."""
    known = {*content.list_all(), *content.recipes()}
    return sum(content.delete(digest) for digest in known if digest not in keep)


def sweep(layout: Layout, *, all_partial: bool = False) -> int:
    """Removes what interrupted commands left aside and nobody is writing now; returns the bytes that became free.

    Interrupted downloads stay for `KEEP_PARTIAL` to be taken up again, unless ``all_partial``.
    """
    freed = 0
    now = time.time()
    for name in os.listdir(layout.ingest):
        path = f"{layout.ingest}/{name}"
        try:
            status = os.lstat(path)
        except FileNotFoundError:
            continue
        if not all_partial and now - status.st_mtime < KEEP_PARTIAL:
            continue
        lock = Lock(path)
        if lock.try_acquire():
            freed += os.fstat(lock.fd).st_size
            lock.release(remove=True)
    aside = [f"{layout.root}/{name}" for name in os.listdir(layout.root) if name.startswith(_REPLACED)]
    if os.path.isdir(layout.recipes):
        aside += [f"{layout.recipes}/{name}" for name in os.listdir(layout.recipes) if "." in name]
    for path in aside:
        try:
            if now - os.lstat(path).st_mtime > 60:
                os.unlink(path)
        except FileNotFoundError:
            continue
    return freed
