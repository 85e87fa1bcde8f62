"""One container as ``docker inspect`` shows it (Engine API 1.48, ``GET /containers/{id}/json``).  Pure."""

from __future__ import annotations

from wherry.container import defaults, resources, security
from wherry.container.health import Health
from wherry.container.record import ID_COUNT, mount_points
from wherry.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from wherry.container.health import Result
    from wherry.container.options import ContainerOptions, DeviceRate
    from wherry.container.record import ContainerRecord
    from wherry.container.state import State


class Places(Record):
    """What the record does not hold: where the engine keeps the container's files, and its network."""

    resolv_conf: str = ""
    hostname_file: str = ""
    hosts: str = ""
    log: str = ""
    log_lost: int = 0  # lines that the log could not take
    hostname: str = ""
    process_label: str = ""
    mount_label: str = ""
    apparmor_profile: str = ""
    graph: tuple[tuple[str, str], ...] = ()  # LowerDir, UpperDir, WorkDir, MergedDir
    network: dict[str, Any] | None = None  # NetworkSettings, as `wherry.engine.network_settings` makes it
    links: tuple[str, ...] = ()  # of the default network
    exec_ids: tuple[str, ...] = ()
    health: Health = Health()
    size_rw: int | None = None
    size_root: int | None = None


_NOWHERE = Places()


def inspect(record: ContainerRecord, state: State, places: Places) -> dict[str, Any]:
    """Docker's container JSON.  ``Wherry`` at its end holds what Docker has no name for."""
    document: dict[str, Any] = {
        "Id": record.id,
        "Created": rfc3339(record.created),
        "Path": record.path,
        "Args": list(record.args),
        "State": _state(state, places),
        "Image": record.image_id,
        "ResolvConfPath": places.resolv_conf,
        "HostnamePath": places.hostname_file,
        "HostsPath": places.hosts,
        "LogPath": places.log,
        "Name": f"/{record.name}",
        "RestartCount": state.restart_count,
        "Driver": record.snapshotter,
        "Platform": record.platform,
        "MountLabel": places.mount_label,
        "ProcessLabel": places.process_label,
        "AppArmorProfile": places.apparmor_profile,
        "ExecIDs": list(places.exec_ids) or None,
        "HostConfig": _host_config(record, places),
        "GraphDriver": {"Data": dict(places.graph) or None, "Name": record.snapshotter},
        "Mounts": mount_points(record.mounts),
        "Config": config_of(record, places),
        "NetworkSettings": places.network,
    }
    if places.size_rw is not None:
        document["SizeRw"] = places.size_rw
    if places.size_root is not None:
        document["SizeRootFs"] = places.size_root
    document["Wherry"] = {
        "UserNamespace": bool(record.id_base),
        "IdBase": record.id_base,
        "IdCount": ID_COUNT if record.id_base else 0,
        "UserNamespaceFallback": record.userns_fallback,
        "Manifest": record.manifest,
        "LogLost": places.log_lost,
    }
    return document


def rfc3339(nanoseconds: int) -> str:
    """A time as Go's RFC3339Nano writes it in UTC; 0 is Go's zero time."""
    if not nanoseconds:
        return "0001-01-01T00:00:00Z"
    import time

    seconds, rest = divmod(nanoseconds, 1_000_000_000)
    moment = time.gmtime(seconds)
    fraction = f".{rest:09d}".rstrip("0").rstrip(".")
    return time.strftime("%Y-%m-%dT%H:%M:%S", moment) + fraction + "Z"


def _state(state: State, places: Places) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "Status": state.status,
        "Running": state.running,
        "Paused": state.status == "paused",
        "Restarting": state.status == "restarting",
        "OOMKilled": state.oom_killed,
        "Dead": state.status == "dead",
        "Pid": state.pid,
        "ExitCode": state.exit_code,
        "Error": state.error,
        "StartedAt": rfc3339(state.started_at),
        "FinishedAt": rfc3339(state.finished_at),
    }
    if state.health:
        shown["Health"] = {
            "Status": state.health,
            "FailingStreak": places.health.streak,
            "Log": [_check(result) for result in places.health.log],
        }
    return shown


def _check(result: Result) -> dict[str, Any]:
    return {
        "Start": rfc3339(result.start),
        "End": rfc3339(result.end),
        "ExitCode": result.exit_code,
        "Output": result.output,
    }


def config_of(record: ContainerRecord, places: Places = _NOWHERE) -> dict[str, Any]:
    """What the container runs: Docker's ``Config``."""
    options = record.options
    config: dict[str, Any] = {
        "Hostname": options.hostname or places.hostname or record.short_id,
        "Domainname": options.domainname,
        "User": options.user,
        "AttachStdin": options.attach_stdin,
        "AttachStdout": options.attach_stdout,
        "AttachStderr": options.attach_stderr,
        "Tty": options.tty,
        "OpenStdin": options.open_stdin,
        "StdinOnce": options.stdin_once,
        "Env": list(options.env),
        "Cmd": _listed(options.cmd),
        "Image": options.image or record.image_name,
        "Volumes": {path: {} for path in options.volumes} or None,
        "WorkingDir": options.working_dir,
        "Entrypoint": _listed(options.entrypoint),
        "OnBuild": None,
        "Labels": dict(options.labels),
    }
    if options.exposed_ports:
        config["ExposedPorts"] = {port: {} for port in options.exposed_ports}
    if options.stop_signal:
        config["StopSignal"] = options.stop_signal
    if options.stop_timeout is not None:
        config["StopTimeout"] = options.stop_timeout
    if options.health_test or options.health_interval or options.health_timeout or options.health_retries:
        config["Healthcheck"] = _healthcheck(options)
    return config


def _healthcheck(options: ContainerOptions) -> dict[str, Any]:
    shown = {
        "Test": list(options.health_test),
        "Interval": options.health_interval,
        "Timeout": options.health_timeout,
        "StartPeriod": options.health_start_period,
        "StartInterval": options.health_start_interval,
        "Retries": options.health_retries,
    }
    return {name: value for name, value in shown.items() if value}


def _listed(values: tuple[str, ...] | None) -> list[str] | None:
    return list(values) if values else None


def _host_config(record: ContainerRecord, places: Places) -> dict[str, Any]:
    options = record.options
    masked, readonly = _paths(options)
    config: dict[str, Any] = {
        "Binds": _listed(options.binds),
        "ContainerIDFile": options.container_id_file,
        "LogConfig": {"Type": options.log_driver or "json-file", "Config": dict(sorted(options.log_opts))},
        "NetworkMode": options.network_mode or "bridge",
        "PortBindings": _bindings(options),
        "RestartPolicy": {"Name": options.restart_policy or "no", "MaximumRetryCount": options.restart_retries},
        "AutoRemove": options.auto_remove,
        "VolumeDriver": options.volume_driver,
        "VolumesFrom": _listed(options.volumes_from),
        "ConsoleSize": list(options.console_size),
        "CapAdd": _listed(options.cap_add),
        "CapDrop": _listed(options.cap_drop),
        "CgroupnsMode": options.cgroupns_mode or "private",
        "Dns": list(options.dns),
        "DnsOptions": list(options.dns_options),
        "DnsSearch": list(options.dns_search),
        "ExtraHosts": _listed(options.extra_hosts),
        "GroupAdd": _listed(options.group_add),
        "IpcMode": options.ipc_mode or "private",
        "Cgroup": "",
        "Links": _listed(places.links),
        "OomScoreAdj": options.oom_score_adj,
        "PidMode": options.pid_mode,
        "Privileged": options.privileged,
        "PublishAllPorts": options.publish_all,
        "ReadonlyRootfs": options.readonly_rootfs,
        "SecurityOpt": _listed(options.security_opt),
        "UTSMode": options.uts_mode,
        "UsernsMode": options.userns_mode or ("host" if record.userns_fallback else ""),
        "ShmSize": resources.shm_size(options),
        "Runtime": record.runtime,
        "Isolation": options.isolation,
        **_limits(options),
        "MaskedPaths": masked,
        "ReadonlyPaths": readonly,
    }
    if options.mounts:
        config["Mounts"] = [_mount_option(mount) for mount in options.mounts]
    if options.tmpfs:
        config["Tmpfs"] = dict(options.tmpfs)
    if options.sysctls:
        config["Sysctls"] = dict(options.sysctls)
    if options.annotations:
        config["Annotations"] = dict(options.annotations)
    if options.init:
        config["Init"] = True
    return config


def _paths(options: ContainerOptions) -> tuple[list[str] | None, list[str] | None]:
    if security.parse(options).unconfined_paths:
        return None, None
    masked = defaults.MASKED_PATHS if options.masked_paths is None else options.masked_paths
    readonly = defaults.READONLY_PATHS if options.readonly_paths is None else options.readonly_paths
    return list(masked), list(readonly)


def _limits(options: ContainerOptions) -> dict[str, Any]:
    return {
        "CpuShares": options.cpu_shares,
        "Memory": options.memory,
        "NanoCpus": options.nano_cpus,
        "CgroupParent": options.cgroup_parent,
        "BlkioWeight": options.blkio_weight,
        "BlkioWeightDevice": [{"Path": rate.path, "Weight": rate.rate} for rate in options.blkio_weight_device],
        "BlkioDeviceReadBps": _rates(options.blkio_device_read_bps),
        "BlkioDeviceWriteBps": _rates(options.blkio_device_write_bps),
        "BlkioDeviceReadIOps": _rates(options.blkio_device_read_iops),
        "BlkioDeviceWriteIOps": _rates(options.blkio_device_write_iops),
        "CpuPeriod": options.cpu_period,
        "CpuQuota": options.cpu_quota,
        "CpuRealtimePeriod": options.cpu_realtime_period,
        "CpuRealtimeRuntime": options.cpu_realtime_runtime,
        "CpusetCpus": options.cpuset_cpus,
        "CpusetMems": options.cpuset_mems,
        "Devices": [
            {
                "PathOnHost": device.path_on_host,
                "PathInContainer": device.path_in_container,
                "CgroupPermissions": device.cgroup_permissions,
            }
            for device in options.devices
        ],
        "DeviceCgroupRules": _listed(options.device_cgroup_rules),
        "DeviceRequests": [
            {
                "Driver": request.driver,
                "Count": request.count,
                "DeviceIDs": _listed(request.device_ids),
                "Capabilities": [list(group) for group in request.capabilities],
                "Options": dict(request.options),
            }
            for request in options.device_requests
        ]
        or None,
        "MemoryReservation": options.memory_reservation,
        "MemorySwap": resources.swap_limit(options),
        "MemorySwappiness": options.memory_swappiness,
        "OomKillDisable": options.oom_kill_disable,
        "PidsLimit": options.pids_limit,
        "Ulimits": [{"Name": limit.name, "Hard": limit.hard, "Soft": limit.soft} for limit in options.ulimits],
        "CpuCount": 0,
        "CpuPercent": 0,
        "IOMaximumIOps": 0,
        "IOMaximumBandwidth": 0,
    }


def _rates(rates: tuple[DeviceRate, ...]) -> list[dict[str, Any]]:
    return [{"Path": rate.path, "Rate": rate.rate} for rate in rates]


def _mount_option(mount: Any) -> dict[str, Any]:
    shown: dict[str, Any] = {"Type": mount.type}
    if mount.source:
        shown["Source"] = mount.source
    shown["Target"] = mount.target
    if mount.read_only:
        shown["ReadOnly"] = True
    bind = {
        "Propagation": mount.bind_propagation,
        "NonRecursive": mount.bind_non_recursive,
        "CreateMountpoint": mount.bind_create_mountpoint,
        "ReadOnlyNonRecursive": mount.bind_read_only_non_recursive,
        "ReadOnlyForceRecursive": mount.bind_read_only_force_recursive,
    }
    volume: dict[str, Any] = {
        "NoCopy": mount.volume_no_copy,
        "Labels": dict(mount.volume_labels),
        "Subpath": mount.volume_subpath,
    }
    if mount.volume_driver or mount.volume_driver_options:
        volume["DriverConfig"] = {"Name": mount.volume_driver, "Options": dict(mount.volume_driver_options)}
    tmpfs = {"SizeBytes": mount.tmpfs_size_bytes, "Mode": mount.tmpfs_mode}
    for name, values in (("BindOptions", bind), ("VolumeOptions", volume), ("TmpfsOptions", tmpfs)):
        given = {key: value for key, value in values.items() if value}
        if given:
            shown[name] = given
    return shown


def _bindings(options: ContainerOptions) -> dict[str, list[dict[str, str]]]:
    found: dict[str, list[dict[str, str]]] = {}
    for binding in options.port_bindings:
        found.setdefault(binding.port, []).append({"HostIp": binding.host_ip, "HostPort": binding.host_port})
    return found
