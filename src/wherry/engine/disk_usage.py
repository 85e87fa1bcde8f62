"""``docker system df``: what takes how much room, and how much of that could be had back.

The document is Docker's (Engine API, ``GET /system/df``); sizes are bytes of files.  ``CompressedLayers`` is ours.
"""

from __future__ import annotations

import os

from wherry.engine import volume_objects
from wherry.engine.containers import list_containers
from wherry.engine.images import list_images
from wherry.oci.image import chain_ids
from wherry.store import images, layers
from wherry.store import volumes as volume_rows

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from wherry.engine.engine import Engine
    from wherry.engine.images import Summary


def disk_usage(engine: Engine) -> dict[str, Any]:
    """All of it.  Measures what containers and volumes hold, which takes as long as there are files."""
    from wherry.engine.container_list import select

    counted: dict[str, int] = {}
    for row in list_containers(engine):
        counted[row.image_id] = counted.get(row.image_id, 0) + 1
    users = volume_objects.users(engine)
    return {
        "LayersSize": layers_size(engine),
        "Images": _images(engine, counted),
        "Containers": [one.document(size=True) for one in select(engine, {}, everything=True)],
        "Volumes": [
            {
                **volume_objects.document(engine, row),
                "UsageData": {
                    "RefCount": len(users.get(row.name, ())),
                    "Size": volume_objects.size(engine, row.name),
                },
            }
            for row in volume_rows.list_all(engine.db)
        ],
        "BuildCache": [],
        "CompressedLayers": compressed_layers(engine),
    }


def compressed_layers(engine: Engine) -> dict[str, int]:
    """How many blobs of layers are kept, and how many were dropped (`wherry.engine.dropped`); bytes of both."""
    from wherry.engine import dropped

    kept = []
    for digest, _diff_id in dropped.every(engine):
        try:
            kept.append(os.stat(engine.content.path(digest)).st_size)
        except FileNotFoundError:
            pass  # dropped, or removed meanwhile
    count, size = dropped.totals(engine)
    return {"Kept": len(kept), "KeptSize": sum(kept), "Dropped": count, "DroppedSize": size}


def layers_size(engine: Engine) -> int:
    """Bytes of all layers, each once."""
    return sum(row.size for row in layers.list_all(engine.db))


def shared_sizes(engine: Engine) -> dict[str, int]:
    """By image id: bytes of those of its layers that other images have as well, in the same place."""
    chains = {row.id: chain_ids(row.diff_ids) for row in images.list_all(engine.db)}
    counted: dict[str, int] = {}
    for chain in chains.values():
        for identity in chain:
            counted[identity] = counted.get(identity, 0) + 1
    sizes = {row.diff_id: row.size for row in layers.list_all(engine.db)}
    return {
        row.id: sum(
            sizes.get(diff_id, 0)
            for diff_id, identity in zip(row.diff_ids, chains[row.id], strict=True)
            if counted[identity] > 1
        )
        for row in images.list_all(engine.db)
    }


def _images(engine: Engine, counted: dict[str, int]) -> list[dict[str, Any]]:
    shared = shared_sizes(engine)
    return [image_document(one, shared.get(one.id, 0), counted.get(one.id, 0)) for one in list_images(engine)]


def image_document(one: Summary, shared: int = -1, containers: int = -1) -> dict[str, Any]:
    """Docker's JSON of an image in a list (``GET /images/json``); -1 is what nobody has counted."""
    return {
        "Containers": containers,
        "Created": one.created,
        "Id": one.id,
        "Labels": dict(one.labels),
        "ParentId": one.parent,
        "RepoDigests": list(one.repo_digests),
        "RepoTags": list(one.repo_tags),
        "SharedSize": shared,
        "Size": one.size,
    }
