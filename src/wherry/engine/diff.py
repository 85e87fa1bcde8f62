"""``docker diff``: what a container has changed in its image's files."""

from __future__ import annotations

import os

from wherry.engine.containers import find, load
from wherry.engine.roots import image_root, upper_directory, upper_ids
from wherry.engine.unpack import in_store
from wherry.layers.changes import Change, changes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wherry.container.record import ContainerRecord
    from wherry.engine.engine import Engine


def diff(engine: Engine, name: str) -> tuple[Change, ...]:
    """The changed paths, parents first, whether the container runs or not.  Raises `NotFound`."""
    record = load(find(engine, name))
    return in_store(engine, lambda: tuple(changes_of(engine, record)))


def changes_of(engine: Engine, record: ContainerRecord, *, touched: bool = False) -> list[Change]:
    """See `wherry.layers.changes.changes`; to be called where layers may be read."""
    upper = upper_directory(engine, record)
    try:
        lower = image_root(engine, record)
        try:
            return changes(upper, lower, upper_ids(record), touched=touched)
        finally:
            os.close(lower)
    finally:
        os.close(upper)
