"""``docker push``: from an image in the store to a name in a registry.

Reading order: `push` is the story; `_Push` holds what its steps share.  The registry is asked what it has; what it
lacks is mounted from another of its repositories or uploaded, up to `PARALLEL` blobs at once; the manifest goes last,
so that the name never points at half an image.  A push that was broken off finds what it brought there the next time.
"""

from __future__ import annotations

import os
from functools import partial

from wherry.engine import events, graph, recompress
from wherry.engine.progress import OneAtATime, Silent
from wherry.engine.pull import short
from wherry.engine.recompress import Compression
from wherry.engine.registries import registry_config
from wherry.engine.transfer import Crew, Meter
from wherry.errors import Corrupt, InvalidArgument, NotFound, WherryError
from wherry.oci import platform as platforms
from wherry.oci import reference as references
from wherry.oci.manifest import Manifest, parse_manifest
from wherry.record import Record
from wherry.registry import fetch
from wherry.registry import push as registry
from wherry.registry.client import PASSED_OVER, Client
from wherry.store import images, index
from wherry.store.gc import adding, image_blobs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from wherry.engine.engine import Engine
    from wherry.engine.progress import Progress
    from wherry.oci.manifest import Descriptor
    from wherry.oci.reference import Reference
    from wherry.store.images import ImageRow

PARALLEL = 5
_PIECE = 256 << 10
_MOUNTS = 3  # repositories to try for one blob


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
    config = registry_config(engine)
    show = OneAtATime(progress or Silent())
    if not reference.tag and not all_tags and not reference.digest:
        show.message("Using default tag: latest")
    chosen = _choose(engine, reference, all_tags)
    show.message(f"The push refers to repository [{reference.name}]")
    pushed = []
    with Client(config) as client, adding(engine.layout):
        for tagged, row in chosen:
            whole = None if platform or compression else _index(engine, tagged, row)
            if all_platforms and whole is None:
                raise _no_index(tagged, row, compression)
            pushing = _Push(engine, client, tagged, show)
            if whole is not None:
                one = pushing.run_index(row, whole)
            else:
                _check_platform(row, platform, tagged)
                one = pushing.run(row, compression)
            show.message(f"{one.tag}: digest: {one.digest} size: {one.size}")
            pushed.append(one)
    return tuple(pushed)


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


def _index(engine: Engine, name: Reference, row: ImageRow) -> tuple[graph.Document, ...] | None:
    """The documents of the index that a name stands for, when everything that it names is here."""
    target = images.target(engine.db, name)
    return graph.here(engine.content, target) if target not in ("", row.manifest) else None


def _no_index(name: Reference, row: ImageRow, compression: Compression | None) -> WherryError:
    if compression is not None:
        return InvalidArgument("--compression makes other manifests, and so cannot be used with --all-platforms")
    return NotFound(
        "manifest",
        str(name),
        f"{name.familiar()} is here for {row.platform} only",
        hint="pull it with --all-platforms, or make an index with 'wherry manifest create'",
    )


class _Push:
    """One image to one name."""

    def __init__(self, engine: Engine, client: Client, reference: Reference, progress: Progress) -> None:
        self._engine = engine
        self._client = client
        self._reference = reference
        self._progress = progress
        self._crew = Crew(PARALLEL, client.cancel)
        self._places: dict[str, list[Reference]] | None = None

    def run(self, row: ImageRow, compression: Compression | None) -> Pushed:
        """Compresses where that is wanted, brings the blobs, then the manifest, and notes the digest."""
        body, manifest = self._document(row)
        unseen = not self._known(row) and self._whole(manifest) and recompress.is_plain(self._engine, manifest)
        if compression is not None or unseen:
            made = recompress.recompress(self._engine, row, manifest, compression or Compression(), self._compressing)
            body, manifest = made.body, made.manifest
            if unseen:
                self._keep(row, made)
        digest = self._engine.content.put(body)
        there = registry.has_manifest(self._client, self._reference, digest)
        parts = {layer.digest: (layer, diff_id) for layer, diff_id in zip(manifest.layers, row.diff_ids, strict=True)}
        layers = [(layer, short(diff_id)) for layer, diff_id in reversed(parts.values())]
        self._bring([*layers, (manifest.config, "")], there)
        registry.put_manifest(self._client, self._reference, body, manifest.media_type)
        return self._done_with(row, digest, len(body))

    def run_index(self, row: ImageRow, documents: tuple[graph.Document, ...]) -> Pushed:
        """Brings the blobs of all platforms, then each manifest by its digest, and the index last."""
        *others, root = documents
        there = registry.has_manifest(self._client, self._reference, root.descriptor.digest)
        blobs = graph.blobs(documents)
        configs = {one.parsed.config.digest for one in others if isinstance(one.parsed, Manifest)}
        self._bring([(one, "" if one.digest in configs else short(one.digest)) for one in blobs], there)
        for one in others if not there else ():
            where = self._reference.replace(tag="", digest=one.descriptor.digest)
            registry.put_manifest(self._client, where, one.body, one.media_type)
        registry.put_manifest(self._client, self._reference, root.body, root.media_type)
        return self._done_with(row, root.descriptor.digest, len(root.body))

    def _done_with(self, row: ImageRow, digest: str, size: int) -> Pushed:
        """Notes what the registry has now."""
        for name in (self._reference, self._reference.replace(tag="", digest=digest)):
            images.note_target(self._engine.db, name, row.id, digest)
        index.write(self._engine.layout, self._engine.db)
        familiar = self._reference.familiar()
        events.of_image(self._engine.db, row.id, "push", self._reference.familiar_name(), actor=familiar)
        return Pushed(str(self._reference), self._reference.tag, digest, size)

    def _document(self, row: ImageRow) -> tuple[bytes, Manifest]:
        body = self._engine.content.read(row.manifest)
        manifest = parse_manifest(body, row.manifest_type)
        if not isinstance(manifest, Manifest):
            raise Corrupt(f"the manifest of {row.id} is an index")
        return body, manifest

    def _known(self, row: ImageRow) -> bool:
        """Whether a registry has the image under the digest that it has here."""
        return any(name.target for name in images.names(self._engine.db, row.id))

    def _whole(self, manifest: Manifest) -> bool:
        return all(self._engine.content.has(layer.digest) for layer in manifest.layers if not layer.urls)

    def _keep(self, row: ImageRow, made: recompress.Recompressed) -> None:
        """The compressed form takes the plain one's place, so that the next push finds it."""
        changed = row.replace(
            manifest=made.digest, manifest_type=made.manifest.media_type, manifest_size=len(made.body)
        )
        with self._engine.db.transaction():
            if images.get(self._engine.db, row.id) == row:
                images.put(self._engine.db, changed)

    def _compressing(self, diff_id: str) -> None:
        self._progress.start(short(diff_id), "Compressing")

    # -- blobs -------------------------------------------------------------------------------------------------------

    def _bring(self, parts: list[tuple[Descriptor, str]], there: bool) -> None:
        """Sees to it that the repository has every blob; each with the item that it is shown as, or none.

        ``there``: it is known to have them.
        """
        todo = [(blob, item) for blob, item in parts if not graph.is_foreign(blob)]
        for number, (_blob, item) in enumerate(todo):
            if item:
                self._progress.start(item, "Preparing")
                if number >= PARALLEL and not there:
                    self._progress.start(item, "Waiting")
        if there:
            for _blob, item in todo:
                self._done(item, "Layer already exists")
        else:
            self._crew.run([partial(self._blob, blob, item) for blob, item in todo])

    def _blob(self, blob: Descriptor, item: str) -> None:
        """One layer, or with an empty ``item`` the configuration."""
        if registry.has_blob(self._client, self._reference, blob.digest):
            self._done(item, "Layer already exists")
            return
        places = self._known_places(blob.digest)
        if not self._engine.content.has(blob.digest):
            self._fetch_back(blob, places)
        meter = Meter(self._progress, item, blob.size)
        if item:
            self._progress.start(item, "Pushing")
        ours = self._reference
        mounts = [place.path for place in places if place.domain == ours.domain and place.path != ours.path]
        source = registry.put_blob(
            self._client, ours, blob, partial(self._pieces, blob), mount=mounts[:_MOUNTS],
            progress=meter if item else None,
        )  # fmt: skip
        self._done(item, f"Mounted from {source}" if source else "Pushed")

    def _done(self, item: str, status: str) -> None:
        if item:
            self._progress.done(item, status)

    def _pieces(self, blob: Descriptor, offset: int) -> Iterator[bytes]:
        with self._engine.content.open(blob.digest) as file:
            if os.fstat(file.fileno()).st_size != blob.size:
                raise Corrupt(f"blob {blob.digest} is damaged on disk", hint="pull the image again")
            file.seek(offset)
            while piece := file.read(_PIECE):
                yield piece

    def _known_places(self, digest: str) -> list[Reference]:
        """Repositories that are known to have a blob: those of every image with it that came from a registry."""
        if self._places is None:
            rows = {row.id: row for row in images.list_all(self._engine.db)}
            blobs = {image_id: image_blobs(self._engine.content, row) for image_id, row in rows.items()}
            found: dict[str, list[Reference]] = {}
            for name in images.names(self._engine.db):
                if "@" in name.reference:
                    for one in blobs.get(name.image_id, ()):
                        found.setdefault(one, []).append(references.parse(name.reference))
            self._places = found
        return self._places.get(digest, [])

    def _fetch_back(self, blob: Descriptor, places: list[Reference]) -> None:
        """A blob that is not here any more is fetched from where it came."""
        for place in places:
            try:
                with self._engine.content.writer(blob.digest, blob.size, waiting=self._crew.check) as writer:
                    if not writer.present:
                        fetch.download(self._client, place, blob, writer)
                return
            except PASSED_OVER:
                continue
        raise NotFound("blob", blob.digest, f"layer {blob.digest} is not here any more", hint="pull the image again")
