"""One image from the store to a name in a registry: what it lacks is mounted from another of its repositories or
uploaded, up to `PARALLEL` blobs at once; the manifest goes last, so that the name never points at half an image.

What an image that was pushed before is known to share with this one is not asked for blob by blob: where the registry
has its manifest, it has all that it names.  A registry that refuses the manifest because it has lost a blob is asked
for each after all.
"""

from __future__ import annotations

import os
from functools import partial

from wherry.engine import events, graph
from wherry.engine.progress import short
from wherry.engine.push import Pushed
from wherry.engine.transfer import Crew, Meter
from wherry.errors import Corrupt, NotFound
from wherry.oci import reference as references
from wherry.oci.manifest import MAX_MANIFEST, Manifest, parse_manifest
from wherry.record import Record
from wherry.registry import fetch
from wherry.registry import push as registry
from wherry.registry.client import PASSED_OVER, Client
from wherry.store import images, index
from wherry.store.gc import image_blobs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from wherry.engine.engine import Engine
    from wherry.engine.progress import Progress
    from wherry.engine.recompress import Image
    from wherry.oci.manifest import Descriptor
    from wherry.oci.reference import Reference
    from wherry.store.images import ImageRow

PARALLEL = 5
_PIECE = 256 << 10
_MOUNTS = 3  # repositories to try for one blob
_ASKED = 4  # manifests pushed before that are asked for


class _Part(Record):
    """One blob that belongs there.  ``item`` is what it is shown as, "" when it is not; ``waits`` is there where
    ``blob`` is only what it is made of, and gives it when it has been made."""

    blob: Descriptor
    item: str = ""
    waits: Callable[[], Descriptor] | None = None


class Upload:
    """One image to one name.  What it raises is what `wherry.engine.push.push` says."""

    def __init__(
        self, engine: Engine, client: Client, reference: Reference, progress: Progress, stop: Callable[[], None]
    ) -> None:
        self._engine = engine
        self._client = client
        self._reference = reference
        self._progress = progress
        self._crew = Crew(PARALLEL, self._give_up)
        self._stop = stop
        self._seen: set[str] = set()  # manifests that the repository has
        self._origins: list[tuple[Reference, str]] | None = None
        self._blobs: dict[str, set[str]] = {}

    def _give_up(self) -> None:
        self._client.cancel()
        self._stop()

    def run(self, image: Image) -> Pushed:
        """Brings the blobs, each as soon as it is there to be brought, then the manifest, and notes its digest."""
        layers = [_Part(layer, short(diff_id), waits) for layer, diff_id, waits in image.layers]
        parts = self._stored([*layers, _Part(image.config)])
        settled = all(part.waits is None for part in parts)

        def put() -> None:
            made = image.made()
            self._put(self._reference, made.body, made.manifest.media_type)

        self._complete(parts, image.made().digest if settled else "", put, image.made)
        return self._done_with(image.row, image.made().digest, len(image.made().body))

    def run_index(self, row: ImageRow, documents: tuple[graph.Document, ...]) -> Pushed:
        """Brings the blobs of all platforms, then each manifest by its digest, and the index last."""
        *others, root = documents
        configs = {one.parsed.config.digest for one in others if isinstance(one.parsed, Manifest)}
        parts = [_Part(one, "" if one.digest in configs else short(one.digest)) for one in graph.blobs(documents)]

        def put() -> None:
            for one in others if root.descriptor.digest not in self._seen else ():
                self._put(self._reference.replace(tag="", digest=one.descriptor.digest), one.body, one.media_type)
            self._put(self._reference, root.body, root.media_type)

        self._complete(parts, root.descriptor.digest, put)
        return self._done_with(row, root.descriptor.digest, len(root.body))

    def _put(self, reference: Reference, body: bytes, media_type: str) -> None:
        registry.put_manifest(self._client, reference, body, media_type)

    @staticmethod
    def _stored(parts: list[_Part]) -> list[_Part]:
        """Those that registries keep."""
        return [part for part in parts if not graph.is_foreign(part.blob)]

    def _complete(
        self, parts: list[_Part], digest: str, put: Callable[[], None], besides: Callable[[], object] | None = None
    ) -> None:
        """Sees to it that the repository has every blob, then calls ``put``, which writes what has this ``digest``;
        "" when that is not known yet.  ``besides`` is done while the last blobs are on their way."""
        there = self._there({part.blob.digest for part in parts if part.waits is None}, digest)
        self._bring(parts, there, besides)
        try:
            put()
        except registry.Incomplete:
            if not there:
                raise
            self._seen.clear()
            self._bring(parts, frozenset())
            put()

    def _there(self, wanted: set[str], digest: str) -> frozenset[str]:
        """Blobs of ``wanted`` that the repository has because it has a manifest with them: the one with this
        ``digest``, or one of those that are known to have been there."""
        asked = {digest: frozenset(wanted)} if digest else {}
        known = self._manifests_there()
        missing = set(wanted)
        while missing and known and len(asked) < _ASKED:
            best = max(known, key=lambda one: len(known[one] & missing))
            found = known.pop(best) & missing
            if not found:
                break
            asked.setdefault(best, frozenset(found))
            missing -= found

        def ask(one: str) -> None:
            if registry.has_manifest(self._client, self._reference, one):
                self._seen.add(one)

        self._crew.run([partial(ask, one) for one in asked])
        return frozenset().union(*[asked[one] for one in self._seen])

    def _manifests_there(self) -> dict[str, frozenset[str]]:
        """The blobs of each manifest that is known to have been in the repository, by its digest."""
        content = self._engine.content
        found = {}
        for name in images.names(self._engine.db):
            place, at, digest = name.reference.partition("@")
            if at and place == self._reference.name and content.has(digest):
                document = parse_manifest(content.read(digest, MAX_MANIFEST))
                if isinstance(document, Manifest):
                    found[digest] = frozenset(one.digest for one in (document.config, *document.layers))
        return found

    def _done_with(self, row: ImageRow, digest: str, size: int) -> Pushed:
        """Notes what the registry has now."""
        for name in (self._reference, self._reference.replace(tag="", digest=digest)):
            images.note_target(self._engine.db, name, row.id, digest)
        index.write(self._engine.layout, self._engine.db)
        familiar = self._reference.familiar()
        events.of_image(self._engine.db, row.id, "push", self._reference.familiar_name(), actor=familiar)
        return Pushed(str(self._reference), self._reference.tag, digest, size)

    # -- blobs -------------------------------------------------------------------------------------------------------

    def _bring(self, parts: list[_Part], there: frozenset[str], besides: Callable[[], object] | None = None) -> None:
        """Sees to it that the repository has every blob.  It is known to have those of ``there``."""
        todo = [part for part in parts if part.blob.digest not in there]
        todo.sort(key=lambda part: part.waits is not None)  # what is ready goes first
        for part in parts:
            if part.item and part.waits is None:
                self._progress.start(part.item, "Preparing")
        for part in todo[PARALLEL:]:
            if part.item and part.waits is None:
                self._progress.start(part.item, "Waiting")
        for part in parts:
            if part.blob.digest in there:
                self._done(part.item, "Layer already exists")
        jobs: list[Callable[[], object]] = [partial(self._blob, part) for part in todo]
        self._crew.run([*jobs, besides] if besides else jobs)

    def _blob(self, part: _Part) -> None:
        blob, item = part.waits() if part.waits else part.blob, part.item
        if registry.has_blob(self._client, self._reference, blob.digest):
            self._done(item, "Layer already exists")
            return
        if not self._engine.content.has(blob.digest):
            self._fetch_back(blob, self._known_places(blob.digest, beside=False))
        meter = Meter(self._progress, item, blob.size)
        if item:
            self._progress.start(item, "Pushing")
        mounts = [place.path for place in self._known_places(blob.digest, beside=True)]
        source = registry.put_blob(
            self._client, self._reference, blob, partial(self._pieces, blob), mount=mounts[:_MOUNTS],
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

    def _known_places(self, digest: str, *, beside: bool) -> list[Reference]:
        """Repositories that are known to have a blob: those of every image with it that came from a registry; with
        ``beside`` others of the registry that is pushed to, without it any.  A large store has many manifests to read.
        """
        ours, content = self._reference, self._engine.content
        if self._origins is None:
            names = [name for name in images.names(self._engine.db) if "@" in name.reference]
            self._origins = [(references.parse(name.reference), name.image_id) for name in names]
        found = []
        for place, image_id in self._origins:
            if beside and (place.domain != ours.domain or place.path == ours.path):
                continue
            if image_id not in self._blobs:
                row = images.get(self._engine.db, image_id)
                self._blobs[image_id] = image_blobs(content, row) if row else set()
            if digest in self._blobs[image_id]:
                found.append(place)
        return found

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
