"""``docker images --tree``: each image with the platforms that it is here for, and what they take."""

from __future__ import annotations

from wherry.engine import graph
from wherry.engine.images import list_images
from wherry.oci.manifest import Index, Manifest
from wherry.record import Record
from wherry.store import images

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from wherry.engine.engine import Engine
    from wherry.engine.graph import Document


class Branch(Record):
    """One platform of an image.  ``content`` is bytes of compressed blobs, ``unpacked`` of the layers."""

    platform: str
    digest: str
    content: int
    unpacked: int


class Tree(Record):
    """One image: ``digest`` of its index, or of its manifest; ``content`` counts a blob once."""

    names: tuple[str, ...]
    digest: str
    content: int
    unpacked: int
    in_use: bool
    branches: tuple[Branch, ...]


def trees(engine: Engine, *, filters: Mapping[str, Sequence[str]] | None = None) -> tuple[Tree, ...]:
    """The images that `list_images` lists, the newest first.  Raises `InvalidArgument` for an unknown filter."""
    found = []
    for summary in list_images(engine, filters=filters):
        row = images.get(engine.db, summary.id)
        if row is None:
            continue  # removed meanwhile
        targets = [name.target for name in images.names(engine.db, row.id) if name.target]
        documents = next((here for one in targets if (here := graph.here(engine.content, one))), None)
        documents = documents or graph.here(engine.content, row.manifest) or ()
        branches = tuple(
            Branch(_platform(documents, one) or row.platform, one.descriptor.digest, _content((one,)),
                   row.size if one.descriptor.digest == row.manifest else 0)
            for one in documents if isinstance(one.parsed, Manifest)
        )  # fmt: skip
        root = documents[-1].descriptor.digest if documents else row.manifest
        content = _content(documents)
        found.append(Tree(summary.repo_tags, root, content, row.size, summary.containers > 0, branches))
    return tuple(found)


def _platform(documents: Sequence[Document], one: Document) -> str:
    """What the index says that a manifest is for; empty when it says nothing."""
    for document in documents:
        for entry in document.parsed.manifests if isinstance(document.parsed, Index) else ():
            if entry.digest == one.descriptor.digest and entry.platform:
                return str(entry.platform)
    return ""


def _content(documents: Sequence[Document]) -> int:
    blobs = {blob.digest: blob.size for blob in graph.blobs(documents)}
    blobs |= {one.descriptor.digest: one.descriptor.size for one in documents}
    return sum(blobs.values())
