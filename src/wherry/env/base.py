"""The image that an environment is built on, here and whole: an image of a registry, by its digest."""

from __future__ import annotations

from wherry.engine.unpack import is_here
from wherry.errors import InvalidArgument
from wherry.oci import platform as platforms
from wherry.oci import reference as references
from wherry.store import images

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wherry.engine.engine import Engine
    from wherry.engine.progress import Progress
    from wherry.env.lock import ImageBase
    from wherry.store.images import ImageRow


def from_registry(engine: Engine, base: ImageBase, architecture: str, progress: Progress) -> ImageRow:
    """The image for an architecture, pulled when it is not here.

    Raises `InvalidArgument` for a name that is none, and what `wherry.engine.pull.pull` raises.
    """
    name = references.parse(base.reference).replace(tag="", digest=base.digest)
    wanted = platforms.normal(platforms.Platform("linux", architecture))
    row = images.by_name(engine.db, name)
    if row is not None and _suits(row, wanted) and is_here(engine, row):
        return row
    from wherry.engine.pull import pull

    pulled = pull(engine, str(name), platform=f"linux/{architecture}", progress=progress)
    row = images.resolve(engine.db, pulled.image_id)
    if not _suits(row, wanted):
        raise InvalidArgument(f"the base image {base.reference} is for {row.platform}, not for linux/{architecture}")
    return row


def _suits(row: ImageRow, wanted: platforms.Platform) -> bool:
    return platforms.normal(platforms.parse(row.platform)) == wanted
