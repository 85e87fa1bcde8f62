"""What a specification and a host mean together: facts that several parts of a plan ask for."""

from __future__ import annotations

from wherry.errors import InvalidArgument, NotSupported
from wherry.linux import capabilities
from wherry.linux.ids import IdMap
from wherry.linux.namespaces import FLAGS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from wherry.linux.host import Host


class Situation:
    """Derived facts.

    ``new`` namespaces are made, ``joined`` ones exist; ``new_user`` says that a user namespace is among the former.
    ``parent_opens``: trees are opened by the parent because it has privileges that the namespace will not have.
    ``makes_nodes``: device nodes can be made, so that none need be bound from the host.
    """

    def __init__(self, spec: dict[str, Any], host: Host, bundle: str) -> None:
        linux = spec.get("linux") or {}
        self.host = host
        self.bundle = bundle
        self.new: dict[str, None] = {}
        self.joined: dict[str, str] = {}
        for namespace in linux.get("namespaces") or ():
            name, path = str(namespace.get("type")), namespace.get("path")
            if name not in FLAGS:
                raise InvalidArgument(f"unknown namespace {name!r}")
            if name in self.new or name in self.joined:
                raise InvalidArgument(f"the {name} namespace is given twice")
            if path:
                self.joined[name] = str(path)
            else:
                self.new[name] = None
        self.uids = _maps(linux.get("uidMappings"))
        self.gids = _maps(linux.get("gidMappings"))
        if "mount" not in self.new:
            raise NotSupported("a container needs a mount namespace of its own")
        if (self.uids or self.gids) and "user" not in self.joined:
            self.new["user"] = None
        self.new_user = "user" in self.new
        if self.new_user and not (self.uids and self.gids):
            raise InvalidArgument("a new user namespace needs uidMappings and gidMappings")
        if not self.new_user:
            self.uids = self.gids = ()
        self.in_user = self.new_user or "user" in self.joined
        self.parent_opens = self.in_user and host.privileged
        can_make = bool(host.capabilities & capabilities.mask(("CAP_MKNOD",)))
        self.makes_nodes = host.privileged and can_make and "user" not in self.joined
        self._check(linux)

    def _check(self, linux: dict[str, Any]) -> None:
        if linux.get("timeOffsets"):
            raise NotSupported("linux.timeOffsets is not supported")
        if linux.get("intelRdt"):
            raise NotSupported("linux.intelRdt is not supported")
        if linux.get("memoryPolicy"):
            raise NotSupported("linux.memoryPolicy is not supported")
        if linux.get("netDevices"):
            raise NotSupported("linux.netDevices is not supported")

    def opens_early(self, kind: str) -> bool:
        """Whether a file system of this type can be made before the root is there."""
        return kind in ("proc", "sysfs", "tmpfs", "devpts", "mqueue", "cgroup", "cgroup2")

    def host_uid(self, uid: int) -> int:
        """The host's id of a container's user.  Raises InvalidArgument when it has none."""
        return _translate(self.uids, uid, "user") if self.new_user else uid

    def host_gid(self, gid: int) -> int:
        """The host's id of a container's group.  Raises InvalidArgument when it has none."""
        return _translate(self.gids, gid, "group") if self.new_user else gid

    def maps_gid(self, gid: int) -> bool:
        """Whether a group exists in the container's user namespace."""
        return not self.new_user or any(one.container <= gid < one.container + one.size for one in self.gids)

    def maps_uid(self, uid: int) -> bool:
        """Whether a user exists in the container's user namespace."""
        return not self.new_user or any(one.container <= uid < one.container + one.size for one in self.uids)

    def shields(self) -> bool:
        """Whether root inside could write the interpreter that enters: then it must not (CVE-2019-5736)."""
        if "user" in self.joined or not self.new_user:
            return True
        owner = self.host.interpreter_owner
        return any(one.host <= owner < one.host + one.size for one in self.uids)


def _maps(entries: list[dict[str, int]] | None) -> tuple[IdMap, ...]:
    return tuple(IdMap(entry["containerID"], entry["hostID"], entry["size"]) for entry in entries or ())


def _translate(maps: tuple[IdMap, ...], number: int, what: str) -> int:
    for one in maps:
        if one.container <= number < one.container + one.size:
            return one.host + number - one.container
    raise InvalidArgument(f"{what} {number} is not mapped in the container's user namespace")
