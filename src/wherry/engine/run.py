"""``docker run``, from a reference to an exit status.  Read this file first.

Each function is a step; what it leaves on disk is undone until the container is on its own.  The steps' mechanisms are
in the packages they import: the image in `wherry.registry`, `wherry.layers` and `wherry.store`, the container in
`wherry.container`, its process in `wherry.runtime`, its life in `wherry.monitor`.

The imports stand inside the steps because two processes share the work: the monitor loads the runtime while this
one loads the store (docs/decisions/0070-monitor.md).
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from wherry.container.options import ContainerOptions
    from wherry.engine.engine import Engine
    from wherry.engine.progress import Progress
    from wherry.monitor.main import Monitor
    from wherry.monitor.streams import Streams
    from wherry.store.images import ImageRow


def run(engine: Engine, options: ContainerOptions, streams: Streams, progress: Progress) -> int:
    """Make a container from an image, start it, stay with it; its exit status, or 0 when the person detached."""
    from wherry.engine.start import new_monitor

    with new_monitor(engine, options.network_mode) as monitor:
        image = get_image(engine, options, progress)
        identity = start_container(engine, options, image, monitor)
    return stay(monitor, streams, lambda: told_detached(engine, identity))


def run_detached(engine: Engine, options: ContainerOptions, progress: Progress) -> str:
    """``run -d``: the same, and leave it running; its id, once its command runs."""
    from wherry.engine.start import new_monitor, wait_started

    with new_monitor(engine, options.network_mode) as monitor:
        image = get_image(engine, options, progress)
        identity = start_container(engine, options, image, monitor)
        wait_started(monitor)
    return identity


def make(engine: Engine, options: ContainerOptions, progress: Progress) -> str:
    """``docker create``: a container that is not started; its id."""
    from wherry.engine.create import create
    from wherry.engine.undo import Undo

    image = get_image(engine, options, progress)
    with Undo() as undo:
        record = create(engine, options, image, undo)
        undo.keep()
    return record.id


def get_image(engine: Engine, options: ContainerOptions, progress: Progress) -> ImageRow:
    """The image to run, pulled when it is not here (``--pull``).  Raises what `wherry.engine.pull.pull` raises."""
    from wherry.errors import NotFound
    from wherry.oci.digest import is_digest
    from wherry.store import images

    if options.pull != "always":
        try:
            image = images.resolve(engine.db, options.image)
            if not options.platform or _is_for(options.platform, image):
                return image
            raise NotFound(
                "image",
                options.image,
                f"image with reference {options.image} was found but does not provide the specified platform "
                f"({options.platform})",
            )
        except NotFound:
            if options.pull == "never" or is_digest(options.image):  # an id, which no registry knows
                raise
    from wherry.engine.pull import pull
    from wherry.oci.reference import parse

    name = parse(options.image).tagged().familiar()
    if options.pull != "always":
        progress.message(f"Unable to find image '{name}' locally")
    pulled = pull(engine, name, platform=options.platform, progress=progress)
    progress.message(f"Digest: {pulled.digest}")
    progress.message(f"Status: {'Downloaded newer image' if pulled.newer else 'Image is up to date'} for {name}")
    return images.resolve(engine.db, pulled.image_id)


def _is_for(platform: str, image: ImageRow) -> bool:
    from wherry.oci.platform import matches, parse

    return matches(parse(platform), parse(image.platform))


def start_container(engine: Engine, options: ContainerOptions, image: ImageRow, monitor: Monitor) -> str:
    """Make the container's record and files, and give it to its monitor, which makes its process; its id."""
    from wherry.engine.create import create
    from wherry.engine.start import begin
    from wherry.engine.undo import Undo

    wanted = (options.attach_stdin, options.attach_stdout, options.attach_stderr)
    with Undo() as undo:
        container = create(engine, options, image, undo)
        begin(engine, container, monitor, attach=wanted if any(wanted) else None, new=True)
        undo.keep()
    return container.id


def stay(monitor: Monitor, streams: Streams, on_detach: Callable[[], None] | None = None) -> int:
    """Join the caller's streams to the container's until it exits; raises what kept it from starting.

    ``on_detach`` is called when the person left it running.
    """
    from wherry.monitor.client import Client
    from wherry.monitor.protocol import raise_error

    with Client(monitor.channel, streams) as client:
        outcome = client.relay()
    if outcome.error is not None:
        raise_error(outcome.error)
    if outcome.exit_code is None and on_detach is not None:
        on_detach()
    return outcome.exit_code or 0


def told_detached(engine: Engine, name: str) -> None:
    """A person has left a container that goes on."""
    from wherry.engine import events
    from wherry.engine.containers import find, load
    from wherry.errors import NotFound

    try:
        events.of_container(engine.db, load(find(engine, name)), "detach")
    except NotFound:
        pass  # it has ended since, and --rm has removed it
