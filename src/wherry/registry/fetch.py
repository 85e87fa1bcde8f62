"""From a name to a verified image: index, manifest, configuration; and its layers, resumed where they broke off."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from wherry.errors import Corrupt, NotSupported
from wherry.oci import digest as digests
from wherry.oci import platform as platforms
from wherry.oci.manifest import (
    DOCKER_CONFIG,
    MAX_CONFIG,
    OCI_CONFIG,
    Descriptor,
    Index,
    Manifest,
    parse_manifest,
)
from wherry.oci.platform import Platform
from wherry.oci.reference import Reference
from wherry.record import Record
from wherry.registry.client import PASSED_OVER, Client, Fetched, Source
from wherry.registry.failures import Transient, printable
from wherry.registry.retry import Backoff

MAX_DEPTH = 4
"""How many documents may lead from a name to a manifest (CVE-2026-53493)."""
_SETTLED = 1 << 20


class Writer(Protocol):
    """Where a blob goes; `wherry.store.content.Writer` is one.

    ``offset`` bytes are there already.  `write` appends and raises when there are too many; `restart` forgets
    everything; `commit` makes the blob visible or raises `Corrupt` when it is not what its digest says.
    """

    offset: int

    def write(self, piece: bytes) -> None: ...
    def restart(self) -> None: ...
    def commit(self) -> None: ...


class Resolved(Record):
    """What a name led to.  ``documents`` are the indexes and the manifest on the way, the first of them the one that
    the name points at; ``config`` is the configuration's JSON.  All are verified."""

    reference: Reference
    documents: tuple[Fetched, ...]
    manifest: Manifest
    config: bytes

    @property
    def target(self) -> Descriptor:
        """What the name points at: the digest that Docker prints."""
        return self.documents[0].descriptor

    @property
    def descriptor(self) -> Descriptor:
        """The manifest of the chosen platform."""
        return self.documents[-1].descriptor


def resolve(client: Client, reference: Reference, platform: Platform | None = None) -> Resolved:
    """Follows ``reference`` to the image for ``platform`` (None: this machine's), without its layers.

    Raises `NotFound` (also when no platform matches), `Unauthorized`, `Unavailable`, `Corrupt`, `NotSupported`.
    """
    wanted = platform or platforms.host()
    documents = [client.manifest(reference)]
    seen = set()
    while True:
        last = documents[-1]
        seen.add(last.descriptor.digest)
        parsed = parse_manifest(last.body, last.media_type)
        if isinstance(parsed, Manifest):
            break
        entry = _choose(parsed, wanted, reference)
        if len(documents) == MAX_DEPTH or entry.digest in seen:
            raise Corrupt(f"index of {reference.familiar()} is nested too deeply")
        fetched = client.manifest(reference.replace(tag="", digest=entry.digest), entry)
        if (
            entry.media_type
            and fetched.media_type.startswith("application/vnd.")
            and entry.media_type != fetched.media_type
        ):
            raise Corrupt(f"manifest {entry.digest} was served as {fetched.media_type!r}, not {entry.media_type!r}")
        documents.append(fetched)
    return Resolved(reference, tuple(documents), parsed, _config(client, reference, parsed))


def _choose(index: Index, wanted: Platform, reference: Reference) -> Descriptor:
    if not index.manifests:
        raise Corrupt(f"index of {reference.familiar()} is empty")
    return platforms.best(index.manifests, wanted)


def _config(client: Client, reference: Reference, manifest: Manifest) -> bytes:
    """The configuration: small, so it is kept in memory and verified there."""
    descriptor = manifest.config
    if descriptor.media_type not in (DOCKER_CONFIG, OCI_CONFIG):
        raise NotSupported(
            f"{reference.familiar()} is not an image: its configuration is {printable(descriptor.media_type, 100)!r}"
        )
    if descriptor.size > MAX_CONFIG:
        raise Corrupt(f"configuration of {reference.familiar()} is larger than {MAX_CONFIG} bytes")
    kept = Memory(descriptor, MAX_CONFIG)
    download(client, reference, descriptor, kept)
    return bytes(kept.body)


class Memory:
    """A `Writer` in memory, for a blob of at most ``limit`` bytes.  Raises `Corrupt` for a larger one."""

    def __init__(self, descriptor: Descriptor, limit: int) -> None:
        if descriptor.size > limit:
            raise Corrupt(f"blob {descriptor.digest} is larger than {limit} bytes")
        self._descriptor = descriptor
        self.body = bytearray()

    @property
    def offset(self) -> int:
        return len(self.body)

    @offset.setter
    def offset(self, _value: int) -> None:
        raise AttributeError("offset follows what is written")

    def write(self, piece: bytes) -> None:
        self.body += piece

    def restart(self) -> None:
        self.body.clear()

    def commit(self) -> None:
        check = digests.hasher(self._descriptor.digest)
        check.update(self.body)
        if check.hexdigest() != digests.hex_part(self._descriptor.digest):
            raise Corrupt(f"blob {self._descriptor.digest} does not match its digest")


def download(
    client: Client,
    repository: Reference,
    descriptor: Descriptor,
    writer: Writer,
    progress: Callable[[int], None] | None = None,
) -> None:
    """Brings a blob into ``writer``, from where it stands, and commits it.

    What breaks off is taken up again, with pauses, until it fails too often in a row; then the next source has its
    turn.  A blob that turns out not to be what its digest says is fetched once more from the start if an earlier
    download began it, and then from the next source.  ``progress`` is called with the bytes that are there, which may
    go back to 0.  Raises `NotFound`, `Unauthorized`, `Unavailable`, `Corrupt`, and whatever the writer raises.
    """
    found = None
    inherited = writer.offset > 0
    for source in client.sources(repository, descriptor):
        try:
            try:
                _from(client, source, repository, descriptor, writer, progress)
            except Corrupt:
                if not inherited:
                    raise
                writer.restart()
                _from(client, source, repository, descriptor, writer, progress)
            return
        except PASSED_OVER as error:
            found = client.passed_over(source, error, found)
            if isinstance(error, Corrupt):
                writer.restart()
    assert found is not None
    raise found


def _from(
    client: Client,
    source: Source,
    repository: Reference,
    descriptor: Descriptor,
    writer: Writer,
    progress: Callable[[int], None] | None,
) -> None:
    backoff = client.backoff(source.endpoint)
    while writer.offset < descriptor.size:
        try:
            _stream(client, source, repository, descriptor, writer, progress, backoff)
        except Transient as error:
            backoff.failed(error)
    writer.commit()


def _stream(
    client: Client,
    source: Source,
    repository: Reference,
    descriptor: Descriptor,
    writer: Writer,
    progress: Callable[[int], None] | None,
    backoff: Backoff,
) -> None:
    """One connection's worth.  Progress of a megabyte clears the count of failures."""
    settled = writer.offset + _SETTLED
    with client.open(source, repository, descriptor, writer.offset) as blob:
        while piece := blob.read():
            writer.write(piece)
            if progress is not None:
                progress(writer.offset)
            if writer.offset >= settled:
                settled = writer.offset + _SETTLED
                backoff.progressed()
