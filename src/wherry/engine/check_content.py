"""What `wherry system check` looks for among images and volumes: what was being made or removed when whoever did died,
what is gone."""

from __future__ import annotations

import fcntl
import os
import time

from wherry.engine import volume_objects
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


def volumes(engine: Engine) -> Iterator[Problem]:
    """Volumes that are half removed, or that only the disk knows of."""
    suspects = volume_objects.abandoned(engine)
    if suspects:
        time.sleep(_MOMENT)  # somebody may just have put it aside
    for path in sorted({*suspects} & {*volume_objects.abandoned(engine)}):
        yield Problem(f"a volume that nobody finishes removing: {path}", volume_objects.sweep, (engine,))
    for name in volume_objects.unknown(engine):
        yield Problem(
            f"files of a volume that the database does not know: {name}; mended, it is listed again",
            volume_objects.adopt,
            (engine, name),
        )


_MOMENT = 0.2


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
