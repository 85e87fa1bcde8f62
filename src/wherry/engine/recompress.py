"""The layers of an image compressed in another way: for a push, or because they came as plain tars."""

from __future__ import annotations

import threading
from functools import partial

from wherry import fastjson
from wherry.engine.transfer import Crew
from wherry.errors import Cancelled, Corrupt
from wherry.layers import compress, compression
from wherry.oci import digest as digests
from wherry.oci.manifest import (
    DOCKER_LAYER_GZIP,
    DOCKER_MANIFEST,
    OCI_CONFIG,
    OCI_LAYER,
    OCI_MANIFEST,
    Descriptor,
    Manifest,
)
from wherry.record import Record
from wherry.store import images, index, layers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from wherry.engine.engine import Engine
    from wherry.store.images import ImageRow

_MAGIC = {"gzip": b"\x1f\x8b", "zstd": b"\x28\xb5\x2f\xfd"}
_PARALLEL = 2


class Compression(Record):
    """How layers are to be: ``kind`` is gzip or zstd; ``level`` None is a fast one."""

    kind: str = "gzip"
    level: int | None = None


class Made(Record):
    """An image as it is now: ``body`` is the manifest's text; both are kept in the store."""

    manifest: Manifest
    body: bytes
    digest: str


def is_plain(engine: Engine, manifest: Manifest) -> bool:
    """Whether a layer of the image is not compressed at all."""
    return any(_kind(engine, layer) == "" for layer in manifest.layers if not layer.urls)


class Making:
    """Layers that threads of their own compress, while the caller does what does not depend on them.

    First `image` for everything that is wanted; then a context manager: entered, the work begins, in the order in which
    layers were wanted; left, what is not done is given up.  ``show`` is told the diff id of each layer that is being
    compressed.  The caller holds `wherry.store.gc.adding`.
    """

    def __init__(self, engine: Engine, show: Callable[[str], None]) -> None:
        self._engine = engine
        self._show = show
        self._jobs: dict[tuple[str, Compression], _Job] = {}
        self._crew = Crew(_PARALLEL, self._wake)

    def image(self, row: ImageRow, manifest: Manifest, wanted: Compression | None, *, keep: bool = False) -> Image:
        """The image of ``row``, which has this ``manifest``, with its layers compressed as ``wanted``, None: as it is.

        Layers that are so already stay, unless a level is wanted, and the manifest with them.  With ``keep`` this form
        takes the other's place in the store.  Raises `InvalidArgument`, `NotFound` when a blob is not here.
        """
        found: dict[str, Descriptor | _Job] = {}
        if wanted is not None:
            compress.check(wanted.kind, wanted.level)
            for layer, diff_id in _from_the_top(row, manifest):
                if layer.urls or (wanted.level is None and _kind(self._engine, layer) == wanted.kind):
                    continue
                found[layer.digest] = _made_before(self._engine, layer, diff_id, wanted) or self._jobs.setdefault(
                    (layer.digest, wanted), _Job(layer, diff_id, wanted)
                )
        return Image(self._engine, row, manifest, wanted or Compression(), found, keep)

    def __enter__(self) -> None:
        self._crew.start([partial(self._run, job) for job in self._jobs.values()])

    def __exit__(self, *_error: object) -> None:
        self.stop()
        self._crew.wait()

    def stop(self) -> None:
        """Gives up what is not done; whoever waits for it gets `Cancelled`."""
        self._crew.fail(Cancelled("given up because another part failed"))

    def _run(self, job: _Job) -> None:
        self._show(job.diff_id)
        job.end(_compress(self._engine, job.layer, job.diff_id, job.wanted, self._crew.check))

    def _wake(self) -> None:
        for job in self._jobs.values():
            job.end(self._crew.error)


class _Job:
    """One layer that is to be compressed, and what came of it."""

    def __init__(self, layer: Descriptor, diff_id: str, wanted: Compression) -> None:
        self.layer, self.diff_id, self.wanted = layer, diff_id, wanted
        self._came: Descriptor | BaseException | None = None
        self._ended = threading.Event()

    def end(self, came: Descriptor | BaseException | None) -> None:
        """Tells it; only the first counts."""
        self._came = self._came or came
        self._ended.set()

    def wait(self) -> Descriptor:
        """The layer as it is now.  Raises why it is not."""
        self._ended.wait()
        if isinstance(self._came, BaseException):
            raise self._came
        assert self._came is not None
        return self._came


class Image:
    """One image of a `Making`."""

    def __init__(
        self,
        engine: Engine,
        row: ImageRow,
        manifest: Manifest,
        wanted: Compression,
        found: dict[str, Descriptor | _Job],
        keep: bool,
    ) -> None:
        self.row = row
        self.config = manifest.config
        self._engine, self._manifest, self._wanted, self._found, self._keep = engine, manifest, wanted, found, keep
        self._made: Made | None = None

    @property
    def layers(self) -> list[tuple[Descriptor, str, Callable[[], Descriptor] | None]]:
        """Each layer once, the top one first, with its diff id; with what waits for it where it is not ready yet."""
        found: list[tuple[Descriptor, str, Callable[[], Descriptor] | None]] = []
        for layer, diff_id in _from_the_top(self.row, self._manifest):
            now = self._found.get(layer.digest, layer)
            found.append((layer, diff_id, now.wait) if isinstance(now, _Job) else (now, diff_id, None))
        return found

    def made(self) -> Made:
        """The whole image, when its layers are there.  Raises why one is not, `Corrupt`, `StorageFull`."""
        if self._made is None:
            found = {digest: now.wait() if isinstance(now, _Job) else now for digest, now in self._found.items()}
            self._made = self._changed(found) if found else self._as_it_was()
        return self._made

    def _as_it_was(self) -> Made:
        return Made(self._manifest, self._engine.content.read(self.row.manifest), self.row.manifest)

    def _changed(self, found: dict[str, Descriptor]) -> Made:
        manifest, kind = self._manifest, self._wanted.kind
        oci = kind == "zstd" or manifest.media_type != DOCKER_MANIFEST
        layers = tuple(
            _typed(found.get(one.digest, one), kind if one.digest in found else "", oci) for one in manifest.layers
        )
        made = manifest.replace(layers=layers)
        if oci:
            made = made.replace(media_type=OCI_MANIFEST, config=manifest.config.replace(media_type=OCI_CONFIG))
        body = fastjson.dumps(made.to_json()).encode()
        digest = self._engine.content.put(body)
        if self._keep:  # so that the next push finds it
            row = self.row.replace(manifest=digest, manifest_type=made.media_type, manifest_size=len(body))
            with self._engine.db.transaction():
                if images.get(self._engine.db, row.id) == self.row:
                    images.put(self._engine.db, row)
            index.write(self._engine.layout, self._engine.db)
        return Made(made, body, digest)


def _from_the_top(row: ImageRow, manifest: Manifest) -> list[tuple[Descriptor, str]]:
    """Each layer once, with its diff id, in the order in which people see them pushed."""
    pairs = zip(manifest.layers, row.diff_ids, strict=True)
    return list({layer.digest: (layer, diff_id) for layer, diff_id in pairs}.values())[::-1]


def _typed(layer: Descriptor, kind: str, oci: bool) -> Descriptor:
    if kind:
        return layer.replace(media_type=f"{OCI_LAYER}+{kind}" if oci else DOCKER_LAYER_GZIP)
    if oci and layer.media_type.startswith(DOCKER_LAYER_GZIP):
        return layer.replace(media_type=f"{OCI_LAYER}+gzip")
    return layer


def _kind(engine: Engine, layer: Descriptor) -> str:
    head = engine.content.head(layer.digest, 4)
    return next((kind for kind, magic in _MAGIC.items() if head.startswith(magic)), "")


def _made_before(engine: Engine, layer: Descriptor, diff_id: str, wanted: Compression) -> Descriptor | None:
    """What an earlier push made of a layer."""
    if wanted.level is None:
        for digest in layers.blobs_of(engine.db, diff_id):
            if engine.content.has(digest) and engine.content.head(digest, 4).startswith(_MAGIC[wanted.kind]):
                return layer.replace(digest=digest, size=engine.content.size(digest))
    return None


def _compress(
    engine: Engine, layer: Descriptor, diff_id: str, wanted: Compression, check: Callable[[], None]
) -> Descriptor:
    source = engine.content.open(layer.digest)
    try:
        tar = _Hashed(compression.reader(source), diff_id, check)
        digest, size = engine.content.put_stream(compress.Compressed(tar, wanted.kind, wanted.level).read)
        if tar.digest != diff_id:
            raise Corrupt(f"layer {layer.digest} has the diff id {tar.digest}, not {diff_id}")
    finally:
        source.close()
    layers.note_blob(engine.db, digest, diff_id)
    return layer.replace(digest=digest, size=size)


class _Hashed:
    """A tar while it is read."""

    def __init__(self, inner: compression.Readable, diff_id: str, check: Callable[[], None]) -> None:
        self._inner = inner
        self._check = check
        self._hash = digests.hasher(diff_id)

    def read(self, size: int, /) -> bytes:
        self._check()
        piece = self._inner.read(size)
        self._hash.update(piece)
        return piece

    @property
    def digest(self) -> str:
        return f"{self._hash.name}:{self._hash.hexdigest()}"
