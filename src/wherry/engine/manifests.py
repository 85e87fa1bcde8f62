"""``docker manifest``: an index for several platforms, made of images that registries or the store have."""

from __future__ import annotations

from wherry import fastjson
from wherry.engine import graph
from wherry.engine.progress import OneAtATime, Silent
from wherry.engine.put_graph import FromRegistry, FromStore, put_graph
from wherry.engine.registries import registry_config
from wherry.errors import Conflict, InvalidArgument, NotFound
from wherry.oci import digest as digests
from wherry.oci import image
from wherry.oci import reference as references
from wherry.oci.manifest import (
    DOCKER_INDEX,
    DOCKER_MANIFEST,
    MAX_CONFIG,
    OCI_INDEX,
    Descriptor,
    Index,
    Manifest,
    parse_manifest,
)
from wherry.oci.platform import Platform
from wherry.registry import fetch, push
from wherry.registry.client import Client
from wherry.store import images, manifest_lists
from wherry.store.gc import adding
from wherry.store.manifest_lists import Entry

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from wherry.engine.engine import Engine
    from wherry.engine.progress import Progress
    from wherry.oci.reference import Reference


def create(engine: Engine, name: str, manifests: Sequence[str], *, amend: bool = False) -> str:
    """Begins a list of this name, or adds to one with ``amend``; its whole name.

    Each of ``manifests`` is looked up in its registry, and in the store when that does not have it.  Raises
    `InvalidArgument`, `NotFound`, `Conflict` when there is a list of this name, `Unavailable`.
    """
    key = str(_list_name(name))
    if manifest_lists.get(engine.db, key) is not None and not amend:
        raise Conflict(f"refusing to amend an existing manifest list with no --amend flag: {name}")
    with Client(registry_config(engine)) as client:
        new = [_look_up(engine, client, references.parse(one).tagged()) for one in manifests]
    with engine.db.transaction():
        known = manifest_lists.get(engine.db, key) or ()
        if known and not amend:
            raise Conflict(f"refusing to amend an existing manifest list with no --amend flag: {name}")
        fresh = {one.reference: one for one in (*known, *new)}
        manifest_lists.put(engine.db, key, tuple(fresh.values()))
    return key


def annotate(engine: Engine, name: str, manifest: str, *, platform: Platform) -> None:
    """Says for which platform one manifest of a list is; what ``platform`` leaves empty stays as it is.

    Raises `NotFound`.
    """
    key, wanted = str(_list_name(name)), str(references.parse(manifest).tagged())
    with engine.db.transaction():
        entries = _entries(engine, name)
        if not any(one.reference == wanted for one in entries):
            raise NotFound("manifest", manifest, f"manifest for image {manifest} does not exist in {name}")
        manifest_lists.put(
            engine.db, key, tuple(_changed(one, platform) if one.reference == wanted else one for one in entries)
        )


def _changed(entry: Entry, wanted: Platform) -> Entry:
    before = entry.descriptor.platform or Platform("", "")
    fields = {field: value for field, value in wanted.as_dict().items() if value}
    return entry.replace(descriptor=entry.descriptor.replace(platform=before.replace(**fields)))


def inspect(engine: Engine, name: str) -> bytes:
    """The text of a list that is being made, or of what a registry has under this name.  Raises `NotFound`."""
    reference = references.parse(name).tagged()
    known = manifest_lists.get(engine.db, str(reference))
    if known is not None:
        return _document(known)[0]
    with Client(registry_config(engine)) as client:
        return client.manifest(reference).body


def remove(engine: Engine, name: str) -> None:
    """Forgets a list.  Raises `NotFound`."""
    if not manifest_lists.delete(engine.db, str(_list_name(name))):
        raise _unknown(name)


def push_list(engine: Engine, name: str, *, purge: bool = False, progress: Progress | None = None) -> str:
    """Brings every manifest of a list into the repository that its name means, then the index; the index's digest.

    With ``purge`` the list is forgotten afterwards.  Raises `NotFound`, `InvalidArgument` when an entry has no
    platform, `Unauthorized`, `Forbidden`, `Unavailable`.
    """
    target = _list_name(name)
    entries = _entries(engine, name)
    for one in entries:
        platform = one.descriptor.platform
        if platform is None or not platform.os or not platform.architecture:
            raise InvalidArgument(
                f"manifest {one.reference} must have an OS and Architecture to be pushed to a registry",
                hint="say them with 'wherry manifest annotate'",
            )
    show = OneAtATime(progress or Silent())
    body, media_type = _document(entries)
    with Client(registry_config(engine)) as client, adding(engine.layout):
        for one in entries:
            source = references.parse(one.reference)
            parsed = parse_manifest(one.body.encode(), one.descriptor.media_type)
            documents = (graph.Document(one.descriptor, one.body.encode(), parsed),)
            here = all(engine.content.has(blob.digest) for blob in graph.blobs(documents))
            origin = FromStore(engine.content) if here else FromRegistry(client, source)
            if source.name != target.name or here:
                put_graph(client, target.replace(tag="", digest=one.descriptor.digest), documents, origin, show)
            show.message(f"Pushed ref {target.name}@{one.descriptor.digest} with digest: {one.descriptor.digest}")
        digest = push.put_manifest(client, target, body, media_type)
    if purge:
        manifest_lists.delete(engine.db, str(target))
    return digest


def _list_name(name: str) -> Reference:
    reference = references.parse(name)
    if reference.digest:
        raise InvalidArgument("a manifest list is named by a tag, not by a digest")
    return reference.tagged()


def _entries(engine: Engine, name: str) -> tuple[Entry, ...]:
    found = manifest_lists.get(engine.db, str(_list_name(name)))
    if found is None:
        raise _unknown(name)
    return found


def _unknown(name: str) -> NotFound:
    return NotFound("manifest list", name, f"No such manifest list: {name}")


def _document(entries: tuple[Entry, ...]) -> tuple[bytes, str]:
    """The index's text and type: Docker's when all its manifests are."""
    docker = bool(entries) and all(one.descriptor.media_type == DOCKER_MANIFEST for one in entries)
    media_type = DOCKER_INDEX if docker else OCI_INDEX
    made = Index(tuple(one.descriptor for one in entries), media_type)
    return fastjson.dumps(made.to_json()).encode(), media_type


def _look_up(engine: Engine, client: Client, reference: Reference) -> Entry:
    """The manifest of one image; of an index with several, none can be meant."""
    try:
        fetched = client.manifest(reference)
        body, media_type = fetched.body, fetched.media_type
    except NotFound:
        row = images.by_name(engine.db, reference)
        if row is None:
            raise
        body, media_type = engine.content.read(row.manifest), row.manifest_type
    parsed = parse_manifest(body, media_type)
    if not isinstance(parsed, Manifest):
        raise InvalidArgument(
            f"{reference.familiar()} is a manifest list", hint="name the manifests in it by their digests"
        )
    config = _config(engine, client, reference, parsed.config)
    descriptor = Descriptor(parsed.media_type, digests.of(body), len(body), config.platform)
    return Entry(str(reference), descriptor, body.decode())


def _config(engine: Engine, client: Client, reference: Reference, blob: Descriptor) -> image.ImageConfig:
    if engine.content.has(blob.digest):
        return image.parse(engine.content.read(blob.digest, MAX_CONFIG))
    kept = fetch.Memory(blob, MAX_CONFIG)
    fetch.download(client, reference, blob, kept)
    return image.parse(bytes(kept.body))
