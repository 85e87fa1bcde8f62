"""Root file systems opened for the engine's own reading: attached nowhere, gone when the descriptor is closed."""

from __future__ import annotations

import os

from wherry.linux.ids import IdMap
from wherry.linux.mount import ATTR_NODEV, ATTR_NOSUID, ATTR_RDONLY
from wherry.linux.trees import DIRECTORY
from wherry.runtime.ops import OpenRoot
from wherry.runtime.trees import open_root

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wherry.container.record import ContainerRecord
    from wherry.engine.engine import Engine


def image_root(engine: Engine, record: ContainerRecord) -> int:
    """A descriptor of what a container's image shows, with ids as the store keeps them.

    To be called where layers may be read: see `wherry.engine.unpack.in_store`.
    """
    mount = engine.mounts(record)
    if mount.type == "overlay" and len(mount.lower) == 1:
        return os.open(mount.lower[0], DIRECTORY)  # overlay wants two directories, and one is itself
    return open_root(OpenRoot(0, mount, ATTR_NODEV | ATTR_NOSUID | ATTR_RDONLY), _no_namespaces)


def upper_directory(engine: Engine, record: ContainerRecord) -> int:
    """A descriptor of the directory that holds a container's changes, whose ids `upper_ids` explains."""
    return os.open(engine.mounts(record, record.id).upper, DIRECTORY)


def upper_ids(record: ContainerRecord) -> tuple[IdMap, ...]:
    """How the container's ids are kept in its upper directory; none: as they are, seen from where layers are read."""
    from wherry.container.record import ID_COUNT

    return (IdMap(0, record.id_base, ID_COUNT),) if record.id_base else ()


def _no_namespaces(_uids: object, _gids: object) -> int:
    raise AssertionError("the layers are shown as they are")
