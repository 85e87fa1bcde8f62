"""From a compressed layer to a layer of the store, once for all images that have it.

For an unprivileged user the store's files belong to the user's subordinate ids, so everything that writes layers runs
inside a user namespace that maps them: see `in_store`.
"""

from __future__ import annotations

from wherry.engine import forms
from wherry.errors import Corrupt
from wherry.layers import compression
from wherry.layers.apply import ApplyOptions
from wherry.layers.source import Source
from wherry.oci import digest as digests
from wherry.store import layers
from wherry.store.gc import image_blobs
from wherry.store.locks import Lock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Protocol, TypeVar

    from wherry.engine.engine import Engine
    from wherry.layers.compression import Readable
    from wherry.store.images import ImageRow
    from wherry.store.layers import LayerRow

    T = TypeVar("T")
else:
    Protocol = object


def apply_options(engine: Engine) -> ApplyOptions:
    """How layers are written for this caller: everything as root; rootless without devices, and with what owners
    there are."""
    if not engine.rootless:
        return ApplyOptions()
    uids, gids = engine.id_maps
    single = sum(one.size for one in uids) == 1 or sum(one.size for one in gids) == 1
    return ApplyOptions(whiteouts="overlay-user", ownership="ignore" if single else "keep", devices="skip")


def is_unpacked(engine: Engine, diff_id: str) -> bool:
    """Whether the layer is complete on disk, in the form that new images have."""
    return forms.is_kept(engine, layers.get(engine.db, diff_id))


def is_whole(engine: Engine, digest: str, diff_id: str) -> bool:
    """Whether the layer is complete on disk, its compressed blob too, and known to be the same."""
    return (
        layers.diff_id_of(engine.db, digest) == diff_id and engine.content.has(digest) and is_unpacked(engine, diff_id)
    )


class Keeper(Protocol):
    """Who reads one blob and makes what is asked for of it, once."""

    def keep(self, diff_id: str, unfit: str) -> LayerRow:
        """Writes the layer; ``unfit`` is why it has to be unpacked.  See `wherry.engine.forms.keep`."""

    def diff_id(self) -> str:
        """The digest of what the blob decompresses to.  Raises `Corrupt`."""


class Here:
    """A `Keeper` that works in this process, on the blob that ``stream`` reads."""

    def __init__(self, engine: Engine, stream: Readable, options: ApplyOptions) -> None:
        self._engine = engine
        self._stream = stream
        self._options = options

    def keep(self, diff_id: str, unfit: str) -> LayerRow:
        """Writes the layer."""
        return forms.keep(self._engine, diff_id, self._stream, self._options, unfit)

    def diff_id(self) -> str:
        """The digest of what the blob decompresses to."""
        with Source(compression.reader(self._stream)) as source:
            source.finish()
            return source.digest


def is_here(engine: Engine, row: ImageRow) -> bool:
    """Whether every blob and every layer of an image is in place."""
    return all(is_unpacked(engine, diff_id) for diff_id in row.diff_ids) and all(
        engine.content.has(digest) for digest in image_blobs(engine.content, row)
    )


def unpack(
    engine: Engine,
    digest: str,
    diff_id: str,
    stream: Readable,
    *,
    options: ApplyOptions | None = None,
    waiting: Callable[[], None] | None = None,
) -> None:
    """`bring` for the blob that ``stream`` reads, in this process."""
    bring(engine, digest, diff_id, Here(engine, stream, options or apply_options(engine)), waiting=waiting)


def bring(
    engine: Engine, digest: str, diff_id: str, keeper: Keeper, *, waiting: Callable[[], None] | None = None
) -> None:
    """Has ``keeper`` unpack its blob ``digest``, unless that is done; checks that it is the layer ``diff_id``.

    Somebody else's work on the same layer is waited for.  The layer becomes visible when its diff id is right.  Raises
    `Corrupt` when it is not, and what reading and writing raise; nothing is left then.
    """
    known = layers.diff_id_of(engine.db, digest)
    if known and known != diff_id:
        raise _mismatch(known, diff_id)
    with Lock(f"{engine.layout.locks}/layer-{digests.hex_part(diff_id)}", waiting=waiting):
        row = layers.get(engine.db, diff_id)
        if row is None:
            forms.remove(engine, diff_id)  # complete, but a crash came before its row
        if not forms.is_kept(engine, row):
            layers.put(engine.db, keeper.keep(diff_id, row.unfit if row else ""))
        elif not known:
            found = keeper.diff_id()
            if found != diff_id:
                raise _mismatch(found, diff_id)
        layers.note_blob(engine.db, digest, diff_id)


def _mismatch(found: str, wanted: str) -> Corrupt:
    return Corrupt(f"layer's content has the diff id {found}, but the image's configuration says {wanted}")


def in_store(engine: Engine, function: Callable[[], T]) -> T:
    """Runs ``function`` where it may write layers and returns what it returns, or raises what it raises.

    For root that is here.  For anybody else it is a `wherry.engine.worker` in a user namespace with the caller's
    subordinate ids.
    """
    if not engine.rootless:
        return function()
    from wherry.engine.worker import Worker
    from wherry.linux.namespaces import start_in_user_namespace

    with Worker(engine, function, lambda child: start_in_user_namespace(engine.id_maps, child)) as worker:
        return worker.result()
