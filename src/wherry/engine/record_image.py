"""Writes the rows of an image whose blobs and layers are all in place: the moment at which it becomes visible."""

from __future__ import annotations

from wherry.engine import events, forms, unpack
from wherry.engine.times import epoch_seconds
from wherry.errors import NotFound
from wherry.store import images, index, layers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from wherry.engine.engine import Engine
    from wherry.oci.image import ImageConfig
    from wherry.oci.manifest import Descriptor
    from wherry.oci.reference import Reference


def record(
    engine: Engine,
    *,
    manifest: Descriptor,
    media_type: str,
    image_id: str,
    config: ImageConfig,
    names: Sequence[Reference] = (),
    target: str = "",
    action: str = "",
    parent: str = "",
) -> bool:
    """Adds the image and gives it ``names``; whether the first of them is new or pointed elsewhere before.

    ``target`` is the digest that the registry has for it.  ``action`` is told of it (`wherry.engine.events`).
    ``parent`` is the image that it was made from here.  Raises
    `NotFound` when a layer is not in place.
    """
    rows = []
    for diff_id in config.diff_ids:
        row = layers.get(engine.db, diff_id)
        if row is None:
            raise NotFound("layer", diff_id)
        rows.append(row)
    snapshotter, fixup = forms.form(engine, image_id, rows, unpack.apply_options(engine))
    before = images.by_name(engine.db, names[0]) if names else None
    with engine.db.transaction():
        images.put(
            engine.db,
            images.ImageRow(
                id=image_id,
                manifest=manifest.digest,
                manifest_type=media_type,
                manifest_size=manifest.size,
                config=config.raw,
                diff_ids=config.diff_ids,
                size=sum(row.size for row in rows),
                created=epoch_seconds(config.created),
                platform=str(config.platform),
                fixup=fixup,
                snapshotter=snapshotter,
                parent=parent,
            ),
        )
        for name in names:
            images.tag(engine.db, name, image_id, target)
        if action:
            events.of_image(engine.db, image_id, action)
    index.write(engine.layout, engine.db, sync=engine.syncs)
    return before is None or before.id != image_id
