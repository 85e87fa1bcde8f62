"""``wherry image copy``: an image from one place to another, with the same digests.

Places are the store (a plain name), registries (``docker://``), OCI layouts (``oci:`` and ``oci-archive:``) and what
``docker save`` writes (``docker-archive:``).  From a registry to a registry blobs go straight through; everywhere else
they are put into the store, from which they go on, and are collected afterwards when no image of the store has them.
"""

from __future__ import annotations

import os

from wherry.engine import gc, graph, load, unpack
from wherry.engine.progress import OneAtATime, Silent
from wherry.engine.put_graph import PARALLEL, FromRegistry, FromStore, put_graph
from wherry.engine.registries import check_policy, check_signatures, registry_config
from wherry.engine.transfer import Crew
from wherry.errors import Corrupt, InvalidArgument, NotFound, SystemFailure
from wherry.layers import compression
from wherry.layers.source import Source
from wherry.oci import image
from wherry.oci import platform as platforms
from wherry.oci import reference as references
from wherry.oci.manifest import MAX_CONFIG, MAX_MANIFEST, Descriptor, Index, Manifest
from wherry.record import Record
from wherry.registry import archive, archive_writer
from wherry.registry import layout as layouts
from wherry.registry.archive import ArchiveImage
from wherry.registry.archive_writer import Saved
from wherry.registry.client import Client
from wherry.store import images
from wherry.store.gc import adding

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import BinaryIO

    from wherry.engine.engine import Engine
    from wherry.engine.graph import Document
    from wherry.engine.progress import Progress
    from wherry.oci.platform import Platform

    Documents = tuple[Document, ...]

STORE, REGISTRY, LAYOUT, OCI_ARCHIVE, DOCKER_ARCHIVE = "", "docker", "oci", "oci-archive", "docker-archive"


class Place(Record):
    """Where an image is or is to be: ``path`` of a file or directory, ``name`` of the image there, possibly empty."""

    kind: str
    path: str = ""
    name: str = ""


def parse(text: str) -> Place:
    """``oci:DIR[:NAME]``, ``oci-archive:FILE[:NAME]``, ``docker-archive:FILE[:NAME]``, ``docker://NAME`` or a name.

    Raises `InvalidArgument`.
    """
    kind, colon, rest = text.partition(":")
    if kind == REGISTRY and rest.startswith("//"):
        return Place(REGISTRY, name=str(references.parse(rest[2:]).tagged()))
    if colon and kind in (LAYOUT, OCI_ARCHIVE, DOCKER_ARCHIVE):
        path, _, name = rest.partition(":")
        if not path:
            raise InvalidArgument(f"{text!r} names no file")
        return Place(kind, path, name)
    if kind in ("dir", "containers-storage", "docker-daemon", "ostree", "sif", "tarball"):
        raise InvalidArgument(f"{kind}: is not a place that Wherry copies from or to")
    return Place(STORE, name=text)


def copy(engine: Engine, source: str, target: str, *, platform: str = "", progress: Progress | None = None) -> str:
    """Copies an image and returns the digest that it has there: of an index, when it is for several platforms.

    ``platform`` picks one of them.  Raises `InvalidArgument`, `NotFound`, `Corrupt`, `StorageFull`, `SystemFailure` and
    what registries make of it; a name or file at the target is then as it was.
    """
    start, end = parse(source), parse(target)
    wanted = platforms.parse(platform) if platform else None
    show = OneAtATime(progress or Silent())

    def work() -> str:
        with Client(registry_config(engine)) as client, adding(engine.layout):
            gc.sweep(engine)
            if start.kind == end.kind == REGISTRY:
                return _through(engine, client, start, end, wanted, show)
            documents = _bring(engine, client, start, wanted, show)
            _write(engine, client, documents, end, wanted, show)
            if end.kind == STORE and start.kind != DOCKER_ARCHIVE:
                _note(engine, end, documents[-1].descriptor.digest)
            return documents[-1].descriptor.digest

    try:
        return unpack.in_store(engine, work)
    finally:
        if STORE not in (start.kind, end.kind):
            gc.collect(engine)


def _through(engine: Engine, client: Client, start: Place, end: Place, wanted: Platform | None, show: Progress) -> str:
    source = references.parse(start.name)
    documents = _registry_documents(engine, client, source, wanted)
    return put_graph(client, references.parse(end.name), documents, FromRegistry(client, source), show)


def _registry_documents(
    engine: Engine, client: Client, name: references.Reference, wanted: Platform | None
) -> Documents:
    """What a registry has under a name, if the policy lets it in."""

    def read(entry: Descriptor) -> bytes:
        if entry.digest == first.descriptor.digest:
            return first.body
        return client.manifest(name.replace(tag="", digest=entry.digest), entry).body

    rules = check_policy(engine, name)
    first = client.manifest(name)
    documents = _pick(graph.walk(read, first.descriptor), wanted)
    check_signatures(client, name, (first.descriptor.digest, documents[-1].descriptor.digest), rules)
    return documents


def _pick(documents: Documents, wanted: Platform | None) -> Documents:
    """All of them, or the one manifest for a platform."""
    root = documents[-1]
    if wanted is None:
        return documents
    by_digest = {one.descriptor.digest: one for one in documents}
    while isinstance(root.parsed, Index):
        root = by_digest[platforms.best(root.parsed.manifests, wanted).digest]
    return (root,)


# -- from a place into the store's blobs -----------------------------------------------------------------------------


def _bring(engine: Engine, client: Client, place: Place, wanted: Platform | None, show: Progress) -> Documents:
    content = engine.content
    if place.kind == STORE:
        row = images.resolve(engine.db, place.name)
        known = images.target(engine.db, references.parse(place.name)) if not _is_id(place.name) else ""
        whole = graph.here(content, known) if known else None
        whole = whole or graph.here(content, row.manifest)
        if whole is None:
            raise NotFound("blob", row.id, f"not all blobs of {place.name} are here any more", hint="pull it again")
        return _pick(whole, wanted)
    if place.kind == REGISTRY:
        name = references.parse(place.name)
        documents = _registry_documents(engine, client, name, wanted)
        crew = Crew(PARALLEL, client.cancel)
        return graph.bring(content, client, name, documents[-1].descriptor, crew, show)
    if place.kind == LAYOUT:
        layout = layouts.Layout(place.path)
        entry = layouts.choose(layout.index(), place.name, place.path)
        return _from_blobs(engine, entry, wanted, layout.has, layout.open)
    with _open(place.path) as file, Source(compression.reader(file)) as stream:
        contents = archive.scan(load.members(stream), content)
    if place.kind == OCI_ARCHIVE:
        entry = layouts.choose(contents.index(), place.name, place.path)
        return _from_blobs(engine, entry, wanted, content.has, None)
    return _from_docker(engine, contents, place)


def _is_id(text: str) -> bool:
    try:
        references.parse(text)
    except InvalidArgument:
        return True
    return False


def _open(path: str) -> BinaryIO:
    try:
        return open(path, "rb", buffering=0)
    except OSError as error:
        raise NotFound("file", path, f"open {path}: {(error.strerror or 'cannot be read').lower()}") from None


def _from_blobs(
    engine: Engine,
    entry: Descriptor,
    wanted: Platform | None,
    has: Callable[[str], bool],
    open_blob: Callable[[str], BinaryIO] | None,
) -> Documents:
    """The graph of a layout's entry, its blobs brought into the store by ``open_blob`` unless they are there.

    Of an index of which not all is there, the image for this machine is taken.
    """
    content = engine.content

    def fetch(blob: Descriptor) -> None:
        if open_blob is not None and not content.has(blob.digest):
            with open_blob(blob.digest) as file:
                content.put_stream(file.read, blob.digest)

    def read(one: Descriptor) -> bytes:
        if not has(one.digest):
            raise NotFound("blob", one.digest, f"the image's manifest {one.digest} is not there")
        fetch(one)
        return content.read(one.digest, MAX_MANIFEST)

    try:
        documents = _pick(graph.walk(read, entry), wanted)
    except NotFound:
        root = graph.parse(entry, read(entry))
        if not isinstance(root.parsed, Index):
            raise
        here = tuple(one for one in root.parsed.manifests if has(one.digest))
        documents = graph.walk(read, platforms.best(here, wanted or platforms.host()))
    for blob in graph.blobs(documents):
        if not has(blob.digest):
            raise Corrupt(f"the image lacks the blob {blob.digest}")
        fetch(blob)
        if content.size(blob.digest) != blob.size:
            raise Corrupt(f"blob {blob.digest} has not the size that its manifest gives")
    return documents


def _from_docker(engine: Engine, contents: archive.Contents, place: Place) -> Documents:
    found = contents.docker_images(engine.content)
    if place.name:
        name = references.parse(place.name).tagged()
        found = tuple(one for one in found if name in one.names)
    if not found:
        raise NotFound("image", place.name, f"{place.path} has no image {place.name!r}")
    if len(found) > 1:
        listed = ", ".join(name.familiar() for one in found for name in one.names)
        raise InvalidArgument(f"{place.path} has {len(found)} images", hint=f"name one: {listed[:300]}")
    one = found[0]
    entry = Descriptor(one.manifest.media_type, one.digest, one.size)
    return (graph.parse(entry, engine.content.read(one.digest)),)


# -- from the store's blobs to a place -------------------------------------------------------------------------------


def _write(
    engine: Engine, client: Client, documents: Documents, place: Place, wanted: Platform | None, show: Progress
) -> None:
    content, root = engine.content, documents[-1].descriptor
    if place.kind == REGISTRY:
        put_graph(client, references.parse(place.name), documents, FromStore(content), show)
        return
    if place.kind == STORE:
        name = references.parse(place.name)
        if name.digest:
            raise InvalidArgument("an image of the store is named by a tag, not by a digest")
        found = _image(engine, documents, wanted).replace(names=(name.tagged(),))
        load.keep(engine, (found,), show)
        return
    if place.kind == DOCKER_ARCHIVE:
        one = _image(engine, documents, wanted)
        names = (references.parse(place.name).tagged(),) if place.name else ()
        saved = Saved(one.manifest, one.digest, one.size, one.config.platform, names)
        with _aside(place.path) as out:
            archive_writer.write(out, [saved], content)
        return
    parts = (*(one.descriptor for one in documents), *graph.blobs(documents))
    named = ((layouts.REF_NAME, place.name),) if place.name else ()
    entry = root.replace(annotations=named, platform=None, urls=())
    if place.kind == OCI_ARCHIVE:
        with _aside(place.path) as out:
            archive_writer.write_graph(out, parts, entry, content)
        return
    layout = layouts.Layout(place.path)
    layout.prepare()
    for part in reversed(parts):
        with content.open(part.digest) as file:
            layout.put_blob(part.digest, file)
    layout.put_image(entry)


def _image(engine: Engine, documents: Documents, wanted: Platform | None) -> ArchiveImage:
    """The one image that an archive or the store's layers are made of."""
    (document,) = _pick(documents, wanted or platforms.host()) if len(documents) > 1 else documents
    if not isinstance(document.parsed, Manifest):
        raise Corrupt(f"index {document.descriptor.digest} is empty")
    config = image.parse(engine.content.read(document.parsed.config.digest, MAX_CONFIG))
    if len(config.diff_ids) != len(document.parsed.layers):
        raise Corrupt("invalid manifest, layers length mismatch")
    return ArchiveImage(document.parsed, document.descriptor.digest, document.descriptor.size, config)


def _note(engine: Engine, place: Place, digest: str) -> None:
    """The digest that the image had where it came from: a push keeps it."""
    name = references.parse(place.name).tagged()
    row = images.by_name(engine.db, name)
    if row is not None:
        images.note_target(engine.db, name, row.id, digest)


class _aside:  # noqa: N801 - used as a statement
    """``with _aside(path) as file:``: the file appears under its name when the block has ended well."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._aside = f"{path}.{os.getpid()}.part"

    def __enter__(self) -> BinaryIO:
        try:
            self._file: BinaryIO = open(self._aside, "xb")
        except OSError as error:
            raise SystemFailure(f"write {self._path}", "open", error.errno or 5) from error
        return self._file

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _trace: object) -> None:
        self._file.close()
        try:
            if kind is None:
                os.rename(self._aside, self._path)
        except OSError as failed:
            error = failed
        if os.path.lexists(self._aside):
            os.unlink(self._aside)
        if isinstance(error, OSError):
            raise SystemFailure(f"write {self._path}", "write", error.errno or 5) from error
