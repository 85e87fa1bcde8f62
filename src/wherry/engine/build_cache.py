"""What builds keep for the next time, below ``cache/env`` of the store: all of it can be downloaded or made again."""

from __future__ import annotations

import os
import stat
import time

from wherry.store.locks import Lock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wherry.engine.engine import Engine
    from wherry.store.layout import Layout

UNUSED = 30 * 24 * 3600
"""Seconds after which what no build has used goes with `wherry system prune`."""


def directory(layout: Layout) -> str:
    """Where it is."""
    return f"{layout.cache}/env"


def using(layout: Layout) -> Lock:
    """The lock that builds hold, any number of them: nothing is removed meanwhile."""
    return Lock(f"{layout.locks}/build-cache", shared=True)


def prune(engine: Engine, *, everything: bool) -> int:
    """Remove the files that have not been used for `UNUSED` seconds, or all; the bytes that became free.

    Does nothing while something is being built.  A file was used at the time of its last change: builds set that.
    """
    lock = Lock(f"{engine.layout.locks}/build-cache")
    if not lock.try_acquire():
        return 0
    freed, oldest = 0, time.time() - UNUSED
    try:
        for place, directories, names in os.walk(directory(engine.layout), topdown=False):
            for name in names:
                path = f"{place}/{name}"
                status = os.lstat(path)
                if stat.S_ISREG(status.st_mode) and (everything or status.st_mtime < oldest):
                    os.unlink(path)
                    freed += status.st_blocks * 512
            for name in directories:
                if len(name) == 64:  # of one file, by its hash
                    try:
                        os.rmdir(f"{place}/{name}")
                    except OSError:
                        pass  # it has something in it
        return freed
    finally:
        lock.release(remove=True)
