"""Removes what no image and no container reaches, and what interrupted commands left behind."""

from __future__ import annotations

import os

from wherry.oci import digest as digests
from wherry.store import gc, layers, unsynced

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wherry.engine.engine import Engine

_PATIENCE = 10.0


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
        for diff_id in _unneeded(engine.tars.names(), reachable.kept["erofs"]):
            engine.tars.remove(diff_id)
        unneeded = _unneeded(engine.snapshotter.names(), reachable.kept["overlay"])
        aside = [engine.snapshotter.set_aside(diff_id) for diff_id in unneeded]
        layers.forget_blobs(engine.db, reachable.blobs)
        freed += gc.remove_blobs(engine.content, reachable.blobs)
    finally:
        lock.release(remove=True)
    if aside:
        _discard(engine, aside)
    return freed


def _unneeded(names: list[str], needed: frozenset[str]) -> list[str]:
    keep = {digests.hex_part(one) for one in needed}
    return [f"sha256:{name}" for name in names if digests.is_hex(name) and name not in keep]


def _discard(engine: Engine, paths: list[str]) -> None:
    """Removes unpacked layers in a process of its own, and waits for that, but not for long: a hundred thousand files
    take seconds, and minutes on a busy disk.  What is left when that process is killed, the next command sweeps."""
    import select

    from wherry.rootfs.staging import discard_alone

    engine.will_fork()
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.setsid()
            if os.fork() == 0:
                os.closerange(0, write)
                os.closerange(write + 1, os.sysconf("SC_OPEN_MAX"))
                for path in paths:
                    discard_alone(path)
        finally:
            os._exit(0)
    os.waitpid(pid, 0)
    os.close(write)
    select.select([read], [], [], _PATIENCE)
    os.close(read)
