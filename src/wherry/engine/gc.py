"""Removes what no image and no container reaches, and what interrupted commands left behind."""

from __future__ import annotations

from wherry.oci import digest as digests
from wherry.store import gc, layers, unsynced

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wherry.engine.engine import Engine


def sweep(engine: Engine) -> None:
    """Removes half-made blobs and layers that nobody is working on; interrupted downloads stay for a day.

    For callers that hold `wherry.store.gc.adding` and may write layers.
    """
    gc.sweep(engine.layout)
    unsynced.settle_left(engine.layout)
    engine.snapshotter.sweep()
    engine.tars.sweep()


def collect(engine: Engine) -> int:
    """Removes blobs and layers that nothing reaches; returns the bytes of blobs and layers that became free.

    Does nothing while somebody is adding content: whoever comes next does it then.
    """
    from wherry.engine.unpack import in_store

    return in_store(engine, lambda: _collect(engine))


def _collect(engine: Engine) -> int:
    lock = gc.collecting(engine.layout)
    if not lock.try_acquire():
        return 0
    try:
        sweep(engine)
        reachable = gc.reachable(engine.db, engine.content)
        freed = 0
        for row in layers.list_all(engine.db):
            if row.diff_id not in reachable.layers:
                layers.delete(engine.db, row.diff_id)
                freed += row.size
        for kind, snapshotter in (("overlay", engine.snapshotter), ("erofs", engine.tars)):
            needed = {digests.hex_part(one) for one in reachable.kept[kind]}
            for name in snapshotter.names():
                if digests.is_hex(name) and name not in needed:
                    snapshotter.remove(f"sha256:{name}")
        layers.forget_blobs(engine.db, reachable.blobs)
        return freed + gc.remove_blobs(engine.content, reachable.blobs)
    finally:
        lock.release(remove=True)
