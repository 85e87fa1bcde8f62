"""What the spec builder must be told of the host, the image's files and the engine's decisions: values, no look-ups."""

from __future__ import annotations

from wherry.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from wherry.container.options import Pairs
    from wherry.linux.ids import IdMap


class Identity(Record):
    """Who the first process is, by ids inside the container; ``groups`` starts with ``gid`` (CVE-2022-36109)."""

    uid: int = 0
    gid: int = 0
    groups: tuple[int, ...] = (0,)
    home: str = "/root"


class DeviceNode(Record):
    """A device of the host to be seen in the container at ``path``; ``type`` is "c", "b" or "p"."""

    path: str
    type: str
    major: int
    minor: int
    file_mode: int = 0o666
    uid: int = 0
    gid: int = 0
    access: str = "rwm"
    host_path: str = ""  # where the host has it


class Facts(Record):
    """Given to `wherry.container.spec.build`.  Paths are the host's.

    ``namespace_paths`` are (type, path) of namespaces to join: those of every ``container:`` mode, and a network that
    was prepared.  Where one of them belongs to a container with a user namespace, ("user", path) comes with it and
    ``uid_map``/``gid_map`` are that container's.  For a rootless caller they are its own ids; for root they are left
    empty and follow from the record's ``id_base``.
    """

    rootfs: str = "rootfs"
    identity: Identity = Identity()
    hostname: str = ""  # of the host, for containers that share its UTS or network namespace
    rootless: bool = False
    uid_map: tuple[IdMap, ...] = ()
    gid_map: tuple[IdMap, ...] = ()
    namespace_paths: Pairs = ()
    etc_hosts: str = ""  # files to be seen as /etc/hosts and so on; "" leaves the image's own.  The engine
    etc_hostname: str = ""  # makes them owned by the container's root, so they are not id-mapped
    etc_resolv_conf: str = ""
    linked: tuple[str, ...] = ()  # variables that come with --link
    shm_source: str = ""  # directory of the /dev/shm shared with other containers (--ipc shareable, container:)
    seccomp: dict[str, Any] | None = None  # resolved linux.seccomp; None: no filter
    capabilities: tuple[str, ...] | None = None  # what the engine can give; None: everything
    devices: tuple[DeviceNode, ...] = ()  # for --device, or all of the host's for --privileged
    makes_devices: bool = True  # False: the OCI runtime can only bind the host's; so without root
    block_devices: tuple[tuple[str, int, int], ...] = ()  # (path, major, minor) of the paths in blkio options
    masked_paths: tuple[str, ...] = ()  # besides the default ones, as this machine has them
    absent_sysctls: tuple[str, ...] = ()  # default sysctls that this kernel does not have
    cgroup_path: str = ""  # "" is /wherry/ID, or ID below the parent asked for
    recursive_readonly: bool = True  # mount_setattr(2), Linux 5.12
    mqueue: bool = True  # the host has /dev/mqueue, for containers that share its IPC namespace
    idmapped_binds: bool = True  # this kernel and OCI runtime do id-mapped mounts of binds
    apparmor_profile: str = ""  # the host's default profile, "" where AppArmor is off
    apparmor: bool = False
    selinux: bool = False
    cdi: dict[str, Any] | None = None  # `wherry.container.cdi.edits`: containerEdits of the devices asked for
