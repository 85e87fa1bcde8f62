"""Compressed layers that are not kept: where ``storage.toml`` says ``blobs = "drop"``, a blob that has been seen to
come out of its layer's tar again, byte for byte, is removed, and made again when somebody reads it.

That takes a layer that is kept as a tar.  What no compressor here makes again (Go's, which Docker has, or GNU gzip's)
stays.  All of it happens when a pull or a load has ended, in a process of its own, and for everything in a prune.
"""

from __future__ import annotations

import os

from wherry.engine import forms, storage
from wherry.errors import Corrupt, NotFound, NotSupported
from wherry.layers import recipe as recipes
from wherry.oci import digest as digests
from wherry.store import gc, images, layers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import Any

    from wherry.engine.engine import Engine

_FIELDS = tuple(name for name in recipes.Recipe.__annotations__ if name != "head")
_PATIENCE = 1200  # looks, a twentieth of a second each, at whether somebody adds content


def drop(engine: Engine, fresh: Iterable[tuple[str, str]]) -> int:
    """Removes the blobs of ``fresh``, (digest, diff id), that can be made again, and those that have been made again
    since they were dropped; bytes that became free.

    Nothing happens where it is not configured.  Waits until nobody adds content, but not for ever.
    """
    if not storage.drops_blobs(engine):
        return 0
    content = engine.content
    found = {one: content.recipe(one) for one in content.recipes() if os.path.exists(content.path(one))}
    for digest, diff_id in fresh:
        if digest not in found and engine.tars.has(diff_id):
            found[digest] = _recipe(engine, digest, diff_id)
    known = {digest: recipe for digest, recipe in found.items() if recipe is not None}
    if not known:
        return 0
    looks = iter(range(_PATIENCE))
    lock = gc.collecting(engine.layout)
    while not lock.try_acquire():
        if next(looks, None) is None:
            return 0
        import time

        time.sleep(0.05)
    try:
        return sum(_drop(engine, digest, recipe) for digest, recipe in known.items())
    finally:
        lock.release(remove=True)


def every(engine: Engine) -> list[tuple[str, str]]:
    """What `drop` may be asked to look at: every blob of a layer."""
    return [
        (digest, row.diff_id)
        for row in layers.list_all(engine.db)
        for digest in layers.blobs_of(engine.db, row.diff_id)
    ]


def _drop(engine: Engine, digest: str, recipe: dict[str, Any]) -> int:
    if not engine.tars.has(recipe["diff_id"]):
        return 0  # removed meanwhile
    try:
        return engine.content.drop(digest, recipe)
    except FileNotFoundError:
        engine.content.forget_recipe(digest)
        return 0


def _recipe(engine: Engine, digest: str, diff_id: str) -> dict[str, Any] | None:
    """How the blob comes out of the tar of its layer; None when nothing here makes it so."""
    try:
        with engine.content.open(digest) as blob, forms.KeptTar(engine, diff_id) as tars:
            found = recipes.find(blob, tars.open, tars.size)
            size = os.fstat(blob.fileno()).st_size
            begins = os.pread(blob.fileno(), 4, 0).hex()
    except (NotFound, NotSupported, Corrupt, OSError):
        return None  # removed meanwhile, or no library for it
    if found is None:
        return None
    how = {name: getattr(found, name) for name in _FIELDS}
    return {"diff_id": diff_id, "size": size, "begins": begins, "head": found.head.hex(), **how}


def remake(engine: Engine, digest: str) -> None:
    """Puts a blob that was dropped back into its place.

    Raises `Corrupt` when it cannot be made as it was (another version of a library, a damaged layer): the recipe is
    forgotten then, and the next pull fetches the blob.  Raises `StorageFull`.
    """
    try:
        made(engine, digest, lambda read: engine.content.put_stream(read, digest))
    except Corrupt:
        engine.content.forget_recipe(digest)
        raise


def made(engine: Engine, digest: str, take: Callable[[Callable[[int], bytes]], object]) -> None:
    """Gives ``take`` a function that reads the blob as its recipe makes it.  Raises as `remake`."""
    content = engine.content
    found = content.recipe(digest)
    if found is None:
        raise NotFound("blob", digest)
    try:
        with forms.KeptTar(engine, found["diff_id"]) as tars:
            head = bytes.fromhex(found["head"])
            how = {name: found[name] for name in _FIELDS}
            take(_Reader(recipes.make(recipes.Recipe(head=head, **how), tars.open(), tars.size)).read)
    except (Corrupt, NotFound, NotSupported, FileNotFoundError, KeyError) as error:
        raise Corrupt(
            f"{_owner(engine, digest)}: layer {digest} was not kept, and cannot be made again as it was: {error}",
            hint="pull the image again",
        ) from None


def _owner(engine: Engine, digest: str) -> str:
    """A name of an image that has the blob."""
    for row in images.list_all(engine.db):
        if digest in gc.image_blobs(engine.content, row):
            names = [name.reference for name in images.names(engine.db, row.id)]
            return f"image {names[0] if names else row.id}"
    return "no image"


class _Reader:
    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._left = b""

    def read(self, size: int) -> bytes:
        while not self._left:
            piece = next(self._pieces, None)
            if piece is None:
                return b""
            self._left = piece
        found, self._left = self._left[:size], self._left[size:]
        return found


def is_good(engine: Engine, digest: str) -> bool:
    """Whether a dropped blob comes out as it was; reads all of its layer.  Raises OSError."""
    check = digests.hasher(digest)

    def take(read: Callable[[int], bytes]) -> None:
        while piece := read(1 << 20):
            check.update(piece)
        if check.hexdigest() != digests.hex_part(digest):
            raise Corrupt("its digest is another")

    try:
        made(engine, digest, take)
    except Corrupt:
        return False
    return True


def totals(engine: Engine) -> tuple[int, int]:
    """How many blobs are dropped now, and their bytes."""
    content = engine.content
    sizes = [content.size(one) for one in content.recipes() if not os.path.exists(content.path(one))]
    return len(sizes), sum(sizes)
