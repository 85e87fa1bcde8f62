"""The operations a container is made of.

A plan is a tuple of these in the order in which they run.  An operation with ``outside`` runs in the process that
creates the container, the others in the process that becomes it; the two sides work at the same time, and an
operation that waits for the other side says so.  ``does`` is what an error message says was being done.

A *tree* is a mount that is attached nowhere yet; it is kept in a numbered slot until an `Attach` takes it.
"""

from __future__ import annotations

from wherry.linux.ids import IdMap
from wherry.oci.mount import Mount
from wherry.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import ClassVar


#: Begins the source of a bind that is a descriptor of a tree which the caller has opened, not a path.
HELD = "fd:"


class Op(Record):
    """One step.  Subclasses are values: they say what, `wherry.runtime.init` and `create` know how."""

    if TYPE_CHECKING:
        does: ClassVar[str]
        outside: ClassVar[bool]
    else:
        does = ""
        outside = False

    def describe(self) -> str:
        """What this operation does, for an error message."""
        return self.does.format(**self.as_dict())


class Device(Record):
    """A device node: ``kind`` is "c", "b" or "p"; ``path`` is absolute in the container; ids are the node's owner."""

    path: str
    kind: str
    major: int
    minor: int
    mode: int = 0o666
    uid: int = 0
    gid: int = 0


# Trees


class OpenRoot(Op):
    """Open the container's root file system into a slot.  ``uid``, ``gid`` as in `OpenBind`."""

    does = "mount the root filesystem"

    slot: int
    mount: Mount
    attributes: int = 0


class OpenBind(Op):
    """Clone the tree at a path of the host into a slot.

    ``set``, ``clear`` are attributes of the whole tree where ``deep``, else of its top; ``idmap`` shows it through
    the container's user namespace, or through ``uids`` and ``gids`` where they are given.  ``subdirectory`` is the part
    of the source that is meant, and no link leads to it.
    """

    does = "bind mount {source}"

    slot: int
    source: str
    recursive: bool = False
    set: int = 0
    clear: int = 0
    deep_set: int = 0
    deep_clear: int = 0
    idmap: bool = False
    idmap_deep: bool = False
    uids: tuple[IdMap, ...] = ()
    gids: tuple[IdMap, ...] = ()
    subdirectory: str = ""


class OpenFilesystem(Op):
    """Make a file system of a type into a slot; ``devices`` and ``links`` (path, target) are put on it.

    Paths of devices and links are relative to it; ``owner`` is the links'.  ``fallback`` is a path of the host that is
    cloned instead when the kernel does not allow the type here (proc and sysfs in a nested user namespace).  ``join``
    is a namespace, (name, path), whose view the file system has (pid for proc, network for sysfs, ipc for mqueue).
    """

    does = "mount {type}"

    slot: int
    type: str
    options: tuple[str, ...] = ()
    attributes: int = 0
    source: str = ""
    devices: tuple[Device, ...] = ()
    links: tuple[tuple[str, str], ...] = ()
    owner: tuple[int, int] = (0, 0)
    fallback: str = ""
    join: tuple[str, str] = ("", "")
