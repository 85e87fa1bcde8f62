"""Image archives: what ``docker save``, ``podman save``, skopeo and umoci write, and what we write.

An archive is a tar of blobs with a table of contents: ``manifest.json`` (docker-archive; since Docker 25 it is an
OCI layout as well), or ``index.json`` (OCI image layout, image-layout.md).  `read` takes its members one by one as they
come, so that an archive may be a pipe and is never held in memory or on disk twice.

An archive comes from strangers.  Its names are looked up in a table of its own members and nowhere else, links
included, so that none of them ever becomes a path on the host (CVE-2025-11395); tables and configurations are bounded.
"""

from __future__ import annotations

from wherry import fastjson
from wherry.errors import Corrupt, InvalidArgument, NotFound
from wherry.oci import digest as digests
from wherry.oci import image, platform
from wherry.oci import reference as references
from wherry.oci.manifest import (
    MAX_CONFIG,
    MAX_LAYERS,
    MAX_MANIFEST,
    OCI_CONFIG,
    OCI_LAYER,
    OCI_MANIFEST,
    Descriptor,
    Index,
    Manifest,
    parse_manifest,
)
from wherry.oci.platform import Platform
from wherry.oci.reference import Reference
from wherry.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any, Protocol
else:
    Protocol = object

MAX_MEMBERS = 200_000
MAX_IMAGES = 1000
_MAX_LINKS = 16
_MAX_DEPTH = 4
_TABLES = ("manifest.json", "index.json", "oci-layout", "repositories")
_GZIP, _ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"


class Member(Protocol):
    """One member of an archive.  ``kind`` is "file", "link" (hard or symbolic), "directory" or "other"."""

    name: str
    kind: str
    target: str
    size: int

    def read(self, size: int) -> bytes:
        """Up to ``size`` bytes more of a file; nothing at its end."""


class Blobs(Protocol):
    """Where the blobs of an archive go."""

    def put_stream(self, read: Callable[[int], bytes], expected: str = "") -> tuple[str, int]:
        """Keeps what ``read`` gives; its digest and size.  Raises `Corrupt` when it is not ``expected``."""

    def put(self, body: bytes, digest: str = "") -> str:
        """Keeps ``body``."""

    def read(self, digest: str, limit: int) -> bytes:
        """A small blob."""

    def head(self, digest: str, size: int) -> bytes:
        """The first bytes of a blob."""

    def size(self, digest: str) -> int:
        """Bytes of a blob."""

    def has(self, digest: str) -> bool:
        """Whether it is here."""


class ArchiveImage(Record):
    """An image whose blobs are all in place.  ``names`` are the references the archive gives it."""

    manifest: Manifest
    digest: str
    size: int
    config: image.ImageConfig
    names: tuple[Reference, ...] = ()


class Contents:
    """What an archive has: small tables in memory, and which member became which blob."""

    def __init__(self) -> None:
        self.tables: dict[str, bytes] = {}
        self.blobs: dict[str, str] = {}
        self.links: dict[str, str] = {}

    def index(self) -> Index:
        """The index of an OCI layout.  Raises `InvalidArgument` when there is none, `Corrupt`."""
        if "index.json" not in self.tables:
            raise InvalidArgument("the archive has no index.json: it is no OCI image layout")
        return read_index(self.tables["index.json"])

    def docker_images(self, blobs: Blobs) -> tuple[ArchiveImage, ...]:
        """The images of a docker-archive.  Raises `InvalidArgument` when it is none, `Corrupt`."""
        if "manifest.json" not in self.tables:
            raise InvalidArgument("the archive has no manifest.json: it is no docker-archive")
        return _docker(self, blobs)

    def digest(self, name: str, what: str) -> str:
        """The blob that the member ``name`` became, through links.  Raises `Corrupt`."""
        name = _clean(name)
        for _ in range(_MAX_LINKS):
            if name in self.blobs:
                return self.blobs[name]
            if name not in self.links:
                break
            name = self.links[name]
        raise Corrupt(f"archive has no {what} {name!r}")


def read(members: Iterable[Member], blobs: Blobs, wanted: Platform | None = None) -> tuple[ArchiveImage, ...]:
    """The images of an archive, after all its blobs have been kept in ``blobs``.

    ``wanted`` is the platform to take from an index with several; None takes the host's.  Raises `Corrupt` for what is
    malformed, `InvalidArgument` for a tar that is not an image archive, `NotFound` when no image is for the platform.
    """
    contents = scan(members, blobs)
    if "manifest.json" in contents.tables:
        return _docker(contents, blobs)
    if "index.json" in contents.tables:
        return _oci(contents, blobs, wanted)
    raise InvalidArgument(
        "the archive has neither manifest.json nor index.json",
        hint="it is not an image; a plain file system is brought in with `import`",
    )


def scan(members: Iterable[Member], blobs: Blobs) -> Contents:
    """What an archive has, after all its blobs have been kept in ``blobs``.  Raises `Corrupt`."""
    contents = Contents()
    for count, member in enumerate(members):
        if count > MAX_MEMBERS:
            raise Corrupt(f"archive has more than {MAX_MEMBERS} members")
        _take(contents, member, blobs)
    return contents


def _clean(name: str) -> str:
    """A member's name in one form.  Raises `Corrupt` for one that would leave the archive."""
    parts: list[str] = []
    for part in name.split("/"):
        if part == ".." and parts:
            parts.pop()
        elif part == "..":
            raise Corrupt(f"archive has a member outside itself: {name[:200]!r}")
        elif part not in ("", "."):
            parts.append(part)
    if name.startswith("/"):
        raise Corrupt(f"archive has a member with an absolute name: {name[:200]!r}")
    return "/".join(parts)


def _take(contents: Contents, member: Member, blobs: Blobs) -> None:
    name = _clean(member.name)
    if member.kind == "directory":
        return
    if member.kind == "link":
        symbolic = member.target.startswith(("../", "./")) or "/" not in member.target
        target = f"{name.rpartition('/')[0]}/{member.target}".lstrip("/") if symbolic else member.target
        contents.links[name] = _clean(target)
        return
    if member.kind != "file":
        raise Corrupt(f"archive has a member that is neither file nor directory: {name!r}")
    if name in contents.blobs or name in contents.tables:
        raise Corrupt(f"archive has two members {name!r}")
    if name in _TABLES:
        contents.tables[name] = _all(member, MAX_MANIFEST, name)
        return
    if name.endswith(("/json", "/VERSION")):
        return  # image format 1, which manifest.json supersedes
    directory, _, encoded = name.rpartition("/")
    expected = ""
    if directory.startswith("blobs/"):
        expected = f"{directory.removeprefix('blobs/')}:{encoded}"
        if not digests.is_digest(expected):
            raise Corrupt(f"archive has a blob without a digest: {name!r}")
    contents.blobs[name], _size = blobs.put_stream(member.read, expected)


def _all(member: Member, limit: int, what: str) -> bytes:
    if member.size > limit:
        raise Corrupt(f"{what} is larger than {limit} bytes")
    pieces = []
    while piece := member.read(1 << 16):
        pieces.append(piece)
    return b"".join(pieces)


def _json(body: bytes, what: str) -> Any:
    try:
        return fastjson.loads(body)
    except ValueError as error:
        raise Corrupt(f"{what} is not valid JSON: {error}") from None


def _docker(contents: Contents, blobs: Blobs) -> tuple[ArchiveImage, ...]:
    entries = _json(contents.tables["manifest.json"], "manifest.json")
    if not isinstance(entries, list) or len(entries) > MAX_IMAGES:
        raise Corrupt("manifest.json is not a list of images")
    known = _manifests(contents, blobs)
    found = []
    for entry in entries:
        if not isinstance(entry, dict) or not isinstance(entry.get("Config"), str):
            raise Corrupt("manifest.json has an image without a configuration")
        layers = entry.get("Layers") or []
        if not isinstance(layers, list) or len(layers) > MAX_LAYERS or not all(isinstance(one, str) for one in layers):
            raise Corrupt("manifest.json has malformed layers")
        names = _names(entry.get("RepoTags"))
        config = contents.digest(entry["Config"], "configuration")
        if config in known:
            found.append(known[config].replace(names=names))
            continue
        digests_of_layers = [contents.digest(layer, "layer") for layer in layers]
        found.append(_compose(config, digests_of_layers, blobs).replace(names=names))
    return tuple(found)


def _names(value: Any) -> tuple[Reference, ...]:
    if value is None:
        return ()
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        raise Corrupt("manifest.json has malformed RepoTags")
    try:
        return tuple(references.parse(name).tagged() for name in value)
    except InvalidArgument as error:
        raise Corrupt(f"archive gives an image a malformed name: {error.message}") from None


def _compose(config: str, layers: list[str], blobs: Blobs) -> ArchiveImage:
    """An image of which the archive has only the configuration and the layers: the manifest is ours."""
    body = blobs.read(config, MAX_CONFIG)
    descriptors = []
    for layer in layers:
        head = blobs.head(layer, 4)
        suffix = "+gzip" if head.startswith(_GZIP) else "+zstd" if head.startswith(_ZSTD) else ""
        descriptors.append(Descriptor(OCI_LAYER + suffix, layer, blobs.size(layer)))
    manifest = Manifest(Descriptor(OCI_CONFIG, config, len(body)), tuple(descriptors), OCI_MANIFEST)
    text = fastjson.dumps(manifest.to_json()).encode()
    return _checked(manifest, blobs.put(text), len(text), body)


def _checked(manifest: Manifest, digest: str, size: int, config_body: bytes) -> ArchiveImage:
    config = image.parse(config_body)
    if len(config.diff_ids) != len(manifest.layers):
        raise Corrupt(
            f"invalid manifest, layers length mismatch: expected {len(config.diff_ids)}, got {len(manifest.layers)}"
        )
    return ArchiveImage(manifest, digest, size, config)


def _manifests(contents: Contents, blobs: Blobs) -> dict[str, ArchiveImage]:
    """The whole images of index.json by their configuration's digest; none when there is no index."""
    if "index.json" not in contents.tables:
        return {}
    index = parse_manifest(contents.tables["index.json"])
    if not isinstance(index, Index):
        raise Corrupt("index.json is not an index")
    found: dict[str, ArchiveImage] = {}
    for entry in index.manifests:
        one = _image(entry, blobs, None, 0) if blobs.has(entry.digest) else None
        if one is not None:
            found[one.manifest.config.digest] = one
    return found


def read_index(body: bytes) -> Index:
    """The index of an OCI layout.  Raises `Corrupt`."""
    index = parse_manifest(body)
    if not isinstance(index, Index):
        raise Corrupt("index.json is not an index")
    if len(index.manifests) > MAX_IMAGES:
        raise Corrupt(f"index.json lists more than {MAX_IMAGES} images")
    return index


def _oci(contents: Contents, blobs: Blobs, wanted: Platform | None) -> tuple[ArchiveImage, ...]:
    index = contents.index()
    found: dict[str, ArchiveImage] = {}
    for entry in index.manifests:
        if not blobs.has(entry.digest):
            raise Corrupt(f"archive lacks the manifest {entry.digest}")
        if entry.platform and str(entry.platform).startswith("unknown"):
            continue
        one = _image(entry, blobs, wanted or platform.host(), 0)
        if one is None:
            continue
        before = found.get(one.digest)
        names = _annotated(dict(entry.annotations)) + (before.names if before else ())
        found[one.digest] = one.replace(names=tuple(dict.fromkeys(names)))
    if not found:
        raise NotFound("manifest", "", "the archive has no image")
    return tuple(found.values())


def _image(entry: Descriptor, blobs: Blobs, wanted: Platform | None, depth: int) -> ArchiveImage | None:
    """The image that an index's entry leads to.  None when it is not whole and nobody asked for it (no ``wanted``)."""
    body = blobs.read(entry.digest, MAX_MANIFEST)
    document = parse_manifest(body, entry.media_type)
    if isinstance(document, Index):
        if depth >= _MAX_DEPTH:
            raise Corrupt("archive has indexes nested too deeply")
        here = tuple(one for one in document.manifests if blobs.has(one.digest))
        if not here:
            return None
        return _image(platform.best(here, wanted or platform.host()), blobs, wanted, depth + 1)
    needed = (document.config, *document.layers)
    missing = [one.digest for one in needed if not blobs.has(one.digest)]
    if missing and wanted is None:
        return None
    if missing:
        raise Corrupt(f"archive lacks the blob {missing[0]}")
    for one in needed:
        if blobs.size(one.digest) != one.size:
            raise Corrupt(f"blob {one.digest} has not the size that its manifest gives")
    return _checked(document, entry.digest, len(body), blobs.read(document.config.digest, MAX_CONFIG))


def _annotated(annotations: dict[str, str]) -> tuple[Reference, ...]:
    """The name in a descriptor's annotations; a bare tag, as umoci writes, names no image."""
    name = annotations.get("io.containerd.image.name", "") or annotations.get("org.opencontainers.image.ref.name", "")
    if "/" not in name and ":" not in name:
        return ()
    try:
        return (references.parse(name).tagged(),)
    except InvalidArgument:
        return ()
