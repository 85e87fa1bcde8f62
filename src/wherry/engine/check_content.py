"""What `wherry system check` looks for among images: what was being made when its maker died, what is gone."""

from __future__ import annotations

import fcntl
import os

from wherry.engine.problem import Problem
from wherry.engine.unpack import in_store
from wherry.store import gc, images
from wherry.store import layers as rows

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from wherry.engine.engine import Engine


def half_made(engine: Engine) -> Iterator[Problem]:
    """Layers that nobody is making any more; interrupted downloads are none: they are taken up again for a day."""
    for snapshotter, directory in ((engine.snapshotter, engine.layout.layers), (engine.tars, engine.layout.erofs)):
        for name in snapshotter.names():
            if name.startswith(".") and _is_abandoned(f"{directory}/{name}"):
                yield Problem(f"a layer that nobody finishes: {directory}/{name}", _sweep, (engine,))


def _is_abandoned(path: str) -> bool:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(fd)
    return True


def _sweep(engine: Engine) -> None:
    from wherry.engine.gc import sweep

    def work() -> None:
        with gc.adding(engine.layout):
            sweep(engine)

    in_store(engine, work)


def layers(engine: Engine) -> Iterator[Problem]:
    """Layers that rows tell of and that are not on disk."""
    names = {name for row in images.list_all(engine.db) for name in row.diff_ids}
    for row in rows.list_all(engine.db):
        if not engine.snapshotter.has(row.diff_id) and not engine.tars.has(row.diff_id):
            used = " that images have" if row.diff_id in names else ""
            yield Problem(
                f"layer {row.diff_id}{used} is not on disk; mended, it can be pulled again",
                rows.delete,
                (engine.db, row.diff_id),
            )
