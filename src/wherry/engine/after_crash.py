"""What an earlier boot left unsynced, made good before anything uses it (`wherry.store.unsynced`, decision 0154).

The blobs that a note names are compared with their digests; its layers are made anew out of them, since an unpacked
layer has no digest.  An image that cannot be made whole again is forgotten, so that the next command that wants it
pulls it.
"""

from __future__ import annotations

from wherry.engine import forms, unpack
from wherry.engine.transfer import Whole
from wherry.errors import Corrupt, NotFound, NotSupported
from wherry.store import images, index, layers, unsynced
from wherry.store.gc import adding

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wherry.engine.engine import Engine
    from wherry.store.unsynced import Promise


def mend(engine: Engine) -> None:
    """Makes good what notes of earlier boots name.  Raises `StorageFull`, `SystemFailure`; the notes stay then."""
    for lock, promise in unsynced.broken(engine.layout):
        done = False
        try:
            unpack.in_store(engine, lambda promise=promise: _mend(engine, promise))  # type: ignore[misc]
            done = True
        finally:
            lock.release(remove=done)
    unsynced.forget_directory(engine.layout.unsynced)


def _mend(engine: Engine, promise: Promise) -> None:
    content = engine.content
    with adding(engine.layout):
        for digest in (*promise.blobs, *(digest for digest, _ in promise.layers)):
            if content.has(digest) and not content.verify(digest):
                content.delete(digest)
        for digest, diff_id in promise.layers:
            forms.remove(engine, diff_id)
            if content.has(digest):
                _make_again(engine, digest, diff_id)
        for row in images.list_all(engine.db):
            if row.id == promise.image:
                _put_again(engine, row)
            elif any(layers.get(engine.db, diff_id) is None for diff_id in row.diff_ids):
                images.delete(engine.db, row.id)
        index.write(engine.layout, engine.db)


def _make_again(engine: Engine, digest: str, diff_id: str) -> None:
    source = Whole(engine.content.local(digest))
    try:
        unpack.unpack(engine, digest, diff_id, source)
    except (Corrupt, NotSupported):
        engine.content.delete(digest)  # it was never seen to be that layer
    finally:
        source.close()


def _put_again(engine: Engine, row: images.ImageRow) -> None:
    """The image that was being added: what is its alone is made again too."""
    from wherry.store.gc import image_blobs

    rows = [layers.get(engine.db, diff_id) for diff_id in row.diff_ids]
    try:
        there = all(engine.content.has(digest) for digest in image_blobs(engine.content, row))
    except (Corrupt, NotFound):
        there = False
    kept = [one for one in rows if one is not None]
    if not there or len(kept) < len(rows):
        images.delete(engine.db, row.id)
        return
    if row.fixup:
        (engine.tars if row.snapshotter == "erofs" else engine.snapshotter).remove(row.fixup)
    snapshotter, fixup = forms.form(engine, row.id, kept, unpack.apply_options(engine))
    images.put(engine.db, row.replace(snapshotter=snapshotter, fixup=fixup))
