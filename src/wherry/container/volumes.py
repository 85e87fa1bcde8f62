"""Which binds, volumes and tmpfs a container gets, and what has to be there before it starts.

`plan` decides, without looking at the disk; `check_sources` looks.  An image's ``VOLUME`` is a stranger's text: its
path is made absolute and clean before anything else sees it (CVE-2022-23648), and it may not cover /proc, where the
kernel's security attributes are written (CVE-2019-16884, CVE-2019-19921).
"""

from __future__ import annotations

import os

from wherry.container.record import MountPoint
from wherry.errors import InvalidArgument

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from wherry.container.options import ContainerOptions, MountOption

_UNDER_PROC = (  # files that hosts like lxcfs lay over procfs, as runc allows them
    "/proc/cpuinfo",
    "/proc/diskstats",
    "/proc/meminfo",
    "/proc/stat",
    "/proc/swaps",
    "/proc/uptime",
    "/proc/loadavg",
    "/proc/slabinfo",
    "/proc/sys/kernel/ns_last_pid",
    "/proc/sys/crypto/fips_enabled",
)
_TMPFS_FLAGS = {
    "exec": "exec",
    "noexec": "exec",
    "suid": "suid",
    "nosuid": "suid",
    "dev": "dev",
    "nodev": "dev",
    "ro": "rw",
    "rw": "rw",
    "sync": "sync",
    "async": "sync",
    "dirsync": "dirsync",
    "atime": "atime",
    "noatime": "atime",
    "strictatime": "atime",
    "nostrictatime": "atime",
    "relatime": "atime",
    "norelatime": "atime",
    "diratime": "diratime",
    "nodiratime": "diratime",
    "mand": "mand",
    "nomand": "mand",
    "private": "propagation",
    "rprivate": "propagation",
    "shared": "propagation",
    "rshared": "propagation",
    "slave": "propagation",
    "rslave": "propagation",
    "unbindable": "propagation",
    "runbindable": "propagation",
    "defaults": "defaults",
}
_TMPFS_DATA = ("size", "mode", "uid", "gid", "nr_inodes", "nr_blocks", "mpol", "huge", "inode32", "inode64", "noswap")
_TMPFS_DEFAULT = ("noexec", "nosuid", "nodev")


def plan(
    options: ContainerOptions, inherited: tuple[tuple[tuple[MountPoint, ...], str], ...] = ()
) -> tuple[MountPoint, ...]:
    """The mounts of a container with merged ``options``; an earlier source wins a destination as in Docker.

    ``inherited`` are (mounts, mode) of each ``--volumes-from``, in order.  Volumes have an empty ``source``: the caller
    makes the volume (``name`` is new for an anonymous one) and fills in where its data is.  Raises `InvalidArgument`.
    """
    if not (options.binds or options.mounts or options.tmpfs or options.volumes or inherited):
        return ()
    made: dict[str, MountPoint] = {}
    for points, mode in inherited:
        for point in points:
            if point.type != "tmpfs":
                made[point.destination] = _inherited(point, mode)
    asked = _asked(options)
    made.update(asked)
    for path in options.volumes:
        destination = image_destination(path)
        if destination not in made:
            made[destination] = MountPoint(
                "volume", destination, name=new_volume_name(), options=("rbind",), anonymous=True, populate=True
            )
    for point in made.values():
        _check_destination(point)
    return tuple(made.values())


def _asked(options: ContainerOptions) -> dict[str, MountPoint]:
    asked: dict[str, MountPoint] = {}
    if options.binds or options.mounts:
        from wherry.container import parse_mount

        for text in options.binds:
            mode = text.split(":")[2] if text.count(":") == 2 else ""
            _put(asked, from_option(parse_mount.volume(text, driver=options.volume_driver), mode))
        for option in options.mounts:
            _put(asked, from_option(parse_mount.check_mount(option)))
    if options.tmpfs:
        from wherry.container.parse_mount import check_target

        for destination, text in options.tmpfs:
            _put(asked, MountPoint("tmpfs", check_target(destination), mode=text, options=tmpfs_options(text)))
    return asked


def _put(asked: dict[str, MountPoint], point: MountPoint) -> None:
    if point.destination in asked:
        raise InvalidArgument(f"Duplicate mount point: {point.destination}")
    asked[point.destination] = point


def from_option(option: MountOption, mode: str = "") -> MountPoint:
    """The mount point for one checked ``--mount`` or parsed ``-v``."""
    if option.type == "tmpfs":
        words = list(option.tmpfs_options)
        if option.tmpfs_size_bytes:
            words.append(f"size={option.tmpfs_size_bytes}")
        if option.tmpfs_mode is not None:
            words.append(f"mode={option.tmpfs_mode:o}")
        if option.read_only:
            words.append("ro")
        return MountPoint(
            "tmpfs", option.target, rw=not option.read_only, options=tmpfs_options(",".join(words)), listed=True
        )
    flags = ["bind" if option.bind_non_recursive else "rbind"]
    if option.bind_read_only_force_recursive:
        flags.append("rro")
    elif option.bind_read_only_non_recursive:
        flags.append("ro")
    common: dict[str, Any] = {"rw": not option.read_only, "mode": mode, "options": tuple(flags), "listed": True}
    if option.type == "bind":
        return MountPoint(
            "bind",
            option.target,
            source=option.source,
            propagation=option.bind_propagation or "rprivate",
            create_source=option.bind_create_mountpoint,
            relabel=option.selinux_relabel,
            **common,
        )
    return MountPoint(
        "volume",
        option.target,
        name=option.source or new_volume_name(),
        driver=option.volume_driver or "local",
        anonymous=not option.source,
        populate=not option.volume_no_copy,
        subpath=option.volume_subpath,
        relabel=option.selinux_relabel,
        driver_options=option.volume_driver_options,
        labels=option.volume_labels,
        **common,
    )


def _inherited(point: MountPoint, mode: str) -> MountPoint:
    return point.replace(rw=point.rw and mode != "ro", populate=False, mode=mode, anonymous=False)


def volumes_from(text: str) -> tuple[str, str]:
    """(container, mode) of one ``--volumes-from CONTAINER[:ro|rw][,z|Z]``."""
    if not text:
        raise InvalidArgument("volumes-from specification cannot be an empty string")
    name, _colon, mode = text.partition(":")
    words = mode.split(",") if mode else []
    access = [word for word in words if word in ("ro", "rw")]
    relabel = [word for word in words if word in ("z", "Z")]
    if len(access) > 1 or len(relabel) > 1 or len(access) + len(relabel) != len(words):
        raise InvalidArgument(f"invalid mode: {mode}", hint="write CONTAINER:ro or CONTAINER:rw")
    return name, access[0] if access else "rw"


def new_volume_name() -> str:
    """A name for an anonymous volume: 64 hexadecimal digits."""
    return os.urandom(32).hex()


def image_destination(path: str) -> str:
    """A destination that an image names, absolute and without ``..``; the root is refused."""
    if "\0" in path or len(path) > 4096:
        raise InvalidArgument("invalid volume path")
    clean = os.path.normpath("/" + path.lstrip("/"))
    if clean == "/":
        raise InvalidArgument(
            f"invalid volume specification: '{path}': invalid specification: destination can't be '/'"
        )
    return clean


def _check_destination(point: MountPoint) -> None:
    destination = point.destination
    if destination == "/proc" and point.type == "bind" and point.source == "/proc":
        return
    if destination != "/proc" and (not destination.startswith("/proc/") or destination in _UNDER_PROC):
        return
    raise InvalidArgument(
        f'"{destination}" cannot be mounted because it is inside /proc',
        hint="the kernel's own /proc must stay in place",
    )


def tmpfs_options(text: str) -> tuple[str, ...]:
    """Mount options of a tmpfs: Docker's defaults with those of ``text`` in their place; a later word wins."""
    chosen: dict[str, str] = {_TMPFS_FLAGS[word]: word for word in _TMPFS_DEFAULT}
    chosen["propagation"] = "rprivate"
    for word in text.split(",") if text else ():
        name, equals, value = word.partition("=")
        if equals and name in _TMPFS_DATA and value:
            chosen[name] = word
        elif not equals and word in _TMPFS_FLAGS:
            chosen[_TMPFS_FLAGS[word]] = word
        elif not equals and word in ("inode32", "inode64", "noswap"):
            chosen[word] = word
        elif word:
            raise InvalidArgument(f'invalid tmpfs option ["{word}"]', hint="for example size=64m,mode=1777,exec")
    chosen.pop("defaults", None)
    return tuple(chosen.values())


def check_sources(mounts: tuple[MountPoint, ...]) -> None:
    """Makes the missing sources of ``-v`` binds (owned by the caller, mode 0755) and refuses those of ``--mount``."""
    for point in mounts:
        if point.type != "bind" or os.path.lexists(point.source):
            continue
        if not point.create_source:
            raise InvalidArgument(
                f'invalid mount config for type "bind": bind source path does not exist: {point.source}'
            )
        try:
            os.makedirs(point.source, 0o755, exist_ok=True)
        except OSError as error:
            reason = os.strerror(error.errno or 0).lower()
            raise InvalidArgument(
                f"error while creating mount source path '{point.source}': mkdir {point.source}: {reason}"
            ) from None
