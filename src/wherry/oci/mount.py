"""What a snapshotter hands to the runtime: a description of a mount, not a mounted thing."""

from __future__ import annotations

from wherry.record import Record


class Mount(Record):
    """One file system to mount as a root.

    ``type`` is "overlay", "bind" or "erofs".  For overlay, ``lower`` lists the read-only directories, top-most first,
    ``upper`` and ``work`` the writable ones (empty: read-only).  For bind and erofs, ``source`` is what is mounted.
    ``below``, of an overlay, is a file system to mount for its only lower directory, in place of ``lower``.
    ``options`` are further options of the file system.  ``idmap`` asks that the lower layers, owned on disk by ids
    from 0, be shown through the container's user namespace (mount_setattr(2), MOUNT_ATTR_IDMAP).
    """

    type: str
    source: str = ""
    options: tuple[str, ...] = ()
    lower: tuple[str, ...] = ()
    upper: str = ""
    work: str = ""
    idmap: bool = False
    below: Mount | None = None
