"""``docker run``, from a reference to an exit status.  Read this file first.

Each function is a step; what it leaves on disk is undone by the stack that `run` holds until the container is on its
own.  The steps' mechanisms are in the packages they import: the image in `wherry.registry`, `wherry.layers` and
`wherry.store`, the container in `wherry.container`, its process in `wherry.runtime`, its life in `wherry.monitor`.
"""

from __future__ import annotations

from contextlib import ExitStack

from wherry.engine.create import create
from wherry.engine.start import start
from wherry.errors import NotFound
from wherry.monitor.client import Client
from wherry.monitor.protocol import raise_error
from wherry.oci.reference import parse
from wherry.store import images

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wherry.container.options import ContainerOptions
    from wherry.engine.engine import Engine
    from wherry.engine.progress import Progress
    from wherry.monitor.client import Streams
    from wherry.store.images import ImageRow


def run(engine: Engine, options: ContainerOptions, streams: Streams, progress: Progress) -> int:
    """Make a container from an image, start it, stay with it; its exit status, or 0 when the person detached."""
    image = get_image(engine, options, progress)
    with ExitStack() as undo:
        container = create(engine, options, image, undo)
        channel = start(engine, container, undo)
        undo.pop_all()
    with Client(channel, streams) as client:
        outcome = client.relay()
    if outcome.error is not None:
        raise_error(outcome.error)
    return outcome.exit_code or 0


def get_image(engine: Engine, options: ContainerOptions, progress: Progress) -> ImageRow:
    """The image to run, pulled when it is not here (``--pull``).  Raises what `pull` raises."""
    if options.pull != "always":
        try:
            return find_image(engine, options)
        except NotFound:
            if options.pull == "never":
                raise
            progress.message(f"Unable to find image '{parse(options.image).tagged().familiar()}' locally")
    from wherry.engine.pull import pull

    pull(engine, options.image, platform=options.platform, progress=progress)
    return find_image(engine, options)


def find_image(engine: Engine, options: ContainerOptions) -> ImageRow:
    """An image of the store, by name or by id.  Raises `NotFound`."""
    return images.resolve(engine.db, options.image)
