"""A `ContainerOptions` as the body of ``POST /containers/create``: the other direction of what a server makes of one.

Pure.  A field that was not asked for is left out, so that engines of other versions have their own defaults.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from wherry.container.options import ContainerOptions, DeviceRate, DeviceRequest, MountOption, NetworkOption
    from wherry.container.update import ContainerUpdate
    from wherry.record import Record

_CONFIG = (
    ("Image", "image"), ("Hostname", "hostname"), ("Domainname", "domainname"), ("User", "user"),
    ("AttachStdin", "attach_stdin"), ("AttachStdout", "attach_stdout"), ("AttachStderr", "attach_stderr"),
    ("Tty", "tty"), ("OpenStdin", "open_stdin"), ("StdinOnce", "stdin_once"), ("Env", "env"), ("Cmd", "cmd"),
    ("Entrypoint", "entrypoint"), ("WorkingDir", "working_dir"), ("StopSignal", "stop_signal"),
    ("StopTimeout", "stop_timeout"),
)  # fmt: skip
_HOST = (
    ("AutoRemove", "auto_remove"), ("Binds", "binds"), ("VolumesFrom", "volumes_from"),
    ("VolumeDriver", "volume_driver"), ("NetworkMode", "network_mode"), ("PublishAllPorts", "publish_all"),
    ("Dns", "dns"), ("DnsOptions", "dns_options"), ("DnsSearch", "dns_search"), ("ExtraHosts", "extra_hosts"),
    ("CapAdd", "cap_add"), ("CapDrop", "cap_drop"), ("CgroupnsMode", "cgroupns_mode"), ("GroupAdd", "group_add"),
    ("IpcMode", "ipc_mode"), ("PidMode", "pid_mode"), ("UTSMode", "uts_mode"), ("UsernsMode", "userns_mode"),
    ("CgroupParent", "cgroup_parent"), ("OomScoreAdj", "oom_score_adj"), ("OomKillDisable", "oom_kill_disable"),
    ("Privileged", "privileged"), ("ReadonlyRootfs", "readonly_rootfs"), ("SecurityOpt", "security_opt"),
    ("ShmSize", "shm_size"), ("Runtime", "runtime"), ("Isolation", "isolation"), ("Init", "init"),
    ("MaskedPaths", "masked_paths"),
    ("ReadonlyPaths", "readonly_paths"), ("DeviceCgroupRules", "device_cgroup_rules"),
    ("MemorySwappiness", "memory_swappiness"), ("ContainerIDFile", "container_id_file"),
)  # fmt: skip
_RESOURCES = (
    ("Memory", "memory"), ("MemoryReservation", "memory_reservation"), ("MemorySwap", "memory_swap"),
    ("NanoCpus", "nano_cpus"), ("CpuShares", "cpu_shares"), ("CpuPeriod", "cpu_period"), ("CpuQuota", "cpu_quota"),
    ("CpuRealtimePeriod", "cpu_realtime_period"), ("CpuRealtimeRuntime", "cpu_realtime_runtime"),
    ("CpusetCpus", "cpuset_cpus"), ("CpusetMems", "cpuset_mems"), ("PidsLimit", "pids_limit"),
    ("BlkioWeight", "blkio_weight"),
)  # fmt: skip
_HEALTH = (
    ("Test", "health_test"), ("Interval", "health_interval"), ("Timeout", "health_timeout"),
    ("StartPeriod", "health_start_period"), ("StartInterval", "health_start_interval"), ("Retries", "health_retries"),
)  # fmt: skip
_RATES = (
    ("BlkioDeviceReadBps", "blkio_device_read_bps"), ("BlkioDeviceWriteBps", "blkio_device_write_bps"),
    ("BlkioDeviceReadIOps", "blkio_device_read_iops"), ("BlkioDeviceWriteIOps", "blkio_device_write_iops"),
)  # fmt: skip
_BUILT_IN = ("", "default", "bridge")
_KEPT_APART = (1, 44)
"""Since this version of the API a container is created with all of its networks, and has an address of hardware in
each; before, with one, and the others come later."""


def body(options: ContainerOptions, version: tuple[int, int]) -> dict[str, Any]:
    """What to send to an engine with this version of the API."""
    found = _fields(options, _CONFIG)
    if options.exposed_ports:
        found["ExposedPorts"] = {port: {} for port in options.exposed_ports}
    if options.volumes:
        found["Volumes"] = {path: {} for path in options.volumes}
    if options.labels:
        found["Labels"] = dict(options.labels)
    health = _fields(options, _HEALTH)
    if health:
        found["Healthcheck"] = health
    if version < _KEPT_APART:
        mac = next((one.mac for one in options.networks if one.mac), "")
        found |= {"MacAddress": mac} if mac else {}
    networks = networks_at_creation(options, version)
    if networks:
        found["NetworkingConfig"] = {
            "EndpointsConfig": {one.name or options.network_mode or "default": _place(one) for one in networks}
        }
    return found | {"HostConfig": _host(options)}


def networks_at_creation(options: ContainerOptions, version: tuple[int, int]) -> tuple[NetworkOption, ...]:
    """Those that the body names; the others have to be connected afterwards."""
    if version >= _KEPT_APART:
        return options.networks
    return tuple([one for one in options.networks if one.name in (options.network_mode, "")][:1])


def _place(one: NetworkOption) -> dict[str, Any]:
    """Links in the network that is there anyway are HostConfig's."""
    return endpoint(one.replace(links=()) if one.name in _BUILT_IN else one)


def _host(options: ContainerOptions) -> dict[str, Any]:
    found = _fields(options, _HOST) | _fields(options, _RESOURCES)
    found |= restart(options)
    for name, field in (("Sysctls", "sysctls"), ("Annotations", "annotations"), ("Tmpfs", "tmpfs")):
        pairs = getattr(options, field)
        found |= {name: dict(pairs)} if pairs else {}
    if options.mounts:
        found["Mounts"] = [_mount(one) for one in options.mounts]
    if options.port_bindings:
        places: dict[str, list[dict[str, str]]] = {}
        for one in options.port_bindings:
            places.setdefault(one.port, []).append({"HostIp": one.host_ip, "HostPort": one.host_port})
        found["PortBindings"] = places
    links = [link for one in options.networks for link in one.links if one.name in _BUILT_IN]
    if links:
        found["Links"] = links
    if options.devices:
        found["Devices"] = [
            {
                "PathOnHost": one.path_on_host,
                "PathInContainer": one.path_in_container,
                "CgroupPermissions": one.cgroup_permissions,
            }
            for one in options.devices
        ]
    if options.device_requests:
        found["DeviceRequests"] = [_request(one) for one in options.device_requests]
    if options.ulimits:
        found["Ulimits"] = [{"Name": one.name, "Soft": one.soft, "Hard": one.hard} for one in options.ulimits]
    if options.blkio_weight_device:
        found["BlkioWeightDevice"] = _rates(options.blkio_weight_device, "Weight")
    for name, field in _RATES:
        rates = getattr(options, field)
        found |= {name: _rates(rates, "Rate")} if rates else {}
    if options.log_driver or options.log_opts:
        found["LogConfig"] = {"Type": options.log_driver, "Config": dict(options.log_opts)}
    return found


def restart(asked: ContainerOptions | ContainerUpdate) -> dict[str, Any]:
    """``RestartPolicy``, where one was asked for."""
    if not asked.restart_policy:
        return {}
    return {"RestartPolicy": {"Name": asked.restart_policy, "MaximumRetryCount": asked.restart_retries}}


def update(wanted: ContainerUpdate) -> dict[str, Any]:
    """The body of ``POST /containers/{id}/update``."""
    found = _fields(wanted, _RESOURCES) | restart(wanted)
    return found | ({"PidsLimit": -1} if wanted.pids_limit == 0 else {})


def endpoint(one: NetworkOption) -> dict[str, Any]:
    """``EndpointSettings``."""
    addresses = {"IPv4Address": one.ipv4, "IPv6Address": one.ipv6, "LinkLocalIPs": list(one.link_local)}
    given = {name: value for name, value in addresses.items() if value}
    found: dict[str, Any] = {"IPAMConfig": given} if given else {}
    found |= {"Aliases": list(one.aliases)} if one.aliases else {}
    found |= {"Links": list(one.links)} if one.links else {}
    found |= {"MacAddress": one.mac} if one.mac else {}
    found |= {"DriverOpts": dict(one.driver_options)} if one.driver_options else {}
    return found | ({"GwPriority": one.gateway_priority} if one.gateway_priority else {})


def _fields(record: Record, names: Iterable[tuple[str, str]]) -> dict[str, Any]:
    """Those that were asked for."""
    defaults, found = record._defaults, {}
    for name, field in names:
        value = getattr(record, field)
        if field not in defaults or value != defaults[field]:
            found[name] = list(value) if isinstance(value, tuple) else value
    return found


def _rates(rates: Iterable[DeviceRate], name: str) -> list[dict[str, Any]]:
    return [{"Path": one.path, name: one.rate} for one in rates]


def _request(one: DeviceRequest) -> dict[str, Any]:
    return {
        "Driver": one.driver,
        "Count": one.count,
        "DeviceIDs": list(one.device_ids),
        "Capabilities": [list(group) for group in one.capabilities],
        "Options": dict(one.options),
    }


_OF_BIND = (
    ("Propagation", "bind_propagation"), ("NonRecursive", "bind_non_recursive"),
    ("CreateMountpoint", "bind_create_mountpoint"), ("ReadOnlyNonRecursive", "bind_read_only_non_recursive"),
    ("ReadOnlyForceRecursive", "bind_read_only_force_recursive"),
)  # fmt: skip
_OF_VOLUME = (("NoCopy", "volume_no_copy"), ("Subpath", "volume_subpath"))
_OF_TMPFS = (("SizeBytes", "tmpfs_size_bytes"), ("Mode", "tmpfs_mode"))


def _mount(one: MountOption) -> dict[str, Any]:
    found = _fields(one, (("Type", "type"), ("Source", "source"), ("Target", "target"), ("ReadOnly", "read_only")))
    bind, volume, tmpfs = _fields(one, _OF_BIND), _fields(one, _OF_VOLUME), _fields(one, _OF_TMPFS)
    if one.volume_labels:
        volume["Labels"] = dict(one.volume_labels)
    if one.volume_driver or one.volume_driver_options:
        volume["DriverConfig"] = {"Name": one.volume_driver, "Options": dict(one.volume_driver_options)}
    if one.tmpfs_options:
        tmpfs["Options"] = [text.split("=", 1) for text in one.tmpfs_options]
    parts = {"BindOptions": bind, "VolumeOptions": volume, "TmpfsOptions": tmpfs}
    return found | {name: part for name, part in parts.items() if part}
