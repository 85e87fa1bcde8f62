"""``docker load``: images out of an archive, into the store.

The archive is read once, as a stream: its blobs go to the content store as they come, verified; then each image's
layers are unpacked.  Any compression that a layer may have, an archive may have too.
"""

from __future__ import annotations

from functools import partial

from wherry.engine import afterwards, gc, unpack
from wherry.engine.progress import OneAtATime, short
from wherry.engine.pull import PARALLEL
from wherry.engine.record_image import record
from wherry.engine.transfer import Crew, Meter, Whole
from wherry.errors import Corrupt, NotSupported, WherryError
from wherry.layers import compression, tar
from wherry.layers.source import Source
from wherry.oci import platform as platforms
from wherry.oci.manifest import Descriptor
from wherry.registry import archive
from wherry.store import images
from wherry.store.gc import adding

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from wherry.engine.engine import Engine
    from wherry.engine.progress import Progress
    from wherry.layers.compression import Readable
    from wherry.registry.archive import ArchiveImage

_KINDS = {tar.FILE: "file", tar.DIRECTORY: "directory", tar.LINK: "link", tar.SYMLINK: "link"}


def load(engine: Engine, stream: Readable, progress: Progress | None = None, *, platform: str = "") -> tuple[str, ...]:
    """Loads every image of the archive; what Docker prints of each: its names as people write them, or its id.

    Raises `Corrupt`, `InvalidArgument` when it is no image archive, `StorageFull`; none of its images is there then.
    """
    from wherry.engine.progress import Silent

    wanted = platforms.parse(platform) if platform else None

    def work() -> tuple[tuple[str, ...], list[tuple[str, str]], list[str]]:
        with adding(engine.layout):
            gc.sweep(engine)
            with Source(compression.reader(stream)) as source:
                found = archive.read(members(source), engine.content, wanted)
            shown = keep(engine, found, OneAtATime(progress or Silent()))
        pairs = [zip(one.manifest.layers, one.config.diff_ids, strict=True) for one in found]
        layers = [(layer.digest, diff_id) for pair in pairs for layer, diff_id in pair]
        return shown, layers, [blob for one in found for blob in (one.digest, one.manifest.config.digest)]

    try:
        shown, layers, blobs = unpack.in_store(engine, work)
    except WherryError:
        gc.collect(engine)
        raise
    afterwards.later(engine, layers, blobs)
    return shown


class _Member:
    """One tar entry as `archive.read` wants it."""

    def __init__(self, source: Source, entry: tar.Entry) -> None:
        self.name = _text(entry.name)
        self.kind = _KINDS.get(entry.kind, "other")
        self.target = _text(entry.linkname)
        self.size = entry.size
        self._source = source
        self._left = entry.size
        if entry.map is not None:
            raise Corrupt(f"archive has a sparse member: {self.name!r}")

    def read(self, size: int) -> bytes:
        piece = self._source.take(min(size, self._left))
        self._left -= len(piece)
        return piece


def _text(name: bytes) -> str:
    try:
        return name.decode()
    except UnicodeDecodeError:
        raise Corrupt("archive has a member whose name is not UTF-8") from None


def members(source: Source) -> Iterator[_Member]:
    """The entries of a tar as `archive` wants them."""
    for entry in tar.entries(source, archive.MAX_MEMBERS):
        yield _Member(source, entry)


def keep(engine: Engine, found: tuple[ArchiveImage, ...], progress: Progress) -> tuple[str, ...]:
    """Unpacks the layers of every image, then writes the rows."""
    options = unpack.apply_options(engine)
    crew = Crew(PARALLEL, lambda: None)
    todo = {}
    for one in found:
        if one.config.platform.os != platforms.host().os:
            raise NotSupported(f"cannot load {one.config.platform.os} image on {platforms.host().os}")
        for descriptor, diff_id in zip(one.manifest.layers, one.config.diff_ids, strict=True):
            if unpack.is_whole(engine, descriptor.digest, diff_id):
                progress.done(short(diff_id), "Layer already exists")
            else:
                todo[diff_id] = descriptor

    def job(descriptor: Descriptor, diff_id: str) -> None:
        item = short(diff_id)
        progress.start(item, "Loading layer")
        blob = Whole(engine.content.local(descriptor.digest), Meter(progress, item, descriptor.size))
        try:
            unpack.unpack(engine, descriptor.digest, diff_id, blob, options=options, waiting=crew.check)
        finally:
            blob.close()
        progress.done(item, "Loaded")

    crew.run([partial(job, descriptor, diff_id) for diff_id, descriptor in todo.items()])
    shown: list[str] = []
    for one in found:
        for name in one.names:
            there = images.by_name(engine.db, name)
            if there is not None and there.id != one.manifest.config.digest:
                old = f"renaming the old one with ID {there.id} to empty string"
                progress.message(f"The image {name.familiar()} already exists, {old}")
        record(
            engine,
            manifest=Descriptor(one.manifest.media_type, one.digest, one.size),
            media_type=one.manifest.media_type,
            image_id=one.manifest.config.digest,
            config=one.config,
            names=one.names,
            action="load",
        )
        shown += [name.familiar() for name in one.names] or [one.manifest.config.digest]
    return tuple(shown)
