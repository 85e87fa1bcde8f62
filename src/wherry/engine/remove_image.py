"""``docker rmi``: takes a name away, and the image with its last one.

The rules, and the words in which they refuse, are those of Docker's ImageDelete: a name can go as long as the image
keeps another; the image goes with its last name, or when it is asked for by id and has a single name; never under a
running container, and under a stopped one only by force.
"""

from __future__ import annotations

from wherry.engine import events
from wherry.errors import Conflict
from wherry.oci import reference as references
from wherry.oci.image import chain_ids
from wherry.record import Record
from wherry.store import containers, images, index

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wherry.engine.engine import Engine
    from wherry.oci.reference import Reference
    from wherry.store.images import ImageRow

_RUNNING = ("running", "paused", "restarting")


class Removed(Record):
    """One line of what happened: exactly one of ``untagged`` (a name) and ``deleted`` (an id) is set."""

    untagged: str = ""
    deleted: str = ""


def remove(engine: Engine, name: str, *, force: bool = False, no_prune: bool = False) -> tuple[Removed, ...]:
    """Removes the name ``name``, or the image, by Docker's rules; what happened, in order.

    Layers and blobs that nothing else needs go as well.  ``no_prune`` is Docker's: it keeps untagged parents, of which
    pulled images have none.  Raises `NotFound`, `Conflict`, `InvalidArgument`.
    """
    from wherry.engine import gc, room

    del no_prune  # parents exist only between the steps of a build

    def forget() -> _Removal:
        with engine.db.transaction():
            removal = _Removal(engine, images.resolve(engine.db, name), force)
            removal.run(name)
        return removal

    removal = room.writing(engine, forget)
    room.writing(engine, lambda: index.write(engine.layout, engine.db))
    if removal.gone:
        room.writing(engine, lambda: gc.collect(engine))
    room.made(engine)
    return tuple(removal.done)


class _Removal:
    """One removal, inside a transaction."""

    def __init__(self, engine: Engine, row: ImageRow, force: bool) -> None:
        self._db = engine.db
        self._row = row
        self._force = force
        self._names = [references.parse(one.reference) for one in images.names(engine.db, row.id)]
        self.done: list[Removed] = []
        self.gone = False

    def run(self, text: str) -> None:
        """Follows the rules."""
        if self._row.id.startswith(text) or self._row.id.partition(":")[2].startswith(text):
            if self._is_single():
                self._check(running=True, stopped=not self._force, names=False)
                self._untag_all()
            self._delete(quiet=False)
            return
        if not self._force and self._is_single():
            self._check_last_name(text)
        reference = references.parse(text).tagged()
        self._untag(reference)
        if not reference.digest and not any(one.name == reference.name and not one.digest for one in self._names):
            for other in [one for one in self._names if one.name == reference.name]:
                self._untag(other)
        if not self._names:
            self._delete(quiet=True)

    def _is_single(self) -> bool:
        """Whether there is at most one tag, and no digest of another repository."""
        if len(self._names) <= 1:
            return True
        tags = [one for one in self._names if not one.digest]
        repositories = {one.name for one in self._names if one.digest}
        if len(tags) > 1:
            return False
        return len(repositories) == 1 and (not tags or tags[0].name in repositories)

    def _untag(self, reference: Reference) -> None:
        images.untag(self._db, reference)
        events.of_image(self._db, self._row.id, "untag")
        self._names = [one for one in self._names if images.key(one) != images.key(reference)]
        shown = reference.replace(tag="") if reference.digest else reference
        self.done.append(Removed(untagged=shown.familiar()))

    def _untag_all(self) -> None:
        for reference in sorted(self._names, key=lambda one: (bool(one.digest), str(one))):
            self._untag(reference)

    def _check_last_name(self, text: str) -> None:
        using = containers.using_image(self._db, self._row.id)
        if using:
            raise Conflict(
                f'conflict: unable to remove repository reference "{text}" (must force) - '
                f"container {using[0].id[:12]} is using its referenced image {self._short}"
            )

    @property
    def _short(self) -> str:
        return self._row.id.partition(":")[2][:12]

    def _check(self, *, running: bool, stopped: bool, names: bool) -> None:
        """Raises `Conflict` when one of these stands against the removal."""
        using = containers.using_image(self._db, self._row.id)
        if running:
            for one in using:
                if one.status in _RUNNING:
                    self._refuse("cannot be forced", f"image is being used by running container {one.id[:12]}")
        if names and self._names:
            self._refuse("must be forced", "image is referenced in multiple repositories")
        if stopped:
            for one in using:
                if one.status not in _RUNNING:
                    self._refuse("must be forced", f"image is being used by stopped container {one.id[:12]}")

    def _refuse(self, how: str, why: str) -> None:
        raise Conflict(f"conflict: unable to delete {self._short} ({how}) - {why}")

    def _delete(self, *, quiet: bool) -> None:
        """The image itself.  ``quiet``: its last name is gone already, and a container that keeps it is no error."""
        try:
            self._check(running=True, stopped=not self._force, names=not self._force)
        except Conflict:
            if quiet:
                return
            raise
        self._untag_all()
        others = [row.diff_ids for row in images.list_all(self._db) if row.id != self._row.id]
        kept = {chain for diff_ids in others for chain in chain_ids(diff_ids)}
        events.of_image(self._db, self._row.id, "delete")
        images.delete(self._db, self._row.id)
        self.gone = True
        self.done.append(Removed(deleted=self._row.id))
        chains = reversed(chain_ids(self._row.diff_ids))
        self.done += [Removed(deleted=chain) for chain in chains if chain not in kept]
