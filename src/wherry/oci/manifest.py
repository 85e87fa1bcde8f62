"""Manifests and indexes, OCI and Docker v2 schema 2, read with suspicion.

A document is bounded in size and in the number of entries, every digest is checked, and one that could be read both
as a manifest and as an index, or whose own ``mediaType`` contradicts the one it was served with, is refused
(CVE-2021-41190).  What comes out can be trusted to be well formed, not to be true: its digests are still to be checked.
"""

from __future__ import annotations

from wherry import fastjson
from wherry.errors import Corrupt, InvalidArgument, NotSupported
from wherry.oci import digest as digests
from wherry.oci.platform import Platform
from wherry.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
OCI_LAYER = "application/vnd.oci.image.layer.v1.tar"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_INDEX = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar"
DOCKER_LAYER_GZIP = DOCKER_LAYER + ".gzip"

MANIFESTS = (OCI_MANIFEST, DOCKER_MANIFEST)
INDEXES = (OCI_INDEX, DOCKER_INDEX)
ACCEPTED = (OCI_INDEX, DOCKER_INDEX, OCI_MANIFEST, DOCKER_MANIFEST)
"""What to ask a registry for, the most preferred first."""

MAX_MANIFEST = 4 << 20
"""Bytes of a manifest or index."""
MAX_CONFIG = 4 << 20
"""Bytes of an image configuration."""
MAX_LAYERS = 500
"""Layers of an image: what the kernel's overlay can stack."""
MAX_MANIFESTS = 1000
"""Entries of an index."""
MAX_SIZE = 1 << 50
"""Bytes of one blob: a bound on arithmetic rather than on images."""
_MAX_ANNOTATIONS = 1000


class Descriptor(Record):
    """A typed, verified pointer to content (OCI image spec, descriptor.md).  ``size`` in bytes."""

    media_type: str
    digest: str
    size: int
    platform: Platform | None = None
    urls: tuple[str, ...] = ()
    annotations: tuple[tuple[str, str], ...] = ()
    artifact_type: str = ""

    def to_json(self) -> dict[str, Any]:
        """The JSON object of the specification."""
        value: dict[str, Any] = {"mediaType": self.media_type, "digest": self.digest, "size": self.size}
        if self.artifact_type:
            value["artifactType"] = self.artifact_type
        if self.urls:
            value["urls"] = list(self.urls)
        if self.annotations:
            value["annotations"] = dict(self.annotations)
        if self.platform:
            value["platform"] = {"architecture": self.platform.architecture, "os": self.platform.os}
            if self.platform.variant:
                value["platform"]["variant"] = self.platform.variant
            if self.platform.os_version:
                value["platform"]["os.version"] = self.platform.os_version
        return value


class Manifest(Record):
    """One image for one platform, or an artifact.  ``subject`` is what it refers to."""

    config: Descriptor
    layers: tuple[Descriptor, ...]
    media_type: str = OCI_MANIFEST
    annotations: tuple[tuple[str, str], ...] = ()
    artifact_type: str = ""
    subject: Descriptor | None = None

    def to_json(self) -> dict[str, Any]:
        """The JSON object of the specification."""
        value: dict[str, Any] = {
            "schemaVersion": 2,
            "mediaType": self.media_type,
            "config": self.config.to_json(),
            "layers": [layer.to_json() for layer in self.layers],
        }
        if self.artifact_type:
            value["artifactType"] = self.artifact_type
        if self.subject:
            value["subject"] = self.subject.to_json()
        if self.annotations:
            value["annotations"] = dict(self.annotations)
        return value


class Index(Record):
    """The same image for several platforms, or several images."""

    manifests: tuple[Descriptor, ...]
    media_type: str = OCI_INDEX
    annotations: tuple[tuple[str, str], ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The JSON object of the specification."""
        value: dict[str, Any] = {
            "schemaVersion": 2,
            "mediaType": self.media_type,
            "manifests": [entry.to_json() for entry in self.manifests],
        }
        if self.annotations:
            value["annotations"] = dict(self.annotations)
        return value


def parse_manifest(body: bytes, media_type: str = "") -> Manifest | Index:
    """The manifest or index in ``body``.

    ``media_type`` is what the registry or the descriptor called it, empty when nobody did.  Raises `Corrupt` for what
    is malformed or ambiguous, `NotSupported` for the formats that Docker itself gave up.
    """
    value = parse_object(body, MAX_MANIFEST, "manifest")
    media_type = media_type.partition(";")[0].strip().lower()
    if media_type not in ACCEPTED and not media_type.startswith("application/vnd."):
        media_type = ""  # some registries say application/json or text/plain
    own = _string(value, "mediaType")
    if own and media_type and own != media_type:
        raise Corrupt(f"manifest says that it is {own!r} but was served as {media_type!r}")
    kind = own or media_type
    if value.get("schemaVersion") == 1 or "fsLayers" in value or kind.startswith(DOCKER_MANIFEST.replace("v2", "v1")):
        raise NotSupported(
            "the manifest has Docker's schema version 1, which is no longer supported",
            hint="push the image again with a current tool",
        )
    if value.get("schemaVersion") not in (2, None) or isinstance(value.get("schemaVersion"), bool):
        raise Corrupt("unsupported manifest schema version")
    image, index = "config" in value or "layers" in value, "manifests" in value
    if image and index:
        raise Corrupt("ambiguous manifest: it has both layers and manifests")
    if kind in INDEXES or (not kind and index):
        return _index(value, kind or OCI_INDEX)
    if kind in MANIFESTS or (not kind and image):
        return _manifest(value, kind or OCI_MANIFEST)
    raise NotSupported(f"unsupported manifest media type {kind!r}" if kind else "the document is not an image manifest")


def parse_object(body: bytes, limit: int, what: str) -> dict[str, Any]:
    """The JSON object in ``body``, of at most ``limit`` bytes.  Raises `Corrupt`."""
    if len(body) > limit:
        raise Corrupt(f"{what} is larger than {limit} bytes")
    try:
        value = fastjson.loads(body)
    except ValueError as error:
        raise Corrupt(f"{what} is not valid JSON: {error}") from None
    if not isinstance(value, dict):
        raise Corrupt(f"{what} is not a JSON object")
    return value


def _index(value: dict[str, Any], media_type: str) -> Index:
    if not isinstance(value.get("manifests"), list):
        raise Corrupt("image index has no list of manifests")
    entries = _list(value, "manifests", MAX_MANIFESTS)
    return Index(tuple(parse_descriptor(entry) for entry in entries), media_type, read_annotations(value))


def _manifest(value: dict[str, Any], media_type: str) -> Manifest:
    if not isinstance(value.get("config"), dict):
        raise Corrupt("manifest has no configuration")
    layers = tuple(parse_descriptor(entry) for entry in _list(value, "layers", MAX_LAYERS))
    subject = parse_descriptor(value["subject"]) if value.get("subject") is not None else None
    return Manifest(
        parse_descriptor(value["config"]),
        layers,
        media_type,
        read_annotations(value),
        _string(value, "artifactType"),
        subject,
    )


def parse_descriptor(value: Any) -> Descriptor:
    """A descriptor from its JSON object.  Raises `Corrupt`."""
    if not isinstance(value, dict):
        raise Corrupt("descriptor is not a JSON object")
    try:
        digest = digests.parse(value.get("digest"))
    except InvalidArgument as error:
        raise Corrupt(f"descriptor: {error.message}") from None
    size = value.get("size")
    if not isinstance(size, int) or isinstance(size, bool) or not 0 <= size <= MAX_SIZE:
        raise Corrupt(f"descriptor of {digest} has no valid size")
    urls = _list(value, "urls", 100)
    if not all(isinstance(url, str) for url in urls):
        raise Corrupt(f"descriptor of {digest} has malformed urls")
    return Descriptor(
        _string(value, "mediaType"),
        digest,
        size,
        _platform(value.get("platform")),
        tuple(urls),
        read_annotations(value),
        _string(value, "artifactType"),
    )


def _platform(value: Any) -> Platform | None:
    if value is None:
        return None
    if not isinstance(value, dict):
        raise Corrupt("platform is not a JSON object")
    return Platform(
        _string(value, "os"), _string(value, "architecture"), _string(value, "variant"), _string(value, "os.version")
    )


def read_annotations(value: dict[str, Any]) -> tuple[tuple[str, str], ...]:
    """The ``annotations`` of a document as pairs.  Raises `Corrupt`."""
    found = value.get("annotations")
    if found is None:
        return ()
    if not isinstance(found, dict) or len(found) > _MAX_ANNOTATIONS:
        raise Corrupt("annotations are malformed")
    if not all(isinstance(text, str) for text in found.values()):
        raise Corrupt("annotations are malformed")
    return tuple(found.items())


def _string(value: dict[str, Any], key: str) -> str:
    found = value.get(key)
    if found is None:
        return ""
    if not isinstance(found, str) or len(found) > 4096:
        raise Corrupt(f"{key} is not a short string")
    return found


def _list(value: dict[str, Any], key: str, limit: int) -> list[Any]:
    found = value.get(key)
    if found is None:
        return []
    if not isinstance(found, list):
        raise Corrupt(f"{key} is not a list")
    if len(found) > limit:
        raise Corrupt(f"{len(found)} {key}: more than {limit}")
    return found
