"""``docker pull``: from a name to an image in the store.

Reading order: `pull` is the story; `_Pull` holds what its steps share.  Up to `PARALLEL` layers are worked on at once,
each downloaded, verified, decompressed and unpacked in one stream (see `transfer`).  Rows are written last, in one
transaction, so an image is there whole or not at all; blobs and layers that an interrupted pull completed are
found again by the next one, or swept.
"""

from __future__ import annotations

import threading
from functools import partial

from wherry.engine import events, gc, graph, unpack
from wherry.engine.hands import Hands
from wherry.engine.progress import OneAtATime, short
from wherry.engine.record_image import record
from wherry.engine.registries import check_policy, check_signatures, registry_config
from wherry.engine.transfer import Crew, Growing, Meter
from wherry.errors import Corrupt, NotFound, NotSupported
from wherry.oci import image, platform
from wherry.oci import reference as references
from wherry.record import Record
from wherry.registry import fetch
from wherry.registry.client import Client
from wherry.store import images
from wherry.store.gc import adding
from wherry.store.unsynced import Note, Promise

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wherry.engine.engine import Engine
    from wherry.engine.hands import Hand
    from wherry.engine.progress import Progress
    from wherry.oci.manifest import Descriptor
    from wherry.oci.platform import Platform
    from wherry.oci.reference import Reference
    from wherry.registry.config import RegistryConfig
    from wherry.registry.fetch import Resolved
    from wherry.store.content import Writer

PARALLEL = 3
_LAYER_TYPES = ("application/vnd.oci.image.layer.", "application/vnd.docker.image.rootfs.")


class Pulled(Record):
    """What a pull came to.  ``reference`` is the whole name with its tag or digest, ``digest`` what the registry calls
    it (an index's or a manifest's); ``newer`` is False when the name pointed at this image before."""

    reference: str
    image_id: str
    digest: str
    newer: bool


def pull(
    engine: Engine,
    reference: str,
    *,
    platform: str = "",
    all_platforms: bool = False,
    progress: Progress | None = None,
) -> Pulled:
    """Brings an image into the store and gives it its name.

    ``platform`` is ``os/architecture[/variant]``, empty for this machine's.  With ``all_platforms`` the whole index
    comes along, blobs of other platforms as they are, to be pushed or saved again.  Raises `InvalidArgument`,
    `NotFound`, `Unauthorized`, `Unavailable`, `Corrupt`, `NotSupported`, `StorageFull`; the store is then as it was,
    except for blobs and layers that are complete, and partial blobs that the next pull goes on from.
    """
    from wherry.engine.progress import Silent

    name = references.parse(reference)
    wanted = _platform(platform)
    config = registry_config(engine)
    try:
        pulled = unpack.in_store(
            engine, lambda: _pull(engine, name, wanted, all_platforms, config, progress or Silent())
        )
    except Corrupt:
        gc.collect(engine)  # what came along with a lie is not kept for another try
        raise
    told = name.tagged()
    events.of_image(engine.db, pulled.image_id, "pull", told.familiar_name(), actor=told.familiar())
    return pulled


def tags(engine: Engine, repository: Reference) -> tuple[str, ...]:
    """The tags that the registry has of a repository.  Raises `NotFound`, `Unauthorized`, `Unavailable`."""
    from wherry.registry import listing

    with Client(registry_config(engine)) as client:
        return listing.tags(client, repository)


def _platform(text: str) -> Platform | None:
    return platform.parse(text) if text else None


def _pull(
    engine: Engine,
    name: Reference,
    wanted: Platform | None,
    everything: bool,
    config: RegistryConfig,
    progress: Progress,
) -> Pulled:
    if not name.tag and not name.digest:
        progress.message("Using default tag: latest")
        name = name.tagged()
    rules = check_policy(engine, name)
    with Client(config) as client, adding(engine.layout):
        gc.sweep(engine)
        pulling = f"{name.digest or name.tag}: Pulling from {_repository(name)}"
        here = _unchanged(engine, client, name, wanted)
        if here is not None:
            check_signatures(client, name, (here.digest,), rules)
        if here is not None and (not everything or graph.here(engine.content, here.digest)):
            progress.message(pulling)
            return here
        found = fetch.resolve(client, name, wanted)
        check_signatures(client, name, (found.target.digest, found.descriptor.digest), rules)
        progress.message(pulling)
        show = OneAtATime(progress)
        if everything:
            graph.bring(engine.content, client, name, found.target, Crew(PARALLEL, client.cancel), show)
        return _Pull(engine, client, name, found, show).run(wanted)


def _repository(name: Reference) -> str:
    """The repository as Docker shows it: without the registry."""
    return name.path


def _unchanged(engine: Engine, client: Client, name: Reference, wanted: Platform | None) -> Pulled | None:
    """The result when the name still points at an image that is here; then one request is all a pull takes."""
    row = images.by_name(engine.db, name)
    if row is None or not unpack.is_here(engine, row):
        return None
    if wanted is not None and platform.normal(wanted) != platform.normal(platform.parse(row.platform)):
        return None
    target = next(one.target for one in images.names(engine.db, row.id) if one.reference == images.key(name))
    if wanted is None and not platform.matches(platform.host(), platform.parse(row.platform)):
        return None
    if not target or client.head(name).digest != target:
        return None
    return Pulled(str(name), row.id, target, False)


class _Pull:
    """One pull, after the manifest is known."""

    def __init__(self, engine: Engine, client: Client, name: Reference, found: Resolved, progress: Progress) -> None:
        self._engine = engine
        self._client = client
        self._name = name
        self._found = found
        self._progress = progress
        self._options = unpack.apply_options(engine)
        self._crew = Crew(PARALLEL, client.cancel)

    def run(self, wanted: Platform | None) -> Pulled:
        """Checks, brings the layers, writes the rows."""
        config = image.parse(self._found.config)
        layers = self._found.manifest.layers
        self._check(config, wanted)
        parts: dict[str, tuple[Descriptor, str]] = {}
        for descriptor, diff_id in zip(layers, config.diff_ids, strict=True):
            if parts.setdefault(descriptor.digest, (descriptor, diff_id))[1] != diff_id:
                raise Corrupt("the manifest uses one layer for two different diff ids")
        todo = self._announce(parts)
        engine = self._engine
        if not todo:
            return self._record(config)
        with Note(engine.layout, self._promise(todo)) as note:
            engine.syncs = False
            try:
                with Hands(engine, min(PARALLEL, len(todo)), self._options, note) as hands:
                    self._crew.run([partial(self._layer, hands, descriptor, diff_id) for descriptor, diff_id in todo])
                    pulled = self._record(config)
                    hands.settle(note)
            finally:
                engine.syncs = True
        return pulled

    def _promise(self, todo: list[tuple[Descriptor, str]]) -> Promise:
        manifest, last = self._found.manifest, self._found.documents[-1]
        layers = tuple((descriptor.digest, diff_id) for descriptor, diff_id in todo)
        return Promise(layers, (manifest.config.digest, last.descriptor.digest), manifest.config.digest)

    def _record(self, config: image.ImageConfig) -> Pulled:
        """Keeps the documents, and writes the rows."""
        content = self._engine.content
        last = self._found.documents[-1]
        content.put(self._found.config, self._found.manifest.config.digest)
        content.put(last.body, last.descriptor.digest)
        newer = record(
            self._engine,
            manifest=last.descriptor,
            media_type=self._found.manifest.media_type,
            image_id=self._found.manifest.config.digest,
            config=config,
            names=self._names(),
            target=self._found.target.digest,
        )
        return Pulled(str(self._name), self._found.manifest.config.digest, self._found.target.digest, newer)

    def _names(self) -> tuple[Reference, ...]:
        """The tag that was asked for, and the digest that it had: what Docker keeps as well."""
        by_digest = self._name.replace(tag="", digest=self._found.target.digest)
        return (by_digest,) if self._name.digest else (self._name, by_digest)

    def _check(self, config: image.ImageConfig, wanted: Platform | None) -> None:
        layers = self._found.manifest.layers
        if len(layers) != len(config.diff_ids):
            raise Corrupt(
                f"invalid manifest, layers length mismatch: expected {len(config.diff_ids)}, got {len(layers)}"
            )
        for descriptor in layers:
            if not descriptor.media_type.startswith(_LAYER_TYPES):
                raise NotSupported(f"unsupported layer media type {descriptor.media_type!r}")
        if config.platform.os != platform.host().os:
            raise NotSupported(f'image operating system "{config.platform.os}" cannot be used on this platform')
        if wanted is not None and config.architecture and not platform.matches(wanted, config.platform):
            raise NotFound(
                "manifest",
                str(self._name),
                f"image with reference {self._name.familiar()} was found but its platform ({config.platform}) "
                f"does not match the specified platform ({wanted})",
            )

    def _announce(self, parts: dict[str, tuple[Descriptor, str]]) -> list[tuple[Descriptor, str]]:
        """Tells about every layer; those that are to be brought, the largest first: none is left for the end."""
        todo = []
        for descriptor, diff_id in parts.values():
            item = short(descriptor.digest)
            if unpack.is_whole(self._engine, descriptor.digest, diff_id):
                self._progress.done(item, "Already exists")
            else:
                self._progress.start(item, "Pulling fs layer")
                todo.append((descriptor, diff_id))
        todo.sort(key=lambda one: one[0].size, reverse=True)
        for descriptor, _diff_id in todo[PARALLEL:]:
            self._progress.start(short(descriptor.digest), "Waiting")
        return todo

    def _layer(self, hands: Hands, descriptor: Descriptor, diff_id: str) -> None:
        """One layer, wherever it stands: not begun, partly downloaded, downloaded, or unpacked by somebody else."""
        item = short(descriptor.digest)
        content = self._engine.content
        waiting = self._crew.check
        with hands.one() as hand:
            with content.writer(descriptor.digest, descriptor.size, waiting=waiting) as writer:
                unpacked = writer.present is False and self._stream(hand, writer, descriptor, diff_id)
            if not unpacked:
                meter = Meter(self._progress, item, descriptor.size)
                self._progress.start(item, "Extracting")
                hand.read(content.local(descriptor.digest), meter)
                unpack.bring(self._engine, descriptor.digest, diff_id, hand, waiting=waiting)
        self._progress.done(item, "Pull complete")

    def _stream(self, hand: Hand, writer: Writer, descriptor: Descriptor, diff_id: str) -> bool:
        """Downloads a layer and unpacks it meanwhile; False when unpacking must be done again from the whole blob."""
        item = short(descriptor.digest)
        growing = Growing(writer, hand.shared)
        hand.follow(growing.reader())
        unpacker = _Unpacker(self._engine, hand, descriptor.digest, diff_id, self._crew)
        unpacker.start()
        try:
            self._progress.start(item, "Downloading")
            meter = Meter(self._progress, item, descriptor.size)
            fetch.download(self._client, self._name, descriptor, growing, meter)
        except BaseException as error:
            self._crew.fail(error)
            growing.fail()
            unpacker.join()
            raise
        self._progress.start(item, "Verifying Checksum")
        self._progress.start(item, "Download complete")
        self._progress.start(item, "Extracting")
        meter = Meter(self._progress, item, descriptor.size)
        while unpacker.is_alive():
            unpacker.join(0.1)
            meter(hand.shared.position)
        if unpacker.error is None:
            return True
        if growing.generation:
            return False
        raise unpacker.error


class _Unpacker(threading.Thread):
    """Has a layer unpacked that is still being downloaded.  ``error`` is what went wrong, to be read after `join`."""

    def __init__(self, engine: Engine, hand: Hand, digest: str, diff_id: str, crew: Crew) -> None:
        super().__init__(daemon=True)
        self._engine = engine
        self._hand = hand
        self._digest = digest
        self._diff_id = diff_id
        self._crew = crew
        self.error: BaseException | None = None

    def run(self) -> None:
        """The thread.  A failure stops the download too, unless it may come of bytes that are yet to be verified: what
        an interrupted download left may be damaged, and is then fetched again."""
        try:
            unpack.bring(self._engine, self._digest, self._diff_id, self._hand, waiting=self._crew.check)
        except Corrupt as error:
            self.error = error
        except BaseException as error:
            self.error = error
            if not self._hand.shared.generation:
                self._crew.fail(error)
