"""Images that are made here: a new layer on what there is, and the documents that name it.

Everything is written before the rows are, so a new image is there whole or not at all; what a failure leaves is
unreachable, and collected.
"""

from __future__ import annotations

import hashlib
import os
import threading

from wherry import fastjson
from wherry.engine import unpack
from wherry.engine.record_image import record
from wherry.engine.transfer import Whole
from wherry.errors import Corrupt
from wherry.layers.compress import Compressed
from wherry.oci import image
from wherry.oci.digest import of as digest_of
from wherry.oci.manifest import (
    DOCKER_CONFIG,
    DOCKER_LAYER_GZIP,
    DOCKER_MANIFEST,
    OCI_CONFIG,
    OCI_LAYER,
    OCI_MANIFEST,
    Descriptor,
    Manifest,
)
from wherry.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Protocol

    from wherry.engine.engine import Engine
    from wherry.layers.compression import Readable
    from wherry.layers.pack import Writable
    from wherry.oci.reference import Reference
else:
    Protocol = object


class NewLayer(Record):
    """A layer that was added: its blob, and the digest of its tar."""

    digest: str
    size: int
    diff_id: str


def add_layer(engine: Engine, tar: Readable) -> NewLayer:
    """Keep the bytes of ``tar`` as a layer, compressed and unpacked.

    The caller holds `wherry.store.gc.adding` and may write layers.  Raises `Corrupt` for what is no layer,
    `StorageFull`, and what reading raises.
    """
    return add_compressed(engine, _Compressed(tar))


class CompressedLayer(Protocol):
    """A layer's bytes as they are kept, to be read; then the digest of its tar is known."""

    def read(self, size: int, /) -> bytes: ...

    @property
    def diff_id(self) -> str: ...


def add_compressed(engine: Engine, layer: CompressedLayer) -> NewLayer:
    """Keep a layer that comes compressed, with these very bytes, and unpacked: see `add_layer`."""
    digest, size = engine.content.put_stream(layer.read)
    stream = Whole(engine.content.local(digest))
    try:
        unpack.unpack(engine, digest, layer.diff_id, stream)
    finally:
        stream.close()
    return NewLayer(digest, size, layer.diff_id)


class _Compressed:
    """A tar, compressed while it is read."""

    def __init__(self, tar: Readable) -> None:
        self._hashed = _Hashed(tar)
        self.read = Compressed(self._hashed, "gzip", None).read

    @property
    def diff_id(self) -> str:
        return self._hashed.digest


class _Hashed:
    """A tar while it is read."""

    def __init__(self, inner: Readable) -> None:
        self._inner = inner
        self._hash = hashlib.sha256()

    def read(self, size: int, /) -> bytes:
        piece = self._inner.read(size)
        self._hash.update(piece)
        return piece

    @property
    def digest(self) -> str:
        return "sha256:" + self._hash.hexdigest()


class Written:
    """What ``write`` writes, to be read: it runs in a thread of its own and is never far ahead.  A context manager."""

    def __init__(self, write: Callable[[Writable], None]) -> None:
        self._read, end = os.pipe()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, args=(write, end), daemon=True)
        self._thread.start()

    def _run(self, write: Callable[[Writable], None], end: int) -> None:
        try:
            with open(end, "wb") as out:
                write(out)
        except BaseException as error:
            self._error = error

    def __enter__(self) -> Written:
        return self

    def __exit__(self, *_error: object) -> None:
        os.close(self._read)
        self._thread.join()

    def read(self, size: int, /) -> bytes:
        """Up to ``size`` bytes, nothing at the end; raises what ``write`` raised."""
        piece = os.read(self._read, size)
        if not piece:
            self._thread.join()
            if self._error is not None:
                raise self._error
        return piece


def keep(
    engine: Engine, document: dict[str, Any], layers: tuple[Descriptor, ...], *, docker: bool,
    names: tuple[Reference, ...], action: str = "", parent: str = "",
) -> str:  # fmt: skip
    """Write the documents of an image and its rows; its id.  ``docker``: the documents' media types are Docker's."""
    body = fastjson.dumps(document).encode()
    config = image.parse(body)
    if len(layers) != len(config.diff_ids):
        raise Corrupt(f"{len(layers)} layers, but {len(config.diff_ids)} diff ids")
    kind = DOCKER_CONFIG if docker else OCI_CONFIG
    manifest = Manifest(
        Descriptor(kind, digest_of(body), len(body)), layers, media_type=DOCKER_MANIFEST if docker else OCI_MANIFEST
    )
    text = fastjson.dumps(manifest.to_json()).encode()
    image_id, digest = engine.content.put(body), engine.content.put(text)
    record(
        engine,
        manifest=Descriptor(manifest.media_type, digest, len(text)),
        media_type=manifest.media_type,
        image_id=image_id,
        config=config,
        names=names,
        action=action,
        parent=parent,
    )
    return image_id


def descriptor(layer: NewLayer, *, docker: bool) -> Descriptor:
    """How a manifest names a new layer."""
    return Descriptor(DOCKER_LAYER_GZIP if docker else f"{OCI_LAYER}+gzip", layer.digest, layer.size)
