"""Room for whoever makes room: on a full disk what is removed has to be written down first.

A file that nothing is in takes `SIZE` bytes of the disk; it goes when they are needed, and is made again afterwards.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wherry.store.layout import Layout

SIZE = 1 << 19  # of the database's log, of which one change takes up to a tenth, and a new index.json
_NAME = "reserve"


def keep(layout: Layout) -> None:
    """Make it, unless it is there or there is no room for it."""
    path = f"{layout.root}/{_NAME}"
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except OSError:
        return
    try:
        os.posix_fallocate(fd, 0, SIZE)
    except OSError:
        os.unlink(path)
    finally:
        os.close(fd)


def spend(layout: Layout) -> bool:
    """Remove it; whether there was one."""
    try:
        os.unlink(f"{layout.root}/{_NAME}")
    except OSError:
        return False
    return True
