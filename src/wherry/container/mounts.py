"""The ``mounts`` of the spec: Docker's own, the three files of /etc, then what was asked for, shallow before deep."""

from __future__ import annotations

from wherry.container import defaults, modes, resources
from wherry.errors import InvalidArgument, NotSupported

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from wherry.container.facts import DeviceNode, Facts
    from wherry.container.record import ContainerRecord, MountPoint
    from wherry.container.security import Security

    IdMaps = tuple[list[dict[str, int]], list[dict[str, int]]]

_TTY_GROUP = 5


def build(
    record: ContainerRecord, facts: Facts, ids: IdMaps, secure: Security, *, user_namespace: bool
) -> list[dict[str, Any]]:
    """Every mount but the root file system, in the order in which a runtime makes them."""
    taken = {mount.destination for mount in record.mounts}
    made = _own(record, facts, ids[1], secure, user_namespace=user_namespace)
    if taken:
        no_dev = "/dev" in taken
        made = [
            mount
            for mount in made
            if mount["destination"] not in taken and not (no_dev and mount["destination"].startswith("/dev/"))
        ]
    made += [
        defaults.mount(node.path, "bind", node.host_path, ["bind", "nosuid", "noexec"])
        for node in facts.devices
        if is_bound(node, facts)
    ]
    idmapped = bool(ids[0]) and not facts.rootless
    if idmapped and record.mounts and not facts.idmapped_binds:
        bound = [mount.destination for mount in record.mounts if mount.type != "tmpfs"]
        if bound:
            raise NotSupported(f"{bound[0]}: binds cannot be id-mapped here", hint="use --userns=host")
    later = [mount for mount in _etc(record, facts) if mount["destination"] not in taken]
    later += [_asked(mount, facts, ids if idmapped else None) for mount in record.mounts]
    later.sort(key=lambda mount: mount["destination"].rstrip("/").count("/"))
    return made + later


def is_bound(node: DeviceNode, facts: Facts) -> bool:
    """Whether a device comes as a mount: nodes cannot be made, and a runtime binds only the host's of the same path.

    In a user namespace nodes are made in a ``/dev`` that comes from outside, and nowhere else.
    """
    makes = facts.makes_devices and not facts.rootless and node.path.startswith("/dev/")
    return not makes and node.host_path not in ("", node.path)


def _own(
    record: ContainerRecord, facts: Facts, gids: list[dict[str, int]], secure: Security, *, user_namespace: bool
) -> list[dict[str, Any]]:
    options = record.options
    tty_group = not gids or any(
        entry["containerID"] <= _TTY_GROUP < entry["containerID"] + entry["size"] for entry in gids
    )
    paths = dict(facts.namespace_paths)
    writable = secure.writable_cgroups
    own = [
        defaults.proc(foreign=user_namespace and options.pid_mode == "host"),
        defaults.dev(),
        defaults.devpts(tty_group=tty_group),
        defaults.sys(
            foreign=user_namespace and (options.network_mode == "host" or ("network" in paths and "user" not in paths)),
            writable=options.privileged,
        ),
        defaults.cgroup(writable=writable),
    ]
    foreign_ipc = user_namespace and options.ipc_mode == "host"
    if facts.mqueue or not foreign_ipc:
        own.append(defaults.mqueue(foreign=foreign_ipc))
    if options.ipc_mode == "host":
        own.append(defaults.shared_shm("/dev/shm"))
    elif modes.container_of(options.ipc_mode) and not facts.shm_source:
        raise InvalidArgument(
            f"can't join IPC of container {modes.container_of(options.ipc_mode)}: non-shareable IPC",
            hint="start that container with --ipc=shareable",
        )
    elif facts.shm_source:
        own.append(defaults.shared_shm(facts.shm_source))
    elif options.ipc_mode != "none":
        own.append(defaults.shm(resources.shm_size(options)))
    return own


def _etc(record: ContainerRecord, facts: Facts) -> list[dict[str, Any]]:
    options = ["rbind", "rprivate"]
    if record.options.readonly_rootfs:
        options.append("ro")
    files = (
        ("/etc/resolv.conf", facts.etc_resolv_conf),
        ("/etc/hostname", facts.etc_hostname),
        ("/etc/hosts", facts.etc_hosts),
    )
    return [defaults.mount(destination, "bind", source, options[:]) for destination, source in files if source]


def _asked(mount: MountPoint, facts: Facts, ids: IdMaps | None) -> dict[str, Any]:
    options = list(mount.options)
    if mount.type == "tmpfs":
        return defaults.mount(mount.destination, "tmpfs", "tmpfs", options)
    if not mount.rw and "ro" not in options:
        recursive = "rbind" in options and facts.recursive_readonly
        if "rro" in options and not recursive:
            raise NotSupported(
                f"{mount.destination}: this kernel cannot make a mount read-only recursively",
                hint="leave out bind-recursive=readonly",
            )
        if "rro" not in options:
            options.append("rro" if recursive else "ro")
    if mount.propagation:
        options.append(mount.propagation)
    if mount.subpath:
        options.append(f"X-mount.subdir={mount.subpath}")  # found when it is mounted: containers write to the volume
    made = defaults.mount(mount.destination, "bind", mount.source, options)
    if ids is not None:
        made["uidMappings"], made["gidMappings"] = ids
        options.append("ridmap" if "rbind" in options and mount.type == "bind" else "idmap")
        if mount.type == "volume":
            options.append("nodev")  # what an image's directory held was copied, device nodes included
    return made


def root_propagation(mounts: tuple[MountPoint, ...]) -> str:
    """``rootfsPropagation``: as wide as the widest propagation asked for; "" is the runtime's default."""
    wanted = {mount.propagation for mount in mounts}
    if wanted & {"shared", "rshared"}:
        return "shared"
    if wanted & {"slave", "rslave"}:
        return "rslave"
    return ""
