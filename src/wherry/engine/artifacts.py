"""OCI artifacts: files in a registry, with a type, and tied to an image where they belong to one.

An artifact is a manifest whose layers are the files, each with its name as the annotation
``org.opencontainers.image.title`` (image-spec, manifest.md, "Guidelines for Artifact Usage").  What belongs to an image
names it as its subject, and the registry lists it among the image's referrers.
"""

from __future__ import annotations

import hashlib
import os
from functools import partial

from wherry import fastjson
from wherry.engine import graph
from wherry.engine.progress import OneAtATime, Silent
from wherry.engine.put_graph import PARALLEL, put_graph
from wherry.engine.registries import registry_config
from wherry.engine.transfer import Crew, Meter
from wherry.errors import Corrupt, InvalidArgument, NotFound
from wherry.oci import digest as digests
from wherry.oci import reference as references
from wherry.oci.manifest import OCI_INDEX, Descriptor, Index, Manifest, parse_manifest
from wherry.record import Record
from wherry.registry import fetch, listing, push
from wherry.registry.client import Client

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from wherry.engine.engine import Engine
    from wherry.engine.progress import Progress
    from wherry.oci.reference import Reference

UNKNOWN = "application/vnd.unknown.artifact.v1"
TITLE = "org.opencontainers.image.title"
_EMPTY = Descriptor("application/vnd.oci.empty.v1+json", digests.of(b"{}"), 2)
_PIECE = 256 << 10


class File(Record):
    """A file to push; ``media_type`` empty means bytes of no special kind."""

    path: str
    media_type: str = ""


def push_artifact(
    engine: Engine,
    name: str,
    files: Sequence[File],
    *,
    artifact_type: str = "",
    annotations: Sequence[tuple[str, str]] = (),
    subject: str = "",
    progress: Progress | None = None,
) -> str:
    """Writes an artifact of ``files`` under ``name`` and returns its digest.

    ``subject`` is a name in the same repository that it belongs to; then ``name`` needs no tag.  Raises
    `InvalidArgument`, `NotFound`, `Unauthorized`, `Forbidden`, `Unavailable`.
    """
    target = references.parse(name)
    if target.digest:
        raise InvalidArgument("an artifact gets its digest from its content", hint="name it without one")
    show = OneAtATime(progress or Silent())
    with Client(registry_config(engine)) as client:
        about = _subject(client, target, subject)
        described = [_describe(file) for file in files]
        names = [dict(one.annotations)[TITLE] for one in described]
        if len(set(names)) != len(names):
            raise InvalidArgument("two files have the same name")
        manifest = Manifest(
            _EMPTY,
            tuple(described) or (_EMPTY,),
            annotations=tuple(annotations),
            artifact_type=artifact_type or UNKNOWN,
            subject=about,
        )
        body = fastjson.dumps(manifest.to_json()).encode()
        descriptor = Descriptor(manifest.media_type, digests.of(body), len(body))
        where = target if target.tag or about is None else target.replace(digest=descriptor.digest)
        origin = _FromFiles(dict(zip([one.digest for one in described], [file.path for file in files], strict=True)))
        digest = put_graph(
            client,
            where if where.digest else where.tagged(),
            (graph.Document(descriptor, body, manifest),),
            origin,
            show,
        )
        if about is not None:
            tied = target.replace(tag="", digest=about.digest)
            full = descriptor.replace(artifact_type=manifest.artifact_type, annotations=manifest.annotations)
            if not listing.has_referrers_api(client, tied):
                _list_by_tag(client, tied, full)
    return digest


def pull_artifact(engine: Engine, name: str, directory: str, progress: Progress | None = None) -> tuple[str, ...]:
    """Writes the files of an artifact into ``directory``; their paths.

    A file is there whole or not at all.  Raises `NotFound`, `Corrupt` for a name that is not one of a plain file,
    `Unauthorized`, `Unavailable`.
    """
    reference = references.parse(name).tagged()
    show = OneAtATime(progress or Silent())
    with Client(registry_config(engine)) as client:
        fetched = client.manifest(reference)
        parsed = parse_manifest(fetched.body, fetched.media_type)
        if not isinstance(parsed, Manifest):
            raise InvalidArgument(f"{reference.familiar()} is an index, not an artifact")
        wanted = {}
        for layer in parsed.layers:
            title = dict(layer.annotations).get(TITLE, "")
            if layer.digest == _EMPTY.digest or not title:
                continue
            if title in wanted or title in (".", "..") or "/" in title or "\0" in title or len(title.encode()) > 255:
                raise Corrupt(f"artifact has a file with the name {title[:200]!r}")
            wanted[title] = layer
        if not wanted:
            raise NotFound("file", reference.familiar(), f"{reference.familiar()} has no files with a name")
        os.makedirs(directory, exist_ok=True)
        crew = Crew(PARALLEL, client.cancel)
        crew.run([partial(_fetch, client, reference, directory, title, wanted[title], show) for title in wanted])
    return tuple(os.path.join(directory, title) for title in wanted)


def referrers(engine: Engine, name: str, artifact_type: str = "") -> tuple[Descriptor, ...]:
    """What refers to the image of this name in its registry.  Raises `NotFound`, `Unauthorized`, `Unavailable`."""
    reference = references.parse(name).tagged()
    with Client(registry_config(engine)) as client:
        digest = reference.digest or client.head(reference).digest
        return listing.referrers(client, reference.replace(tag="", digest=digest), artifact_type)


def _subject(client: Client, target: Reference, subject: str) -> Descriptor | None:
    if not subject:
        return None
    reference = references.parse(subject).tagged()
    if reference.name != target.name:
        raise InvalidArgument("an artifact is in the same repository as its subject")
    found = client.manifest(reference)
    return Descriptor(found.media_type, found.descriptor.digest, found.descriptor.size)


def _describe(file: File) -> Descriptor:
    check, size = hashlib.sha256(), 0
    try:
        with open(file.path, "rb") as stream:
            while piece := stream.read(1 << 20):
                check.update(piece)
                size += len(piece)
    except OSError as error:
        raise NotFound("file", file.path, f"{file.path}: {(error.strerror or 'cannot be read').lower()}") from None
    title = ((TITLE, os.path.basename(file.path)),)
    media_type = file.media_type or "application/octet-stream"
    return Descriptor(media_type, "sha256:" + check.hexdigest(), size, annotations=title)


class _FromFiles:
    """An `Origin`: files by digest, and the empty configuration."""

    def __init__(self, paths: dict[str, str]) -> None:
        self._paths = paths

    def pieces(self, blob: Descriptor, offset: int) -> Iterator[bytes]:
        if blob.digest not in self._paths:
            yield b"{}"[offset:]
            return
        with open(self._paths[blob.digest], "rb") as file:
            file.seek(offset)
            while piece := file.read(_PIECE):
                yield piece

    def places(self, _blob: Descriptor) -> Sequence[Reference]:
        return ()


def _list_by_tag(client: Client, subject: Reference, one: Descriptor) -> None:
    """Adds an entry to the index that lists the referrers where the registry does not (distribution specification,
    "Referrers Tag Schema")."""
    known = [entry for entry in listing.fallback(client, subject) if entry.digest != one.digest]
    body = fastjson.dumps(Index((*known, one), OCI_INDEX).to_json()).encode()
    push.put_manifest(client, listing.fallback_tag(subject), body, OCI_INDEX)


def _fetch(
    client: Client, reference: Reference, directory: str, title: str, layer: Descriptor, progress: Progress
) -> None:
    item = digests.hex_part(layer.digest)[:12]
    progress.start(item, "Downloading")
    with _Aside(directory, title, layer) as file:
        fetch.download(client, reference, layer, file, Meter(progress, item, layer.size))
    progress.done(item, "Download complete")


class _Aside:
    """A `fetch.Writer` of a file that appears under its name when it is whole."""

    def __init__(self, directory: str, title: str, layer: Descriptor) -> None:
        self._path = os.path.join(directory, title)
        self._aside = os.path.join(directory, f".{os.urandom(8).hex()}.part")
        self._layer = layer
        self.offset = 0

    def __enter__(self) -> _Aside:
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        self._file = open(os.open(self._aside, flags, 0o666), "r+b", buffering=0)
        self._hash = digests.hasher(self._layer.digest)
        return self

    def write(self, piece: bytes) -> None:
        self._file.write(piece)
        self._hash.update(piece)
        self.offset += len(piece)

    def restart(self) -> None:
        self._file.seek(0)
        self._file.truncate()
        self._hash = digests.hasher(self._layer.digest)
        self.offset = 0

    def commit(self) -> None:
        if self._hash.hexdigest() != digests.hex_part(self._layer.digest):
            raise Corrupt(f"blob {self._layer.digest} does not match its digest")
        os.rename(self._aside, self._path)

    def __exit__(self, *_error: object) -> None:
        self._file.close()
        if os.path.lexists(self._aside):
            os.unlink(self._aside)
