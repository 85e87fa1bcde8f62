"""What the spec of one container depends on besides its record: the host, the image's users, the files of /etc."""

from __future__ import annotations

import os

from wherry.container import files, lookup, modes, users
from wherry.container.capabilities import choose
from wherry.container.facts import Facts
from wherry.container.spec import host_name
from wherry.engine import names
from wherry.errors import Conflict, InvalidArgument
from wherry.linux import capabilities

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from wherry.container.links import Link
    from wherry.container.record import ContainerRecord
    from wherry.engine.engine import Engine
    from wherry.engine.network import Sandbox
    from wherry.engine.user_network import UserSandbox
    from wherry.linux.ids import IdMap

_PING = "net.ipv4.ping_group_range"
_PORTS = "net.ipv4.ip_unprivileged_port_start"


def gather(
    engine: Engine, record: ContainerRecord, layers: tuple[str, ...], sandbox: Sandbox | UserSandbox | None = None
) -> Facts:
    """Everything `wherry.container.spec.build` is told; ``layers`` are what its root consists of, top-most first.

    Writes the container's hosts, hostname and resolv.conf.
    """
    options, host = record.options, engine.host
    bounding = None
    if host.bounding & capabilities.ALL != capabilities.ALL:
        bounding = tuple(capabilities.names(host.bounding & capabilities.ALL))
    uid_map, gid_map = engine.id_maps if engine.rootless else ((), ())
    identity = users.resolve(
        options.user,
        options.group_add,
        lookup.read(layers, "etc/passwd", users.MAX_FILE) or b"",
        lookup.read(layers, "etc/group", users.MAX_FILE) or b"",
    )
    if engine.rootless and identity.groups == (identity.gid,) and _size(gid_map) == 1:
        identity = identity.replace(groups=())  # setgroups(2) is denied where only one group is mapped
    known: dict[str, Any] = {
        "identity": identity,
        "hostname": os.uname().nodename,
        "rootless": engine.rootless,
        "uid_map": uid_map,
        "gid_map": gid_map,
        "capabilities": bounding,
        "masked_paths": _throttle_counters(),
        "absent_sysctls": tuple(name for name in (_PING, _PORTS) if not _has_sysctl(name)),
        "recursive_readonly": host.kernel >= (5, 12),
        "apparmor": host.apparmor,
        "apparmor_profile": _apparmor_profile() if host.apparmor else "",
        "selinux": host.selinux,
    }
    facts = Facts(**known | _asked(engine, record))
    if facts.identity.uid >= _mapped(facts, record):
        raise InvalidArgument(
            f"user {facts.identity.uid} does not exist in the container: only {_mapped(facts, record)} ids are mapped",
            hint="give more subordinate ids in /etc/subuid" if engine.rootless else "use --userns=host",
        )
    links = names.linked(engine, record) if sandbox is not None and options.networks else ()
    return facts.replace(
        seccomp=seccomp(engine, record, facts),
        linked=tuple([entry for link in links for entry in link.variables]),
        **_etc(engine, record, facts, sandbox, links),
    )


def seccomp(engine: Engine, record: ContainerRecord, facts: Facts) -> dict[str, Any] | None:
    """The filter: Docker's default, that of a profile, or none where the options say so or the kernel has none."""
    from wherry.container import security

    options = record.options
    wanted = security.parse(options).seccomp
    if wanted == "unconfined":
        return None
    from wherry.linux.seccomp import profile

    granted = choose(options.cap_add, options.cap_drop, privileged=options.privileged, available=facts.capabilities)
    host = engine.host
    if wanted:
        return profile.load_profile(wanted, granted, host.machine, host.kernel)
    return profile.docker_default(granted, host.machine, host.kernel)


def _size(maps: tuple[IdMap, ...]) -> int:
    return sum(one.size for one in maps)


def _mapped(facts: Facts, record: ContainerRecord) -> int:
    if facts.uid_map:
        return _size(facts.uid_map)
    return 65536 if record.id_base else 1 << 31


def _asked(engine: Engine, record: ContainerRecord) -> dict[str, Any]:
    """The facts that only some options need."""
    found: dict[str, Any] = {}
    options = record.options
    if modes.joined(options):
        found |= _joined(engine, record)
    if options.ipc_mode == "host":
        found["mqueue"] = os.path.ismount("/dev/mqueue")
    if options.privileged or options.devices or options.device_requests or _has_rates(options):
        from wherry.engine import devices

        found |= devices.facts(options)
    return found


def _has_rates(options: Any) -> bool:
    return bool(
        options.blkio_weight_device
        or options.blkio_device_read_bps
        or options.blkio_device_write_bps
        or options.blkio_device_read_iops
        or options.blkio_device_write_iops
    )


def _joined(engine: Engine, record: ContainerRecord) -> dict[str, Any]:
    """The namespace files of the running containers that this one joins, and the ids that come with them."""
    from wherry.container.record import ID_COUNT
    from wherry.engine.containers import find, load
    from wherry.linux.ids import IdMap

    paths: dict[str, str] = {}
    found: dict[str, Any] = {}
    names = {"network": "net", "ipc": "ipc", "pid": "pid"}
    for kind, name in modes.joined(record.options):
        other = find(engine, name)
        if other.status != "running":
            raise Conflict(f"cannot join {kind} of a non running container: {other.id}")
        if kind == "ipc" and load(other).options.ipc_mode == "shareable":
            from wherry.engine.sharing import shared_memory
            from wherry.runtime.op import HELD

            found["shm_source"] = f"{HELD}{shared_memory(other.pid)}"
        paths[kind] = f"/proc/{other.pid}/ns/{names[kind]}"
        if os.readlink(f"/proc/{other.pid}/ns/user") != os.readlink("/proc/self/ns/user"):
            if paths.setdefault("user", f"/proc/{other.pid}/ns/user") != f"/proc/{other.pid}/ns/user":
                raise InvalidArgument(
                    "cannot join namespaces of containers with different user namespaces",
                    hint="start them with --userns=host",
                )
            if other.id_base:
                found["uid_map"] = found["gid_map"] = (IdMap(0, other.id_base, ID_COUNT),)
    found["namespace_paths"] = tuple(paths.items())
    return found


def _etc(
    engine: Engine,
    record: ContainerRecord,
    facts: Facts,
    sandbox: Sandbox | UserSandbox | None,
    links: tuple[Link, ...],
) -> dict[str, str]:
    """Write the three files of /etc, owned by the container's root; gives their paths as facts."""
    options = record.options
    on_host = options.network_mode == "host"
    name = host_name(record, facts)
    directory = engine.layout.container(record.id)
    contents = {
        "hosts": files.hosts(
            name,
            options.domainname,
            addresses=sandbox.addresses if sandbox is not None else (),
            extra=(*options.extra_hosts, *[link.host for link in links]),
            gateway=sandbox.gateway if sandbox is not None else "",
            base=names.read_text("/etc/hosts") if on_host else "",
        ),
        "hostname": files.hostname(name),
        "resolv.conf": names.resolv_conf(record, *((sandbox.networks, sandbox.resolver) if sandbox else ())),
    }
    paths: dict[str, str] = {}
    for file, content in contents.items():
        path = f"{directory}/{file}"
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
        try:
            os.fchmod(fd, 0o644)
            if record.id_base:
                os.fchown(fd, record.id_base, record.id_base)
            os.write(fd, content.encode())
        finally:
            os.close(fd)
        paths["etc_" + file.replace(".", "_")] = path
    return paths


def _has_sysctl(name: str) -> bool:
    return os.path.exists("/proc/sys/" + name.replace(".", "/"))


def _throttle_counters() -> tuple[str, ...]:
    """Per-CPU counters that tell what others compute (GHSA-6fw5-f8r9-fgfm)."""
    paths = (f"/sys/devices/system/cpu/cpu{number}/thermal_throttle" for number in range(os.cpu_count() or 1))
    return tuple(path for path in paths if os.path.exists(path))


def _apparmor_profile() -> str:
    """Docker's profile where somebody has loaded it; Wherry does not load one, that needs apparmor_parser(8)."""
    for line in names.read_text("/sys/kernel/security/apparmor/profiles").splitlines():
        if line.startswith("docker-default "):
            return "docker-default"
    return ""
