"""``docker save``: images out of the store, into an archive on a stream.

The compressed layers go out as they came in, so that a saved image has the digest it was pulled with.
"""

from __future__ import annotations

from wherry.engine import events
from wherry.engine.images import check_platform
from wherry.errors import Corrupt, InvalidArgument, NotFound
from wherry.oci import platform as platforms
from wherry.oci import reference as references
from wherry.oci.manifest import Manifest, parse_manifest
from wherry.registry import archive_writer
from wherry.registry.archive_writer import FORMATS, Saved
from wherry.store import images
from wherry.store.gc import adding

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from wherry.engine.engine import Engine
    from wherry.engine.progress import Progress
    from wherry.oci.reference import Reference
    from wherry.registry.archive_writer import Writable
    from wherry.store.images import ImageRow


def save(
    engine: Engine,
    names: Sequence[str],
    out: Writable,
    *,
    format: str = "docker-archive",
    platform: str = "",
    progress: Progress | None = None,
) -> None:
    """Writes an archive of the images ``names``: a name keeps its tag, a name without one all its tags, an id none.

    ``format`` is one of `FORMATS`.  With ``platform`` every image must be for it.  Raises `NotFound`,
    `InvalidArgument`, and what ``out.write`` raises.
    """
    if format not in FORMATS:
        raise InvalidArgument(f"unknown archive format {format!r}", hint=f"it is one of {', '.join(FORMATS)}")
    if not names:
        raise InvalidArgument("no image was named")
    with adding(engine.layout):  # so that nothing is removed while it is written
        chosen: dict[str, tuple[ImageRow, list[Reference]]] = {}
        for name in names:
            for row, tags in _find(engine, name):
                known = chosen.setdefault(row.id, (row, []))[1]
                known += [tag for tag in tags if tag not in known]
        saved = [_saved(engine, row, tags, platform) for row, tags in chosen.values()]
        done = 0

        def show(size: int) -> None:
            nonlocal done
            done += size
            if progress is not None:
                progress.advance("", done, 0)

        archive_writer.write(out, saved, engine.content, docker=format == "docker-archive", progress=show)
    for image_id in chosen:
        events.of_image(engine.db, image_id, "save")


def _find(engine: Engine, name: str) -> list[tuple[ImageRow, list[Reference]]]:
    """The images that ``name`` means, each with the tags to write."""
    row = images.resolve_or_none(engine.db, name)
    try:
        reference = references.parse(name)
    except InvalidArgument:
        reference = None
    named = reference is not None and images.by_name(engine.db, reference) is not None
    if reference is not None and not reference.tag and not reference.digest:
        found: dict[str, tuple[ImageRow, list[Reference]]] = {}
        for other in images.names(engine.db):
            if other.reference.startswith(reference.name + ":"):
                image = images.get(engine.db, other.image_id)
                assert image is not None
                found.setdefault(image.id, (image, []))[1].append(references.parse(other.reference))
        if found:
            return list(found.values())
    if row is None:
        raise NotFound("image", reference.tagged().familiar() if reference else name)
    return [(row, [reference.tagged()] if named and reference is not None and not reference.digest else [])]


def _saved(engine: Engine, row: ImageRow, tags: list[Reference], wanted: str) -> Saved:
    check_platform(row, wanted)
    manifest = parse_manifest(engine.content.read(row.manifest), row.manifest_type)
    if not isinstance(manifest, Manifest):
        raise Corrupt(f"the manifest of {row.id} is an index")
    missing = [one.digest for one in (manifest.config, *manifest.layers) if not engine.content.has(one.digest)]
    if missing:
        raise NotFound("blob", missing[0], f"layer {missing[0]} is not here any more", hint="pull the image again")
    return Saved(manifest, row.manifest, row.manifest_size, platforms.parse(row.platform), tuple(tags))
