"""The layers of an image compressed in another way: for a push, or because they came as plain tars."""

from __future__ import annotations

from functools import partial

from wherry import fastjson
from wherry.engine.transfer import Crew, Whole
from wherry.errors import Corrupt
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
from wherry.store import layers

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


class Recompressed(Record):
    """The image as it is now: ``body`` is the manifest's text; both are kept in the store."""

    manifest: Manifest
    body: bytes
    digest: str


def is_plain(engine: Engine, manifest: Manifest) -> bool:
    """Whether a layer of the image is not compressed at all."""
    return any(_kind(engine, layer) == "" for layer in manifest.layers if not layer.urls)


def recompress(
    engine: Engine,
    row: ImageRow,
    manifest: Manifest,
    wanted: Compression,
    show: Callable[[str], None] = lambda _layer: None,
) -> Recompressed:
    """The same image with layers compressed as ``wanted``; those that are so already stay, unless a level is wanted.

    ``manifest`` is the one of ``row``; it stays when there is nothing to do.
    ``show`` is told the diff id of each layer that is being compressed.  The caller holds `wherry.store.gc.adding`.
    Raises `InvalidArgument`, `NotFound` when a blob is not here, `Corrupt`, `StorageFull`.
    """
    compress.check(wanted.kind, wanted.level)
    found: dict[str, Descriptor] = {}
    crew = Crew(_PARALLEL, lambda: None)

    def job(layer: Descriptor, diff_id: str) -> None:
        show(diff_id)
        found[layer.digest] = _layer(engine, layer, diff_id, wanted, crew.check)

    pairs = {layer.digest: (layer, diff_id) for layer, diff_id in zip(manifest.layers, row.diff_ids, strict=True)}
    todo = [
        pair for pair in pairs.values()
        if not pair[0].urls and (wanted.level is not None or _kind(engine, pair[0]) != wanted.kind)
    ]  # fmt: skip
    crew.run([partial(job, layer, diff_id) for layer, diff_id in todo])
    oci = wanted.kind == "zstd" or manifest.media_type != DOCKER_MANIFEST
    changed = tuple(_typed(found.get(one.digest, one), _kind_of(found, one, wanted), oci) for one in manifest.layers)
    if not found:
        return Recompressed(manifest, engine.content.read(row.manifest), row.manifest)
    made = manifest.replace(layers=changed)
    if oci:
        made = made.replace(media_type=OCI_MANIFEST, config=manifest.config.replace(media_type=OCI_CONFIG))
    body = fastjson.dumps(made.to_json()).encode()
    return Recompressed(made, body, engine.content.put(body))


def _kind_of(found: dict[str, Descriptor], layer: Descriptor, wanted: Compression) -> str:
    """The compression that a layer has now; empty when its media type is to stay."""
    return wanted.kind if layer.digest in found else ""


def _typed(layer: Descriptor, kind: str, oci: bool) -> Descriptor:
    if kind:
        return layer.replace(media_type=f"{OCI_LAYER}+{kind}" if oci else DOCKER_LAYER_GZIP)
    if oci and layer.media_type.startswith(DOCKER_LAYER_GZIP):
        return layer.replace(media_type=f"{OCI_LAYER}+gzip")
    return layer


def _kind(engine: Engine, layer: Descriptor) -> str:
    head = engine.content.head(layer.digest, 4)
    return next((kind for kind, magic in _MAGIC.items() if head.startswith(magic)), "")


def _layer(
    engine: Engine, layer: Descriptor, diff_id: str, wanted: Compression, check: Callable[[], None]
) -> Descriptor:
    """Compresses one layer, or finds what an earlier push made of it."""
    if wanted.level is None:
        for digest in layers.blobs_of(engine.db, diff_id):
            if engine.content.has(digest) and engine.content.head(digest, 4).startswith(_MAGIC[wanted.kind]):
                return layer.replace(digest=digest, size=engine.content.size(digest))
    source = Whole(engine.content.local(layer.digest))
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
