"""What a registry says of an image, without fetching it (Engine API, ``GET /distribution/{name}/json``)."""

from __future__ import annotations

from wherry.engine.registries import registry_config
from wherry.oci import digest as digests
from wherry.oci import reference as references
from wherry.oci.image import parse
from wherry.oci.manifest import MAX_CONFIG, Manifest, parse_manifest
from wherry.registry import fetch
from wherry.registry.client import Client

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from wherry.engine.engine import Engine
    from wherry.oci.platform import Platform


def describe(engine: Engine, name: str) -> dict[str, Any]:
    """Docker's JSON: the descriptor that the name points at, and for which platforms there is an image.

    Raises `InvalidArgument`, `NotFound`, `Unauthorized`, `Unavailable`, `Corrupt`.
    """
    reference = references.parse(name).tagged()
    with Client(registry_config(engine)) as client:
        fetched = client.manifest(reference)
        document = parse_manifest(fetched.body, fetched.media_type)
        if isinstance(document, Manifest):
            kept = fetch.Memory(document.config, MAX_CONFIG)
            fetch.download(client, reference, document.config, kept)
            platforms = [parse(bytes(kept.body)).platform]
        else:
            platforms = [one.platform for one in document.manifests if one.platform is not None]
    descriptor = {
        "mediaType": fetched.media_type,
        "digest": digests.of(fetched.body),
        "size": len(fetched.body),
    }
    return {"Descriptor": descriptor, "Platforms": [_platform(one) for one in platforms]}


def _platform(one: Platform) -> dict[str, str]:
    shown = {"architecture": one.architecture, "os": one.os}
    return shown | ({"variant": one.variant} if one.variant else {})
