"""``docker push``: from an image in the store to a name in a registry.

Reading order: `push` is the story.  Layers without compression are compressed by threads of their own, meanwhile what
talks to registries is loaded, and `wherry.engine.upload` brings there what is ready.  A push that was broken off finds
what it brought there the next time.
"""

from __future__ import annotations

import sys

from wherry.engine import recompress
from wherry.engine.progress import OneAtATime, Silent, short
from wherry.engine.recompress import Compression
from wherry.engine.registries import registry_config
from wherry.errors import Corrupt, InvalidArgument, NotFound, WherryError
from wherry.oci import platform as platforms
from wherry.oci import reference as references
from wherry.oci.manifest import Manifest, parse_manifest
from wherry.record import Record
from wherry.store import images
from wherry.store.gc import adding

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wherry.engine.engine import Engine
    from wherry.engine.graph import Document
    from wherry.engine.progress import Progress
    from wherry.oci.reference import Reference
    from wherry.registry.client import Client
    from wherry.store.images import ImageRow

_TURN = 0.0005


class Pushed(Record):
    """One name that was pushed: ``digest`` and ``size`` are those of the manifest that it points at now."""

    reference: str
    tag: str
    digest: str
    size: int


def push(
    engine: Engine,
    name: str,
    *,
    all_tags: bool = False,
    all_platforms: bool = False,
    platform: str = "",
    compression: Compression | None = None,
    progress: Progress | None = None,
) -> tuple[Pushed, ...]:
    """Pushes the image of this name, or with ``all_tags`` every image that has a tag in its repository.

    Layers go as they are, so that an image that was pulled keeps its digest.  With ``compression`` they are compressed
    so; an image that no registry has seen and that has layers without compression gets gzip.

    A name that stands for an index of which everything is here is pushed as that index, all platforms of it;
    ``all_platforms`` insists on that, ``platform`` wants one image alone, which must be for it.

    Raises `InvalidArgument`, `NotFound`, `Unauthorized`, `Forbidden`, `Unavailable`, `Corrupt`.
    """
    reference = references.parse(name)
    show = OneAtATime(progress or Silent())
    if not reference.tag and not all_tags and not reference.digest:
        show.message("Using default tag: latest")
    chosen = _choose(engine, reference, all_tags)
    show.message(f"The push refers to repository [{reference.name}]")
    pushed = []
    with adding(engine.layout):
        making = recompress.Making(engine, lambda diff_id: show.start(short(diff_id), "Compressing"))
        plans: list[tuple[Reference, ImageRow, recompress.Image | tuple[Document, ...]]] = []
        for tagged, row in chosen:
            whole = None if platform or compression else _index(engine, tagged, row)
            if all_platforms and whole is None:
                raise _no_index(tagged, row, compression)
            if whole is None:
                _check_platform(row, platform, tagged)
            plans.append((tagged, row, whole or _image(engine, making, row, compression)))
        with making, _client(engine) as client:
            from wherry.engine.upload import Upload

            for tagged, row, what in plans:
                upload = Upload(engine, client, tagged, show, making.stop)
                one = upload.run_index(row, what) if isinstance(what, tuple) else upload.run(what)
                show.message(f"{one.tag}: digest: {one.digest} size: {one.size}")
                pushed.append(one)
    return tuple(pushed)


def _client(engine: Engine) -> Client:
    """What talks to registries.  To import it is half of the work of a small push, and goes on beside compression: the
    interpreter changes hands more often meanwhile, else this thread would keep it."""
    turn = sys.getswitchinterval()
    sys.setswitchinterval(_TURN)
    try:
        import wherry.engine.upload  # noqa: F401
        from wherry.registry.client import Client

        return Client(registry_config(engine))
    finally:
        sys.setswitchinterval(turn)


def _choose(engine: Engine, reference: Reference, all_tags: bool) -> list[tuple[Reference, ImageRow]]:
    """The names to push, each with its image."""
    if reference.digest:
        raise InvalidArgument("cannot push a digest reference", hint="give the image a tag, and push that")
    if all_tags and reference.tag:
        raise InvalidArgument("tag can't be used with --all-tags/-a")
    found = {}
    for one in images.names(engine.db):
        if one.reference.startswith(reference.name + ":"):
            found[one.reference] = one.image_id
    if not found:
        raise NotFound(
            "image",
            reference.familiar_name(),
            f"An image does not exist locally with the tag: {reference.familiar_name()}",
        )
    if not all_tags:
        tagged = reference.tagged()
        if images.key(tagged) not in found:
            raise NotFound("image", tagged.familiar(), f"tag does not exist: {tagged.familiar()}")
        found = {images.key(tagged): found[images.key(tagged)]}
    rows = [(references.parse(name), images.get(engine.db, image_id)) for name, image_id in found.items()]
    return [(name, row) for name, row in rows if row is not None]


def _check_platform(row: ImageRow, wanted: str, reference: Reference) -> None:
    if wanted and platforms.normal(platforms.parse(wanted)) != platforms.normal(platforms.parse(row.platform)):
        raise NotFound(
            "manifest",
            str(reference),
            f"image with reference {reference.familiar()} was found but its platform ({row.platform}) does not match "
            f"the specified platform ({wanted})",
        )


def _index(engine: Engine, name: Reference, row: ImageRow) -> tuple[Document, ...] | None:
    """The documents of the index that a name stands for, when everything that it names is here."""
    target = images.target(engine.db, name)
    if target in ("", row.manifest):
        return None
    from wherry.engine import graph

    return graph.here(engine.content, target)


def _no_index(name: Reference, row: ImageRow, compression: Compression | None) -> WherryError:
    if compression is not None:
        return InvalidArgument("--compression makes other manifests, and so cannot be used with --all-platforms")
    return NotFound(
        "manifest",
        str(name),
        f"{name.familiar()} is here for {row.platform} only",
        hint="pull it with --all-platforms, or make an index with 'wherry manifest create'",
    )


def _image(
    engine: Engine, making: recompress.Making, row: ImageRow, compression: Compression | None
) -> recompress.Image:
    """The image to push: as it is here, or compressed as it is to be."""
    manifest = parse_manifest(engine.content.read(row.manifest), row.manifest_type)
    if not isinstance(manifest, Manifest):
        raise Corrupt(f"the manifest of {row.id} is an index")
    known = any(name.target for name in images.names(engine.db, row.id))  # a registry has it as it is here
    whole = all(engine.content.has(layer.digest) for layer in manifest.layers if not layer.urls)
    unseen = not known and whole and recompress.is_plain(engine, manifest)
    return making.image(row, manifest, compression or (Compression() if unseen else None), keep=unseen)
