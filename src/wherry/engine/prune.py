"""``docker container prune``, ``image prune`` and what all prunes share.

Filters are Docker's: ``until`` (made before), every ``label``, none of ``label!``.
"""

from __future__ import annotations

from wherry.engine import build_cache, events, room
from wherry.engine.containers import list_containers, load, remove, written
from wherry.engine.storage import drops_blobs
from wherry.errors import Conflict, InvalidArgument, NotFound
from wherry.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from wherry.engine.engine import Engine
    from wherry.engine.images import Removed

    Filters = Mapping[str, Sequence[str]]

STOPPED = ("created", "exited", "dead")


def allowed(filters: Filters, names: Sequence[str]) -> None:
    """Raises `InvalidArgument` for a filter that is not among ``names``."""
    for name in filters:
        if name not in names:
            raise InvalidArgument(f"invalid filter '{name}'", hint=f"known are {', '.join(names)}")


def keeps(labels: Mapping[str, str], filters: Filters) -> bool:
    """Whether the label filters say that a thing with ``labels`` stays."""
    if not all(_has(labels, text) for text in filters.get("label", ())):
        return True
    return any(_has(labels, text) for text in filters.get("label!", ()))


def _has(labels: Mapping[str, str], text: str) -> bool:
    name, equals, value = text.partition("=")
    return name in labels and (not equals or labels[name] == value)


def until(filters: Filters) -> int:
    """Epoch nanoseconds of the ``until`` filter, 0 without one (as `wherry.engine.logs.timestamp` reads it)."""
    texts = filters.get("until", ())
    if not texts:
        return 0
    if len(texts) > 1:
        raise InvalidArgument("more than one until filter specified")
    from wherry.engine.logs import timestamp

    return timestamp(texts[0], "until")


def prune(engine: Engine, filters: Filters) -> tuple[list[str], int]:
    """Remove every container that does not run; their ids, and the bytes that they had written.

    Raises `InvalidArgument`.
    """
    allowed(filters, ("label", "label!", "until"))
    before = until(filters)
    removed: list[str] = []
    freed = 0
    for row in list_containers(engine):
        if row.status not in STOPPED or (before and row.created >= before):
            continue
        if keeps(dict(load(row).options.labels), filters):
            continue
        size = written(engine, row.id)
        try:
            remove(engine, row.id)
        except (Conflict, NotFound):
            continue  # started or removed meanwhile
        removed.append(row.id)
        freed += size
    room.writing(engine, lambda: events.record(engine.db, "container", "prune", "", {"reclaimed": str(freed)}))
    room.made(engine)
    return removed, freed


def prune_images(engine: Engine, filters: Filters, *, everything: bool) -> tuple[list[Removed], int]:
    """Remove the images that have no tag, or with ``everything`` all that no container was made from.

    What happened, and the bytes of layers that became free.  A filter ``dangling=false`` is ``everything``.
    """
    from wherry.engine.disk_usage import layers_size
    from wherry.engine.images import list_images
    from wherry.engine.images import remove as remove_image

    allowed(filters, ("dangling", "label", "label!", "until"))
    dangling = [text.lower() for text in filters.get("dangling", ())]
    for text in dangling:
        if text not in ("true", "1", "t", "false", "0", "f"):
            raise InvalidArgument(f"invalid filter 'dangling={text}'")
    everything = everything or bool(set(dangling) & {"false", "0", "f"})
    before = until(filters)
    removed: list[Removed] = []
    size = layers_size(engine)
    for image in list_images(engine):
        if image.containers or (before and image.created * 1_000_000_000 >= before):
            continue
        if (image.repo_tags and not everything) or keeps(dict(image.labels), filters):
            continue
        for name in (*image.repo_tags, *image.repo_digests) or (image.id,):
            try:
                removed += remove_image(engine, name)
            except NotFound:
                continue  # the digest of a repository goes with its last tag
            except Conflict:
                break  # a container was made from it meanwhile
    freed = max(size - layers_size(engine), 0)
    if drops_blobs(engine):
        from wherry.engine import dropped

        freed += dropped.drop(engine, dropped.every(engine))
    room.writing(engine, lambda: events.record(engine.db, "image", "prune", "", {"reclaimed": str(freed)}))
    room.made(engine)
    return removed, freed


class Pruned(Record):
    """What `prune_system` removed: ids or names by kind, and the bytes that became free."""

    containers: tuple[str, ...] = ()
    networks: tuple[str, ...] = ()
    volumes: tuple[str, ...] = ()
    images: tuple[Removed, ...] = ()
    freed: int = 0


def prune_system(engine: Engine, filters: Filters, *, everything: bool, volumes: bool) -> Pruned:
    """Remove stopped containers, then what nothing uses any more: with ``volumes`` the ones that nobody named, and
    images, with ``everything`` those with a tag as well.  Without filters also what builds keep (`build_cache`).

    Raises `InvalidArgument`.
    """
    from wherry.engine.networks import prune as prune_networks
    from wherry.engine.volume_objects import prune as prune_volumes

    allowed(filters, ("label", "label!") if volumes else ("label", "label!", "until"))
    containers, of_containers = prune(engine, filters)
    networks = prune_networks(engine, filters)
    gone, of_volumes = prune_volumes(engine, filters, everything=False) if volumes else ([], 0)
    images, of_images = prune_images(engine, filters, everything=everything)
    of_builds = 0 if filters else build_cache.prune(engine, everything=everything)
    freed = of_containers + of_volumes + of_images + of_builds
    return Pruned(tuple(containers), tuple(networks), tuple(gone), tuple(images), freed)
