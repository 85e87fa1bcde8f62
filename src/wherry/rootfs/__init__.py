"""Snapshotters: layers and writable directories, put together as the description of a mount.

`overlay` keeps layers unpacked and stacks them; `erofs` keeps them as tars, under one EROFS image of all their names.

A snapshotter never mounts.  `Snapshotter.mounts` is on the way of every ``run`` and only joins names; the runtime
makes the mount in the container's own mount namespace, so that nothing is left mounted on the host.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType
    from typing import Protocol, Self

    from wherry.oci.mount import Mount
else:
    Protocol = object


class Staging(Protocol):
    """A layer while it is written: a context manager that removes it unless it was committed.

    ``fd`` is an open descriptor of the directory to write into, mode 0700; ``path`` its name.
    """

    fd: int
    path: str

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def commit(self) -> None:
        """Make it durable, then visible under its id.  When another writer was first, its layer is kept."""


class Snapshotter(Protocol):
    """Where the layers of images and the changes of containers are kept.

    **A layer** is keyed by its diff id (or, for an image's fix-up, by any other digest) and lives like this::

        has(id) is false ── prepare(id) ──▶ staging ── commit() ──▶ has(id) is true ── remove(id) ──▶ gone
                                               └── leaving the block without commit(): gone

    * A layer that `has` knows is complete, and stays so through a SIGKILL or a power failure at any instant (the latter
      unless it was asked to leave syncing to its caller).
    * Any number of processes may prepare the same layer at once; the first commit wins, the others are dropped.
    * A layer is never changed once it is visible.  Who removes it makes sure that no container uses it.
    * What a writer that died has left is removed by `sweep`.

    **A container** gets its writable part from `make_upper`, is described by `mounts` as often as it is started, and
    ends with `remove_upper`, which may be called again after it was interrupted.
    """

    def path(self, diff_id: str) -> str:
        """The directory of a layer.  Raises `InvalidArgument` for what is no digest."""

    def has(self, diff_id: str) -> bool:
        """Whether the layer is there, complete."""

    def prepare(self, diff_id: str) -> Staging:
        """A new empty directory to write the layer into.  Raises `StorageFull`, `SystemFailure`."""

    def remove(self, diff_id: str) -> None:
        """Remove a layer; nothing there is fine."""

    def mounts(
        self, diff_ids: tuple[str, ...], container_id: str, idmap: bool = False, userxattr: bool = False
    ) -> Mount:
        """The mount of ``diff_ids``, bottom-most first as in an image's configuration, under the container's changes.

        ``container_id`` "" is a read-only view.  ``idmap``: show the layers through the container's user namespace;
        ``userxattr``: the layers were written with "overlay-user" whiteouts.  No input or output.
        """

    def make_upper(self, container_id: str, uid: int, gid: int, marks: tuple[str, ...] = ()) -> None:
        """Make the container's writable part, owned by its root on this host; ``marks`` are empty files in it."""

    def remove_upper(self, container_id: str) -> None:
        """Remove the container's writable part whatever is in it; nothing there is fine."""

    def sweep(self) -> int:
        """Remove what writers and removers that died have left; how many directories that were."""

    def usage(self, container_id: str) -> tuple[int, int]:
        """Bytes of disk and inodes that the container's writable part takes."""
