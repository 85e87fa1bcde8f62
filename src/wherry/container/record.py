"""What the store keeps of one container, and what everything that acts on it starts from.

A `ContainerRecord` is written once, when the container is created; what changes while it lives (running, exited, its
pid) is the row's and `wherry.container.state`'s.
"""

from __future__ import annotations

from wherry import fastjson
from wherry.container.options import ContainerOptions, frozen, options_from, plain
from wherry.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from wherry.container.options import Pairs

SCHEMA = 1


class MountPoint(Record):
    """One bind, volume or tmpfs of this container, decided at creation (Docker API: ``MountPoint``).

    ``source`` is a path of the host for binds and volumes and empty for a tmpfs.  ``options`` are mount options of the
    OCI runtime spec ("rbind", "ro", "size=1024k"), propagation and ids excepted.
    """

    type: str  # "bind", "volume", "tmpfs"
    destination: str
    source: str = ""
    name: str = ""  # of the volume
    driver: str = ""
    mode: str = ""  # the option text as given: "ro,z"
    rw: bool = True
    propagation: str = ""
    options: tuple[str, ...] = ()
    anonymous: bool = False  # a volume that goes away with the container (`rm -v`, `run --rm`)
    populate: bool = False  # fill an empty volume from the image's directory of the same path
    subpath: str = ""  # inside the volume
    create_source: bool = False  # make a missing source directory
    relabel: str = ""  # SELinux: "z" shared, "Z" private
    driver_options: Pairs = ()  # for a volume that does not exist yet
    labels: Pairs = ()
    listed: bool = False  # asked for with -v or --mount: `inspect` shows a tmpfs only then


class ContainerRecord(Record):
    """One container.  ``options`` are merged: what the image gives is already in them.  Times are epoch nanoseconds."""

    id: str  # 64 hexadecimal digits
    name: str
    created: int
    image_id: str = ""  # "sha256:…"
    image_name: str = ""  # as typed
    options: ContainerOptions = ContainerOptions()
    path: str = ""  # argv[0]
    args: tuple[str, ...] = ()
    mounts: tuple[MountPoint, ...] = ()
    id_base: int = 0  # first host id of the container's own range of `ID_COUNT`; 0: no user namespace of its own
    userns_fallback: str = ""  # why it has none although it would have had one
    diff_ids: tuple[str, ...] = ()
    manifest: str = ""  # digest of the image's manifest
    snapshotter: str = "overlay"
    runtime: str = "wherry"
    platform: str = "linux"  # the operating system, as Docker's inspect shows it

    def to_json(self) -> str:
        """One line of JSON that `from_json` reads back to an equal value."""
        document = plain(self)
        document["schema"] = SCHEMA
        return fastjson.dumps(document)

    @classmethod
    def from_json(cls, text: str | bytes, **overriding: object) -> ContainerRecord:
        """With some fields in the place of the text's.

        Raises `wherry.fastjson.JSONError` for text that is not JSON, TypeError for another document.
        """
        document: dict[str, Any] = fastjson.loads(text)
        fields: dict[str, Any] = {name: frozen(value) for name, value in document.items() if name in cls._fields}
        fields["options"] = options_from(document.get("options", {}))
        fields["mounts"] = _mounts_from(document)
        return cls(**(fields | overriding))

    @property
    def short_id(self) -> str:
        """The twelve digits that people type."""
        return self.id[:12]


class Glance(Record):
    """What a list shows of a container's record: reading the whole takes several times as long."""

    image_id: str
    image_name: str
    path: str
    args: tuple[str, ...]
    mounts: tuple[MountPoint, ...]
    labels: Pairs
    network_mode: str
    annotations: Pairs

    @classmethod
    def from_json(cls, text: str | bytes) -> Glance:
        """As `ContainerRecord.from_json`."""
        document: dict[str, Any] = fastjson.loads(text)
        given = _DEFAULTS | document
        options: dict[str, Any] = _OPTIONS | given.get("options", {})
        return cls(
            given["image_id"],
            given["image_name"],
            given["path"],
            tuple(given["args"]),
            _mounts_from(document),
            frozen(options["labels"]),
            options["network_mode"],
            frozen(options["annotations"]),
        )


def _mounts_from(document: dict[str, Any]) -> tuple[MountPoint, ...]:
    return tuple(
        [
            MountPoint(**{name: frozen(value) for name, value in mount.items() if name in MountPoint._fields})
            for mount in document.get("mounts", ())
        ]
    )


_DEFAULTS = {name: ContainerRecord._defaults[name] for name in ("image_id", "image_name", "path", "args")}
_OPTIONS = {name: ContainerOptions._defaults[name] for name in ("labels", "network_mode", "annotations")}


def mount_points(mounts: tuple[MountPoint, ...]) -> list[dict[str, Any]]:
    """Docker's ``MountPoint``s, in `inspect` and in lists."""
    return [_mount_point(mount) for mount in mounts if mount.type != "tmpfs" or mount.listed]


def _mount_point(mount: MountPoint) -> dict[str, Any]:
    shown: dict[str, Any] = {"Type": mount.type}
    if mount.name:
        shown["Name"] = mount.name
    shown |= {"Source": mount.source, "Destination": mount.destination}
    if mount.type == "volume":
        shown["Driver"] = mount.driver or "local"
    return {**shown, "Mode": mount.mode, "RW": mount.rw, "Propagation": mount.propagation}


ID_COUNT = 65536


def new_id() -> str:
    """A random container id: 64 hexadecimal digits of which the first twelve are not all decimal.

    Docker makes the same promise, so that the default host name, the short id, is never a number (RFC 1123).
    """
    import os

    while True:
        identity = os.urandom(32).hex()
        if not identity[:12].isdecimal():
            return identity
