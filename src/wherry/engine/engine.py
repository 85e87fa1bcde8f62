"""What every use case works on: the caller's directories and, opened when first asked for, what is in them."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wherry.container.record import ContainerRecord
    from wherry.engine.lower import Lower
    from wherry.engine.paths import Paths
    from wherry.linux.host import Host
    from wherry.linux.ids import IdMap
    from wherry.oci.mount import Mount
    from wherry.registry.credentials import Credential
    from wherry.rootfs.erofs import ErofsSnapshotter
    from wherry.rootfs.overlay import OverlaySnapshotter
    from wherry.store.content import Content
    from wherry.store.db import Database
    from wherry.store.layout import Layout


class Engine:
    """One caller's view of the store and the host.

    Everything is made on first use, because a command pays for what it touches and nothing else.  Not shared between
    processes: whoever forks calls `will_fork` first.
    """

    def __init__(self, paths: Paths) -> None:
        self.paths = paths
        self.credentials: tuple[tuple[str, Credential], ...] | None = None  # None: those in the caller's file of logins
        self._euid, self._egid = os.geteuid(), os.getegid()
        self._layout: Layout | None = None
        self._db: Database | None = None
        self._host: Host | None = None
        self._content: Content | None = None
        self._snapshotter: OverlaySnapshotter | None = None
        self._tars: ErofsSnapshotter | None = None
        self._keeps_tars: bool | None = None
        self._sync = True
        self._id_maps: tuple[tuple[IdMap, ...], tuple[IdMap, ...]] | None = None

    def __reduce__(self) -> tuple[type[Engine], tuple[Paths]]:
        return Engine, (self.paths,)

    @property
    def layout(self) -> Layout:
        """The directories of the store; they exist."""
        if self._layout is None:
            from wherry.store.layout import Layout

            layout = Layout(self.paths.root, self.paths.run)
            layout.ensure()
            self._layout = layout
            if os.path.exists(layout.unsynced):
                from wherry.engine import after_crash

                after_crash.mend(self)
        return self._layout

    @property
    def db(self) -> Database:
        """The database, opened."""
        if self._db is None:
            from wherry.store.db import Database

            self._db = Database(self.layout.db)
        return self._db

    @property
    def host(self) -> Host:
        """What the machine can do."""
        if self._host is None:
            from wherry.linux.host import probe

            self._host = probe()
        return self._host

    @property
    def content(self) -> Content:
        """The blobs."""
        if self._content is None:
            from wherry.store.content import Content

            self._content = Content(self.layout, sync=self._sync, remake=self._remake)
        return self._content

    def _remake(self, digest: str) -> None:
        from wherry.engine.dropped import remake

        remake(self, digest)

    @property
    def snapshotter(self) -> OverlaySnapshotter:
        """The layers that are unpacked, and the writable directories of all containers."""
        if self._snapshotter is None:
            from wherry.rootfs.overlay import OverlaySnapshotter

            self._snapshotter = OverlaySnapshotter(self.layout.layers, self.layout.containers, sync=self._sync)
        return self._snapshotter

    @property
    def tars(self) -> ErofsSnapshotter:
        """The layers that stay tars."""
        if self._tars is None:
            from wherry.rootfs.erofs import ErofsSnapshotter

            self._tars = ErofsSnapshotter(self.layout.erofs, self.layout.containers, sync=self._sync)
        return self._tars

    @property
    def keeps_tars(self) -> bool:
        """Whether new images keep their layers as tars; raises `NotSupported` where that is asked for in vain."""
        if self._keeps_tars is None:
            from wherry.engine.storage import choose

            self._keeps_tars = choose(self).snapshotter == "erofs"
        return self._keeps_tars

    @property
    def rootless(self) -> bool:
        """Whether the caller is not root."""
        return self._euid != 0

    @property
    def id_maps(self) -> tuple[tuple[IdMap, ...], tuple[IdMap, ...]]:
        """The user and group ids that an unprivileged caller's containers have: its own and its subordinate ones."""
        if self._id_maps is None:
            import pwd

            from wherry.linux.ids import unprivileged_maps

            try:
                name = pwd.getpwuid(self._euid).pw_name
            except KeyError:
                name = ""
            self._id_maps = unprivileged_maps(self._euid, self._egid, name)
        return self._id_maps

    @property
    def layers_can_be_mapped(self) -> bool:
        """Whether the file system of the layers has id-mapped mounts; the answer is kept until the kernel changes."""
        status = os.stat(self.layout.layers)
        answer = f"{self.layout.cache}/idmap-{os.uname().release}-{status.st_dev}"
        try:
            return os.readlink(answer) == "yes"
        except OSError:
            from wherry.engine.idmap import can_be_mapped

            found = can_be_mapped(self.layout.layers)
            try:
                os.symlink("yes" if found else "no", answer)
            except OSError:
                pass  # a full disk, or another process was first: asked again next time
            return found

    def mounts(self, record: ContainerRecord, container_id: str = "", *, idmap: bool = False) -> Mount:
        """The root file system of a container (of its image alone, read-only, when ``container_id`` is empty).

        See `wherry.rootfs.Snapshotter.mounts`; no input or output.
        """
        snapshotter = self.tars if record.snapshotter == "erofs" else self.snapshotter
        return snapshotter.mounts(record.diff_ids, container_id, idmap=idmap, userxattr=self.rootless)

    def lower_layers(self, record: ContainerRecord) -> Lower:
        """The directories of a container's image to read in, top-most first; closed by ``with`` or when dropped."""
        from wherry.engine.lower import open_lower

        return open_lower(self, record)

    @property
    def syncs(self) -> bool:
        """Whether what is added is synced before it becomes visible; no: only for who holds a
        `wherry.store.unsynced.Note` about it."""
        return self._sync

    @syncs.setter
    def syncs(self, value: bool) -> None:
        self._sync = value
        self._content = self._snapshotter = self._tars = None

    def will_fork(self) -> None:
        """Close the database, which opens again when needed: it stays the same object, so that nobody who has it uses
        another connection than the one that is closed here.

        A child must not find a connection, nor what SQLite knows of the locks behind it: a connection that the child
        opens would share that (sqlite.org/howtocorrupt.html, section 2.6), and may wait for ever once the child has
        closed the descriptors it inherited.
        """
        if self._db is not None:
            self._db.close()
