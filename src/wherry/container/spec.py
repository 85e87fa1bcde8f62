"""The OCI runtime spec of a container: one pure function from its record and `Facts` to the document.

Follows moby's ``daemon/oci_linux.go`` where Docker's behaviour is the contract; differs where Wherry is stricter (no
inheritable capabilities, a user namespace by default) or kinder (/dev/shm follows the memory limit).
OCI runtime spec 1.2: https://github.com/opencontainers/runtime-spec.
"""

from __future__ import annotations

from wherry.container import capabilities, defaults, merge, modes, mounts, resources, security
from wherry.container.check import INIT_ANNOTATION, check_sysctl
from wherry.container.record import ID_COUNT
from wherry.errors import NotSupported

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from wherry.container.facts import Facts
    from wherry.container.options import ContainerOptions
    from wherry.container.record import ContainerRecord
    from wherry.oci.runtime_spec import Spec

VERSION = "1.2.0"

_UNLIMITED = (1 << 64) - 1


def build(record: ContainerRecord, facts: Facts) -> Spec:
    """The spec that a runtime makes this container from.

    ``record.options`` must be merged (`wherry.container.merge`) and checked (`check`).  Raises `InvalidArgument` for
    what cannot be, `NotSupported` for what this host cannot do.
    """
    options = record.options
    secure = security.parse(options)
    ids = _id_maps(record, facts)
    paths = dict(facts.namespace_paths)
    user_namespace = bool(ids[0]) or "user" in paths
    hostname = host_name(record, facts)
    process = _process(record, facts, secure, hostname)
    linux: dict[str, Any] = {
        "namespaces": modes.namespaces(options, paths, user=user_namespace),
        "sysctl": sysctls(options, facts, user_namespace=user_namespace, gids=ids[1]),
        "cgroupsPath": cgroup_path(record, facts),
        "resources": _resources(options, facts),
    }
    if ids[0] and "user" not in paths:
        linux["uidMappings"], linux["gidMappings"] = ids
    _paths(linux, options, facts, secure)
    devices = [_device(node) for node in facts.devices if not mounts.is_bound(node, facts)]
    if devices:
        linux["devices"] = devices
    if facts.seccomp is not None and secure.seccomp != "unconfined":
        linux["seccomp"] = facts.seccomp
    spec: dict[str, Any] = {
        "ociVersion": VERSION,
        "process": process,
        "root": {"path": facts.rootfs, "readonly": options.readonly_rootfs},
        "mounts": mounts.build(record, facts, ids, secure, user_namespace=user_namespace),
        "linux": linux,
    }
    propagation = mounts.root_propagation(record.mounts)
    if propagation:
        linux["rootfsPropagation"] = propagation
    _labels(process, linux, record, facts, secure)
    if options.uts_mode != "host":
        spec["hostname"] = hostname
        if options.domainname:
            spec["domainname"] = options.domainname
    annotations = dict(options.annotations)
    if options.init and options.pid_mode in ("", "private"):
        annotations[INIT_ANNOTATION] = "true"
    if annotations:
        spec["annotations"] = annotations
    if facts.cdi:
        from wherry.container import cdi

        cdi.apply(spec, facts.cdi)
    return spec  # type: ignore[return-value]


def host_name(record: ContainerRecord, facts: Facts) -> str:
    """What the container calls itself: as asked, the host's name where it shares that, else its short id."""
    options = record.options
    if options.hostname:
        return options.hostname
    if options.network_mode == "host" or options.uts_mode == "host":
        return facts.hostname
    return record.short_id


def cgroup_path(record: ContainerRecord, facts: Facts) -> str:
    """Where its cgroup goes, below the mount of the hierarchy (a relative parent is below the engine's own cgroup)."""
    if facts.cgroup_path:
        return facts.cgroup_path
    parent = record.options.cgroup_parent or "/wherry"
    return f"{parent.rstrip('/')}/{record.id}"


def sysctls(
    options: ContainerOptions, facts: Facts, *, user_namespace: bool, gids: list[dict[str, int]]
) -> dict[str, str]:
    """Docker's default sysctls of a private network, then those asked for.

    Both defaults let an unprivileged process do what the default capabilities NET_RAW and NET_BIND_SERVICE allow
    root.  In a user namespace the kernel takes only groups that are mapped.
    """
    values: dict[str, str] = {}
    if options.network_mode != "host" and not modes.container_of(options.network_mode):
        last = (1 << 31) - 1
        if user_namespace:
            last = gids[0]["containerID"] + gids[0]["size"] - 1 if gids else 0
        values["net.ipv4.ping_group_range"] = f"0 {last}"
        values["net.ipv4.ip_unprivileged_port_start"] = "0"
        for name in facts.absent_sysctls:
            values.pop(name, None)
    for name, value in options.sysctls:
        check_sysctl(name, options)
        values[name] = value
    return values


def _id_maps(record: ContainerRecord, facts: Facts) -> tuple[list[dict[str, int]], list[dict[str, int]]]:
    if facts.uid_map:
        uids = [{"containerID": m.container, "hostID": m.host, "size": m.size} for m in facts.uid_map]
        gids = [{"containerID": m.container, "hostID": m.host, "size": m.size} for m in facts.gid_map]
        return uids, gids
    if not record.id_base:
        return [], []
    one = {"containerID": 0, "hostID": record.id_base, "size": ID_COUNT}
    return [one], [dict(one)]


def _process(record: ContainerRecord, facts: Facts, secure: security.Security, hostname: str) -> dict[str, Any]:
    options, identity = record.options, facts.identity
    kept = capabilities.choose(
        options.cap_add, options.cap_drop, privileged=options.privileged, available=facts.capabilities
    )
    # A process that is not root starts without effective capabilities: execve(2) would drop them (capabilities(7)).
    effective = list(kept) if identity.uid == 0 else []
    process: dict[str, Any] = {
        "terminal": options.tty,
        "user": {"uid": identity.uid, "gid": identity.gid, "additionalGids": list(identity.groups)},
        "args": [record.path, *record.args],
        "env": merge.process_env(options, hostname=hostname, home=identity.home, linked=facts.linked),
        "cwd": options.working_dir or "/",
        "capabilities": {"bounding": list(kept), "effective": effective, "permitted": list(effective)},
        "noNewPrivileges": secure.no_new_privileges,
    }
    if options.tty and any(options.console_size):
        process["consoleSize"] = dict(zip(("height", "width"), options.console_size, strict=True))
    if options.oom_score_adj:
        process["oomScoreAdj"] = options.oom_score_adj
    if options.ulimits:
        process["rlimits"] = [
            {"type": f"RLIMIT_{limit.name.upper()}", "soft": limit.soft & _UNLIMITED, "hard": limit.hard & _UNLIMITED}
            for limit in options.ulimits
        ]
    return process


def _labels(
    process: dict[str, Any],
    linux: dict[str, Any],
    record: ContainerRecord,
    facts: Facts,
    secure: security.Security,
) -> None:
    if facts.apparmor:
        profile = secure.apparmor or facts.apparmor_profile
        if profile:
            process["apparmorProfile"] = profile
    elif secure.apparmor not in ("", "unconfined"):
        raise NotSupported("AppArmor is not enabled on this host", hint="leave out --security-opt apparmor=")
    if facts.selinux:
        label, mount_label = security.selinux(secure, record.id)
        if label:
            process["selinuxLabel"] = label
            linux["mountLabel"] = mount_label


def _paths(linux: dict[str, Any], options: ContainerOptions, facts: Facts, secure: security.Security) -> None:
    if secure.unconfined_paths:
        return
    masked = options.masked_paths
    if masked is None:
        masked = defaults.MASKED_PATHS + facts.masked_paths
    readonly = defaults.READONLY_PATHS if options.readonly_paths is None else options.readonly_paths
    linux["maskedPaths"] = list(masked)
    linux["readonlyPaths"] = list(readonly)


def _resources(options: ContainerOptions, facts: Facts) -> dict[str, Any]:
    numbers = {path: (major, minor) for path, major, minor in facts.block_devices}
    made = resources.build(options, numbers)
    if facts.rootless:
        if options.device_cgroup_rules:
            raise NotSupported(
                "--device-cgroup-rule needs root", hint="without root, device access follows the files' permissions"
            )
        return made
    if options.privileged:
        made["devices"] = [dict(resources.ALL_DEVICES)]
        return made
    rules = resources.default_device_rules()
    for node in facts.devices:
        kind = node.type if node.type in "cb" else "c"
        rules.append({"allow": True, "type": kind, "major": node.major, "minor": node.minor, "access": node.access})
    rules += [resources.device_rule(rule) for rule in options.device_cgroup_rules]
    made["devices"] = rules
    return made


def _device(node: Any) -> dict[str, Any]:
    return {
        "path": node.path,
        "type": node.type,
        "major": node.major,
        "minor": node.minor,
        "fileMode": node.file_mode,
        "uid": node.uid,
        "gid": node.gid,
    }
