"""``index.json``: shows the images of the store to tools that read an OCI image layout.

It follows the database and is written again whenever names change; nothing in Wherry reads it.
"""

from __future__ import annotations

from wherry import fastjson
from wherry.oci.manifest import OCI_INDEX
from wherry.store import images
from wherry.store.layout import translate, write_private
from wherry.store.locks import Lock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from wherry.store.db import Database
    from wherry.store.layout import Layout


def write(layout: Layout, db: Database, *, sync: bool = True) -> None:
    """Writes ``index.json`` for the images and names there are now, as `write_private` does, unless it is so already.

    Raises `StorageFull`, `SystemFailure`.
    """
    try:
        with Lock(layout.locks + "/index"):
            text = render(db).encode()
            if text != _there(layout.index):
                write_private(layout.index, text, sync=sync)
    except OSError as error:
        raise translate(error, "write index.json") from error


def _there(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except FileNotFoundError:
        return b""


def render(db: Database) -> str:
    """The document: a descriptor for each tag, and one for each image without any."""
    rows = {row.id: row for row in images.list_all(db)}
    manifests: list[dict[str, Any]] = []
    named = set()
    for name in images.names(db):
        if "@" not in name.reference and name.image_id in rows:
            named.add(name.image_id)
            manifests.append(_descriptor(rows[name.image_id], name.reference))
    manifests += [_descriptor(row, "") for row in rows.values() if row.id not in named]
    return fastjson.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": manifests})


def _descriptor(row: images.ImageRow, name: str) -> dict[str, Any]:
    os, architecture, *variant = row.platform.split("/")
    value: dict[str, Any] = {"mediaType": row.manifest_type, "digest": row.manifest, "size": row.manifest_size}
    value["platform"] = {"architecture": architecture, "os": os} | ({"variant": variant[0]} if variant else {})
    if name:
        value["annotations"] = {"org.opencontainers.image.ref.name": name, "io.containerd.image.name": name}
    return value
