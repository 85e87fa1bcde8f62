"""The part of a plan that is about mounts: which trees are opened, by whom, and where they are attached."""

from __future__ import annotations

from wherry.errors import InvalidArgument
from wherry.linux import mount as m
from wherry.linux.ids import IdMap
from wherry.oci.mount import Mount
from wherry.runtime import options as mount_options
from wherry.runtime.ops import (
    HELD,
    Attach,
    Device,
    MakeDevice,
    MakeLinks,
    Op,
    OpenBind,
    OpenFilesystem,
    OpenRoot,
    Remount,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from wherry.runtime.options import Options
    from wherry.runtime.situation import Situation

_PRIVATE = m.MS_PRIVATE | m.MS_REC
#: Files of procfs that may be replaced one by one (lxcfs does); everything else below /proc may not be mounted over.
_PROC_FILES = (
    "cpuinfo",
    "diskstats",
    "meminfo",
    "stat",
    "swaps",
    "uptime",
    "loadavg",
    "slabinfo",
    "sys/kernel/ns_last_pid",
)
#: File systems that show a namespace; its owner may make them, or the host's root.
_VIEWS = {"proc": "pid", "sysfs": "network", "mqueue": "ipc"}
_STANDARD_DEVICES = (("null", 3), ("zero", 5), ("full", 7), ("random", 8), ("urandom", 9))
_STANDARD_LINKS = (
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
    ("core", "/proc/kcore"),
    ("ptmx", "pts/ptmx"),
)
#: Places where the kernel's own file systems go: no symbolic link of an image may lead there.
_STRICT = ("/proc", "/sys", "/dev")


class Mounts:
    """Collects the mount operations of one plan."""

    def __init__(self, situation: Situation) -> None:
        self.situation = situation
        self.slots = 0
        self.outside: list[Op] = []  # trees that the parent opens
        self.early: list[Op] = []  # trees that the child opens while the parent is busy
        self.late: list[Op] = []  # from attaching on, in the specification's order
        self.slot_of_outside: list[int] = []
        self.device_directory = False

    def _slot(self) -> int:
        self.slots += 1
        return self.slots - 1

    def root(self, root: Mount) -> int:
        """Plan the opening of the root file system and return its slot."""
        slot = self._slot()
        # a root that the host's root mounts would honour device nodes in image layers
        attributes = m.ATTR_NODEV if self.situation.in_user else 0
        self._tree(OpenRoot(slot, root, attributes), slot)
        return slot

    def _tree(self, op: Op, slot: int) -> None:
        if self.situation.parent_opens:
            self.outside.append(op)
            self.slot_of_outside.append(slot)
        else:
            self.late.append(op)

    def add(self, entry: dict[str, Any], devices: tuple[Device, ...]) -> None:
        """Plan one entry of the specification's ``mounts``."""
        target = normal(str(entry.get("destination", "")))
        options = mount_options.parse(entry.get("options") or ())
        kind = str(entry.get("type") or "")
        bind = options.bind or kind == "bind"
        _check_target(target, kind, bind)
        if bind:
            self._bind(entry, target, options)
        elif kind == "cgroup" or kind == "cgroup2":
            self._cgroup(target, options)
        elif options.remount:
            self.late.append(Remount(target, options.set, options.clear))
        else:
            self._filesystem(entry, target, kind, options, devices)

    def _bind(self, entry: dict[str, Any], target: str, options: Options) -> None:
        source = str(entry.get("source") or "")
        if not source:
            raise InvalidArgument(f"the bind mount at {target} has no source")
        if not source.startswith(("/", HELD)):
            source = self.situation.bundle.rstrip("/") + "/" + source if self.situation.bundle else source
        if target == "/dev":
            self.device_directory = False
        uids = id_maps(entry.get("uidMappings"))
        gids = id_maps(entry.get("gidMappings"))
        if uids and (uids, gids) == (self.situation.uids, self.situation.gids):
            uids = gids = ()
            idmap = True
        else:
            idmap = options.idmap or bool(uids or gids)
        if idmap and not uids and not self.situation.uids:
            raise InvalidArgument(f"the mount at {target} asks for id mapping but names no ids")
        slot = self._slot()
        op = OpenBind(
            slot,
            source,
            options.recursive,
            options.set,
            mount_options.with_atime_cleared(options.set, options.clear),
            options.deep_set,
            options.deep_clear,
            idmap,
            options.idmap_deep,
            uids,
            gids,
            options.subdirectory,
        )
        self._tree(op, slot)
        self.late.append(Attach(slot, target, "bind", options.propagation or _PRIVATE))

    def _filesystem(
        self, entry: dict[str, Any], target: str, kind: str, options: Options, devices: tuple[Device, ...]
    ) -> None:
        slot = self._slot()
        situation = self.situation
        data = options.data
        if kind == "devpts":
            data = tuple(option for option in data if self._group_is_mapped(option))
            data = tuple(option for option in data if option != "newinstance")
        # a file system of one's own is private; a clone of the host's may be shared with it
        propagation = options.propagation or (_PRIVATE if self._fallback(kind) else 0)
        keep_mode = kind == "tmpfs" and not any(option.startswith("mode=") for option in data)
        strict = in_strict_place(target)
        op = OpenFilesystem(
            slot, kind, data, options.set, str(entry.get("source") or kind), fallback=self._fallback(kind)
        )
        if target == "/dev" and kind == "tmpfs":
            self.device_directory = True
            self._device_directory(op, devices)
        elif situation.parent_opens and kind in _VIEWS and _VIEWS[kind] not in situation.new:
            view = _VIEWS[kind]
            join = (view, situation.joined[view]) if view in situation.joined else ("", "")
            self._tree(op.replace(join=join), slot)
        elif situation.opens_early(kind):
            self.early.append(op)
        else:
            self.late.append(op)
        self.late.append(Attach(slot, target, kind, propagation, strict=strict, keep_mode=keep_mode))
        if target == "/dev" and kind == "tmpfs" and not situation.makes_nodes:
            self.late += [MakeDevice(device, True) for device in devices if device.path.startswith("/dev/")]

    def _fallback(self, kind: str) -> str:
        situation = self.situation
        if kind == "sysfs" and situation.in_user and "network" not in situation.new:
            return "/sys"
        if kind == "mqueue" and situation.in_user and "ipc" not in situation.new:
            return "/dev/mqueue"
        if kind == "proc" and "pid" not in situation.new and "pid" not in situation.joined:
            return "/proc"
        return ""

    def _device_directory(self, op: OpenFilesystem, devices: tuple[Device, ...]) -> None:
        situation = self.situation
        op = op.replace(links=_STANDARD_LINKS)
        if not situation.makes_nodes:
            self.early.append(op)
            return
        inside = tuple(device.replace(path=device.path[5:]) for device in devices if device.path.startswith("/dev/"))
        if situation.parent_opens:
            uid, gid = situation.host_uid(0), situation.host_gid(0)
            owned = tuple(
                device.replace(uid=situation.host_uid(device.uid), gid=situation.host_gid(device.gid))
                for device in inside
            )
            options = (*op.options, f"uid={uid}", f"gid={gid}")
            self._tree(op.replace(devices=owned, options=options, owner=(uid, gid)), op.slot)
        else:
            self.early.append(op.replace(devices=inside))

    def _group_is_mapped(self, option: str) -> bool:
        name, _, value = option.partition("=")
        return name != "gid" or not value.isdecimal() or self.situation.maps_gid(int(value))

    def devices(self, devices: tuple[Device, ...]) -> None:
        """Plan the devices that are not on a ``/dev`` made with them."""
        for device in devices:
            if not (self.device_directory and device.path.startswith("/dev/")):
                self.late.append(MakeDevice(device, not self.situation.makes_nodes or self.situation.in_user))

    def _cgroup(self, target: str, options: Options) -> None:
        layout = self.situation.host.cgroups
        directories: dict[str, list[str]] = {}
        for controller, directory in layout.controllers.items():
            if directory != layout.unified:
                directories.setdefault(directory, []).append(controller)
        if not directories:
            if layout.unified:
                self._hierarchy("cgroup2", (), layout.unified, target, options)
            return
        base = OpenFilesystem(self._slot(), "tmpfs", ("mode=755",), options.set & ~m.ATTR_RDONLY, "tmpfs")
        self.early.append(base)
        self.late.append(Attach(base.slot, target, "tmpfs", strict=in_strict_place(target)))
        links: list[tuple[str, str]] = []
        for directory, names in directories.items():
            place = directory.rpartition("/")[2]
            data = tuple(names)
            if any(name.startswith("name=") for name in names):
                data = ("none", *data)
            self._hierarchy("cgroup", data, directory, f"{target}/{place}", options)
            links += [(f"{target}/{name}", place) for name in names if name != place and "=" not in name]
        if layout.unified:
            place = layout.unified.rpartition("/")[2]
            self._hierarchy("cgroup2", (), layout.unified, f"{target}/{place}", options)
        if links:
            self.late.append(MakeLinks(tuple(links)))
        if options.set & m.ATTR_RDONLY:
            self.late.append(Remount(target, m.ATTR_RDONLY, 0))

    def _hierarchy(self, kind: str, data: tuple[str, ...], directory: str, target: str, options: Options) -> None:
        slot = self._slot()
        situation = self.situation
        if "cgroup" in situation.new:
            self.early.append(OpenFilesystem(slot, kind, data, options.set, kind))
            self.late.append(Attach(slot, target, kind, strict=True))
        else:
            # the host's own mount (another one of cgroup2 takes the kernel 10 ms), never writable in a user namespace
            deep = options.set | (m.ATTR_RDONLY if situation.in_user else 0)
            self._tree(OpenBind(slot, directory, True, deep_set=deep), slot)
            self.late.append(Attach(slot, target, kind, _PRIVATE, strict=True))


def id_maps(entries: list[dict[str, int]] | None) -> tuple[IdMap, ...]:
    """``uidMappings`` or ``gidMappings`` as values."""
    return tuple(IdMap(entry["containerID"], entry["hostID"], entry["size"]) for entry in entries or ())


def normal(target: str) -> str:
    """A mount destination without empty parts and dots.  Raises InvalidArgument when it is not absolute or has ``..``
    (CVE-2022-23648)."""
    if not target.startswith("/"):
        raise InvalidArgument(f"invalid mount path: '{target}' mount path must be absolute")
    parts = [part for part in target.split("/") if part not in ("", ".")]
    if ".." in parts or "\0" in target:
        raise InvalidArgument(f"invalid mount path: '{target}' must not contain '..'")
    return "/" + "/".join(parts)


def in_strict_place(target: str) -> bool:
    """Whether ``target`` is, or is below, one of the kernel's own directories."""
    return any(target == place or target.startswith(place + "/") for place in _STRICT)


def may_cover_proc(target: str) -> bool:
    """Whether a mount below ``/proc`` at ``target`` is harmless."""
    return target.removeprefix("/proc/") in _PROC_FILES


def _check_target(target: str, kind: str, bind: bool) -> None:
    if target == "/":
        raise InvalidArgument("invalid mount path: '/' cannot be mounted over", hint="give the root another image")
    if (target == "/proc" or target.startswith("/proc/")) and not (kind == "proc" and not bind):
        if target == "/proc" and bind:
            return  # the host's own procfs is checked when it is attached
        if not may_cover_proc(target):
            raise InvalidArgument(f'"{target}" cannot be mounted because it is inside /proc')


def devices_of(entries: list[dict[str, Any]] | None) -> tuple[Device, ...]:
    """The specification's devices, with those that every container has (config-linux.md, "Default Devices")."""
    found: dict[str, Device] = {}
    for name, minor in _STANDARD_DEVICES:
        found["/dev/" + name] = Device("/dev/" + name, "c", 1, minor)
    found["/dev/tty"] = Device("/dev/tty", "c", 5, 0)
    for entry in entries or ():
        path = normal(str(entry["path"]))
        kind = str(entry["type"])
        if kind not in ("c", "u", "b", "p"):
            raise InvalidArgument(f"device {path} has the unknown type {kind!r}")
        found[path] = Device(
            path,
            "c" if kind == "u" else kind,
            int(entry.get("major", 0)),
            int(entry.get("minor", 0)),
            int(entry.get("fileMode") or 0o666),
            int(entry.get("uid") or 0),
            int(entry.get("gid") or 0),
        )
    return tuple(found.values())
