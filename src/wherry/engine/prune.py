"""``docker container prune``."""

from __future__ import annotations

from wherry.engine import events
from wherry.engine.containers import list_containers, load, remove
from wherry.errors import Conflict, InvalidArgument, NotFound

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from wherry.engine.engine import Engine

STOPPED = ("created", "exited", "dead")
FILTERS = ("label", "label!", "until")


def prune(engine: Engine, filters: Mapping[str, Sequence[str]]) -> tuple[list[str], int]:
    """Remove every container that does not run; their ids, and the bytes that they had written.

    ``filters``: made before ``until`` (as `wherry.engine.logs.timestamp` reads it), with every ``label``, with none
    of ``label!``.  Raises `InvalidArgument` for others.
    """
    for name in filters:
        if name not in FILTERS:
            raise InvalidArgument(f"invalid filter '{name}'", hint="known are label, label! and until")
    before = _until(filters.get("until", ()))
    removed: list[str] = []
    freed = 0
    for row in list_containers(engine):
        if row.status not in STOPPED or (before and row.created >= before):
            continue
        labels = dict(load(row).options.labels)
        if not all(_has(labels, text) for text in filters.get("label", ())):
            continue
        if any(_has(labels, text) for text in filters.get("label!", ())):
            continue
        size, _files = engine.snapshotter.usage(row.id)
        try:
            remove(engine, row.id)
        except (Conflict, NotFound):
            continue  # started or removed meanwhile
        removed.append(row.id)
        freed += size
    events.record(engine.db, "container", "prune", "", {"reclaimed": str(freed)})
    return removed, freed


def _until(texts: Sequence[str]) -> int:
    if not texts:
        return 0
    if len(texts) > 1:
        raise InvalidArgument("more than one until filter specified")
    from wherry.engine.logs import timestamp

    return timestamp(texts[0], "until")


def _has(labels: Mapping[str, str], text: str) -> bool:
    name, equals, value = text.partition("=")
    return name in labels and (not equals or labels[name] == value)
