"""The names that a command line may be completed with.  Nothing is put right or swept here: it has to be quick."""

from __future__ import annotations

from wherry.oci import reference as references
from wherry.store import containers, images, networks, volumes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from wherry.engine.engine import Engine

RUNNING = ("running", "restarting")
PAUSED = ("paused",)
STOPPED = ("created", "exited", "dead")


def container_names(engine: Engine, statuses: Sequence[str] = ()) -> list[str]:
    """Of containers in one of these states; without any, of all."""
    return sorted(row.name for row in containers.list_all(engine.db) if not statuses or row.status in statuses)


def image_names(engine: Engine) -> list[str]:
    """As people write them, those with a digest left out."""
    found = [references.parse(row.reference) for row in images.names(engine.db)]
    return sorted(name.familiar() for name in found if not name.digest)


def volume_names(engine: Engine) -> list[str]:
    """Of all volumes."""
    return [row.name for row in volumes.list_all(engine.db)]


def network_names(engine: Engine) -> list[str]:
    """Of all networks, the ones that are always there included."""
    made = {row.name for row in networks.list_all(engine.db)}
    return sorted(made | {"bridge", "host", "none"})
