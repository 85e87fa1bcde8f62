"""Everything that a name leads to: indexes, the manifests in them, and their blobs.

A graph comes from strangers: how deep it goes, how many documents it has and how large each may be is bounded, and a
document that several point at is read once (CVE-2026-53493).
"""

from __future__ import annotations

from functools import partial

from wherry.engine.transfer import Meter
from wherry.errors import Corrupt, NotFound
from wherry.oci import digest as digests
from wherry.oci.manifest import MAX_MANIFEST, Descriptor, Index, Manifest, parse_manifest
from wherry.record import Record
from wherry.registry import fetch

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from wherry.engine.progress import Progress
    from wherry.engine.transfer import Crew
    from wherry.oci.reference import Reference
    from wherry.registry.client import Client
    from wherry.store.content import Content

MAX_DOCUMENTS = 250
_PARALLEL = 3


class Document(Record):
    """A manifest or an index: ``body`` has the digest of ``descriptor``."""

    descriptor: Descriptor
    body: bytes
    parsed: Manifest | Index

    @property
    def media_type(self) -> str:
        """What a registry is told that it is."""
        return self.parsed.media_type


def walk(read: Callable[[Descriptor], bytes], root: Descriptor) -> tuple[Document, ...]:
    """The documents from ``root`` on, each after those that it names.

    ``read`` gives a verified document.  Raises `Corrupt` for a graph without bounds, and what ``read`` raises.
    """
    found: dict[str, Document] = {}
    _walk(read, root, found, set(), 0)
    return tuple(found.values())


def _walk(
    read: Callable[[Descriptor], bytes], entry: Descriptor, found: dict[str, Document], seen: set[str], depth: int
) -> None:
    if entry.digest in seen:
        return
    seen.add(entry.digest)
    if depth >= fetch.MAX_DEPTH:
        raise Corrupt(f"index {entry.digest} is nested too deeply")
    if len(seen) > MAX_DOCUMENTS:
        raise Corrupt(f"the index leads to more than {MAX_DOCUMENTS} manifests")
    body = read(entry)
    if entry.size >= 0 and len(body) != entry.size:
        raise Corrupt(f"manifest {entry.digest} has {len(body)} bytes instead of {entry.size}")
    document = parse(entry, body)
    if isinstance(document.parsed, Index):
        for one in document.parsed.manifests:
            _walk(read, one, found, seen, depth + 1)
    found[entry.digest] = document


def parse(entry: Descriptor, body: bytes) -> Document:
    """One document.  Raises `Corrupt`."""
    parsed = parse_manifest(body, entry.media_type)
    return Document(entry.replace(size=len(body), media_type=parsed.media_type), body, parsed)


def blobs(documents: Iterable[Document]) -> tuple[Descriptor, ...]:
    """The configurations and layers that the documents name, each once; without those that registries do not keep."""
    found: dict[str, Descriptor] = {}
    for document in documents:
        if isinstance(document.parsed, Manifest):
            for blob in (document.parsed.config, *document.parsed.layers):
                if not is_foreign(blob):
                    found.setdefault(blob.digest, blob)
    return tuple(found.values())


def is_foreign(layer: Descriptor) -> bool:
    """A layer that registries do not keep, because its licence forbids it: it stays where its manifest says."""
    return bool(layer.urls) and ("nondistributable" in layer.media_type or "foreign" in layer.media_type)


def here(content: Content, digest: str) -> tuple[Document, ...] | None:
    """The graph of ``digest`` when all of it is in the store, else None."""
    try:
        documents = walk(partial(_read, content), Descriptor("", digest, -1))
    except NotFound:
        return None
    return documents if all(content.has(blob.digest) for blob in blobs(documents)) else None


def _read(content: Content, entry: Descriptor) -> bytes:
    return content.read(entry.digest, MAX_MANIFEST)


def bring(
    content: Content, client: Client, repository: Reference, root: Descriptor, crew: Crew, progress: Progress
) -> tuple[Document, ...]:
    """Fetches the graph of ``root`` from a repository into the store, what is here already excepted.

    Documents are put there last, so that an index in the store has been whole.  The caller holds
    `wherry.store.gc.adding`.  Raises what `fetch.download` raises.
    """

    def read(entry: Descriptor) -> bytes:
        if content.has(entry.digest):
            return content.read(entry.digest, MAX_MANIFEST)
        expected = entry if entry.size >= 0 else None
        return client.manifest(repository.replace(tag="", digest=entry.digest), expected).body

    documents = walk(read, root)
    todo: list[Callable[[], None]] = []
    for blob in blobs(documents):
        if content.has(blob.digest):
            continue
        todo.append(partial(_blob, content, client, repository, blob, crew, progress))
    crew.run(todo)
    for document in documents:
        content.put(document.body, document.descriptor.digest)
    return documents


def _blob(
    content: Content, client: Client, repository: Reference, blob: Descriptor, crew: Crew, progress: Progress
) -> None:
    item = digests.hex_part(blob.digest)[:12]
    with content.writer(blob.digest, blob.size, waiting=crew.check) as writer:
        if writer.present:
            return
        progress.start(item, "Downloading")
        fetch.download(client, repository, blob, writer, Meter(progress, item, blob.size))
    progress.done(item, "Download complete")
