"""An image or an index with all that it names, written to a registry: the blobs that it lacks, then the documents.

Where the blobs come from is an `Origin`: the store, or another repository, from which they are mounted when it is one
of the same registry and streamed through when it is not.
"""

from __future__ import annotations

import os
from functools import partial

from wherry.engine import graph
from wherry.engine.transfer import Crew, Meter
from wherry.errors import Corrupt
from wherry.oci import digest as digests
from wherry.registry import push

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import Protocol

    from wherry.engine.graph import Document
    from wherry.engine.progress import Progress
    from wherry.oci.manifest import Descriptor
    from wherry.oci.reference import Reference
    from wherry.registry.client import Client
    from wherry.store.content import Content
else:
    Protocol = object

PARALLEL = 5
_PIECE = 256 << 10


class Origin(Protocol):
    """Where blobs are.  ``places`` are repositories that have a blob, for the registry to mount it from."""

    def pieces(self, blob: Descriptor, offset: int) -> Iterator[bytes]:
        """The blob's bytes from ``offset`` on."""

    def places(self, blob: Descriptor, /) -> Sequence[Reference]:
        """Repositories that are known to have the blob."""


class FromStore:
    """Blobs of the store."""

    def __init__(self, content: Content, places: Callable[[str], Sequence[Reference]] = lambda _digest: ()) -> None:
        self._content = content
        self._places = places

    def pieces(self, blob: Descriptor, offset: int) -> Iterator[bytes]:
        """Raises `NotFound`, and `Corrupt` when the file does not have its size."""
        with self._content.open(blob.digest) as file:
            if os.fstat(file.fileno()).st_size != blob.size:
                raise Corrupt(f"blob {blob.digest} is damaged on disk", hint="pull the image again")
            file.seek(offset)
            while piece := file.read(_PIECE):
                yield piece

    def places(self, blob: Descriptor) -> Sequence[Reference]:
        return self._places(blob.digest)


class FromRegistry:
    """Blobs of a repository, streamed through; what comes is not kept."""

    def __init__(self, client: Client, repository: Reference) -> None:
        self._client = client
        self._repository = repository

    def pieces(self, blob: Descriptor, offset: int) -> Iterator[bytes]:
        with self._client.blob(self._repository, blob, offset) as stream:
            while piece := stream.read():
                yield piece

    def places(self, _blob: Descriptor) -> Sequence[Reference]:
        return (self._repository,)


def put_graph(
    client: Client, target: Reference, documents: Sequence[Document], origin: Origin, progress: Progress
) -> str:
    """Writes ``documents``, each after those that it names, to the repository of ``target``; the last gets its name.

    Returns that one's digest.  Raises what `wherry.registry.push` raises.
    """
    *others, root = documents
    crew = Crew(PARALLEL, client.cancel)
    if not push.has_manifest(client, target, root.descriptor.digest):
        crew.run([partial(put_blob, client, target, blob, origin, progress) for blob in graph.blobs(documents)])
        for one in others:
            where = target.replace(tag="", digest=one.descriptor.digest)
            push.put_manifest(client, where, one.body, one.media_type)
    return push.put_manifest(client, target, root.body, root.media_type)


def put_blob(client: Client, target: Reference, blob: Descriptor, origin: Origin, progress: Progress) -> None:
    """Brings one blob into the repository of ``target``, unless it is there."""
    item = digests.hex_part(blob.digest)[:12]
    if push.has_blob(client, target, blob.digest):
        progress.done(item, "Already exists")
        return
    mounts = [one.path for one in origin.places(blob) if one.domain == target.domain and one.path != target.path]
    progress.start(item, "Pushing")
    meter = Meter(progress, item, blob.size)
    source = push.put_blob(client, target, blob, partial(origin.pieces, blob), mount=mounts[:3], progress=meter)
    progress.done(item, f"Mounted from {source}" if source else "Pushed")
