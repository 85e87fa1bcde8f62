"""``POST /containers/create`` as `ContainerOptions`: the same values that the command line makes of its options.

The body is Docker's Config with HostConfig and NetworkingConfig in it.  A field that the engine does not have is an
error unless it has Docker's default.
"""

from __future__ import annotations

from wherry.container.modes import container_of
from wherry.container.options import (
    ContainerOptions,
    DeviceMapping,
    DeviceRate,
    DeviceRequest,
    MountOption,
    NetworkOption,
    PortBinding,
    Ulimit,
)
from wherry.container.parse import extra_host, signal
from wherry.container.parse_device import cgroup_rule
from wherry.container.parse_mount import check_mount, check_target, volume
from wherry.container.parse_port import check_binding
from wherry.errors import InvalidArgument, NotSupported

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from wherry.api.fields import Fields
    from wherry.container.update import ContainerUpdate

_DEFAULT_ISOLATION = ("", "default")
_WINDOWS = ("CpuCount", "CpuPercent", "IOMaximumIOps", "IOMaximumBandwidth")


def options_of(body: Fields, *, name: str = "", platform: str = "") -> ContainerOptions:
    """What is asked of a new container.  Raises `InvalidArgument`, `NotSupported`."""
    host = body.part("HostConfig")
    _refuse(body, host)
    if body.text("StopSignal"):
        signal(body.text("StopSignal"))  # raises what is wrong with it
    fields = _config(body) | resources(host) | _limits(host) | _security(host) | _mounts(host)
    fields |= _life(body, host) | _networks(body, host)
    return ContainerOptions(name=name.removeprefix("/"), platform=platform, **fields)


def _refuse(body: Fields, host: Fields) -> None:
    if host.text("Isolation") not in _DEFAULT_ISOLATION:
        raise InvalidArgument(f"invalid isolation '{host.text('Isolation')}': Linux has no other than default")
    for name in _WINDOWS:
        if host.integer(name):
            raise InvalidArgument(f"{name} is not supported on Linux")
    if body.texts("Shell") or body.texts("OnBuild"):
        raise InvalidArgument("Shell and OnBuild belong to images, not to containers")
    if host.text("Cgroup"):
        raise NotSupported("sharing a control group with another container is not supported")
    if host.pairs("StorageOpt"):
        raise InvalidArgument("--storage-opt is supported only for overlay over xfs with 'pquota' mount option")


def _config(body: Fields) -> dict[str, Any]:
    host = body.part("HostConfig")
    exposed = tuple([port if "/" in port else f"{port}/tcp" for port in body.keys("ExposedPorts")])
    return {
        "image": body.text("Image"),
        "hostname": body.text("Hostname"),
        "domainname": body.text("Domainname"),
        "user": body.text("User"),
        "attach_stdin": body.boolean("AttachStdin"),
        "attach_stdout": body.boolean("AttachStdout"),
        "attach_stderr": body.boolean("AttachStderr"),
        "exposed_ports": exposed,
        "tty": body.boolean("Tty"),
        "open_stdin": body.boolean("OpenStdin"),
        "stdin_once": body.boolean("StdinOnce"),
        "env": body.texts("Env"),
        "cmd": body.texts("Cmd") or None,
        "entrypoint": body.optional_texts("Entrypoint"),
        "volumes": body.keys("Volumes"),
        "working_dir": body.text("WorkingDir"),
        "labels": body.pairs("Labels"),
        "stop_signal": body.text("StopSignal"),
        "stop_timeout": body.optional_integer("StopTimeout"),
        "console_size": console_size(host),
        "auto_remove": host.boolean("AutoRemove"),
        "container_id_file": "",  # the client's to write
        "runtime": host.text("Runtime") or body.text("Runtime"),  # where the SDK for Python puts it
        "isolation": host.text("Isolation"),
        "init": host.boolean("Init"),
        "annotations": host.pairs("Annotations"),
    }


def console_size(asked: Fields) -> tuple[int, int]:
    """``ConsoleSize``: rows and columns, or two zeros.  Raises `InvalidArgument`."""
    given = asked.value("ConsoleSize") or [0, 0]
    if (
        not isinstance(given, list)
        or len(given) != 2
        or not all(type(one) is int and 0 <= one < 1 << 16 for one in given)
    ):
        raise InvalidArgument("invalid JSON: ConsoleSize must be two numbers: rows and columns")
    return given[0], given[1]


def image_config_of(body: Fields) -> dict[str, Any]:
    """What a Config says of an image to be made of a container, as the image configuration has it."""
    health, ports = body.part("Healthcheck"), [one if "/" in one else f"{one}/tcp" for one in body.keys("ExposedPorts")]
    check: dict[str, Any] = {"Test": list(health.texts("Test"))}
    for name in ("Interval", "Timeout", "StartPeriod", "StartInterval", "Retries"):
        check |= {name: health.integer(name)} if health.integer(name) else {}
    given = {name: list(body.texts(name)) for name in ("Env", "Cmd", "Entrypoint", "OnBuild", "Shell")}
    found: dict[str, Any] = {name: body.text(name) for name in ("User", "WorkingDir", "StopSignal")} | given
    found |= {"ExposedPorts": {one: {} for one in ports}, "Volumes": {one: {} for one in body.keys("Volumes")}}
    found |= {"Labels": dict(body.pairs("Labels")), "StopTimeout": body.optional_integer("StopTimeout")}
    found |= {"Healthcheck": check if check["Test"] else None}
    return {name: value for name, value in found.items() if value or (name == "StopTimeout" and value == 0)}


def restart(host: Fields) -> dict[str, Any]:
    """The restart policy, which an update may change as well."""
    policy = host.part("RestartPolicy")
    return {"restart_policy": policy.text("Name"), "restart_retries": policy.integer("MaximumRetryCount")}


def _life(body: Fields, host: Fields) -> dict[str, Any]:
    """What its monitor does: restarts, health, log."""
    health, log = body.part("Healthcheck"), host.part("LogConfig")
    given = restart(host)
    if given["restart_policy"] == "no":
        given["restart_policy"] = ""
    return given | {
        "health_test": health.texts("Test"),
        "health_interval": health.integer("Interval"),
        "health_timeout": health.integer("Timeout"),
        "health_start_period": health.integer("StartPeriod"),
        "health_start_interval": health.integer("StartInterval"),
        "health_retries": health.integer("Retries"),
        "log_driver": log.text("Type"),
        "log_opts": log.pairs("Config"),
    }


def _networks(body: Fields, host: Fields) -> dict[str, Any]:
    mode = host.text("NetworkMode")
    mode = "" if mode == "default" else mode
    named = body.part("NetworkingConfig").named("EndpointsConfig")
    if body.boolean("NetworkDisabled") and not container_of(mode):
        mode, named = "none", []
    networks = tuple([network_option("" if name == "default" else name, given) for name, given in named])
    mac, links = body.text("MacAddress"), tuple([_link(text) for text in host.texts("Links")])
    if (mac or links) and not body.boolean("NetworkDisabled"):  # of the network that the mode names
        home = next((one for one in networks if one.name in (mode, "")), NetworkOption(mode))
        others = [one for one in networks if one is not home]
        networks = (home.replace(mac=home.mac or mac, links=home.links + links), *others)
    bindings = [
        check_binding(PortBinding(port if "/" in port else f"{port}/tcp", one.text("HostIp"), one.text("HostPort")))
        for port, places in host.lists("PortBindings")
        for one in places
    ]
    return {
        "network_mode": mode,
        "networks": tuple([one.replace(name=one.name or mode or "bridge") for one in networks]),
        "port_bindings": tuple(bindings),
        "publish_all": host.boolean("PublishAllPorts"),
    }


def _link(text: str) -> str:
    """``name:alias``; as inspect shows them, ``/name:/container/alias``."""
    name, _colon, alias = text.partition(":")
    return f"{name.lstrip('/')}:{alias.rpartition('/')[2] or name.lstrip('/')}"


def network_option(name: str, given: Fields) -> NetworkOption:
    """What a container is to be in a network (``EndpointSettings``)."""
    ipam = given.part("IPAMConfig")
    return NetworkOption(
        name,
        aliases=given.texts("Aliases"),
        ipv4=ipam.text("IPv4Address"),
        ipv6=ipam.text("IPv6Address"),
        mac=given.text("MacAddress"),
        links=tuple([_link(text) for text in given.texts("Links")]),
        link_local=ipam.texts("LinkLocalIPs"),
        driver_options=given.pairs("DriverOpts"),
        gateway_priority=given.integer("GwPriority"),
    )


def _security(host: Fields) -> dict[str, Any]:
    for text in host.texts("ExtraHosts"):
        extra_host(text)  # raises what is wrong with it
    return {
        "dns": host.texts("Dns"),
        "dns_options": host.texts("DnsOptions"),
        "dns_search": host.texts("DnsSearch"),
        "extra_hosts": host.texts("ExtraHosts"),
        "cap_add": host.texts("CapAdd"),
        "cap_drop": host.texts("CapDrop"),
        "cgroupns_mode": host.text("CgroupnsMode"),
        "group_add": host.texts("GroupAdd"),
        "ipc_mode": host.text("IpcMode"),
        "pid_mode": host.text("PidMode"),
        "uts_mode": host.text("UTSMode"),
        "userns_mode": host.text("UsernsMode"),
        "cgroup_parent": host.text("CgroupParent"),
        "oom_score_adj": host.integer("OomScoreAdj"),
        "oom_kill_disable": host.boolean("OomKillDisable"),
        "privileged": host.boolean("Privileged"),
        "readonly_rootfs": host.boolean("ReadonlyRootfs"),
        "security_opt": host.texts("SecurityOpt"),
        "shm_size": host.integer("ShmSize"),
        "sysctls": host.pairs("Sysctls"),
        "masked_paths": host.optional_texts("MaskedPaths"),
        "readonly_paths": host.optional_texts("ReadonlyPaths"),
    }


def resources(host: Fields) -> dict[str, Any]:
    """The part of HostConfig that an update may change as well, and block devices."""
    swappiness = host.optional_integer("MemorySwappiness")
    return {
        "memory": host.integer("Memory"),
        "memory_reservation": host.integer("MemoryReservation"),
        "memory_swap": host.integer("MemorySwap"),
        "memory_swappiness": None if swappiness == -1 else swappiness,
        "nano_cpus": host.integer("NanoCpus"),
        "cpu_shares": host.integer("CpuShares"),
        "cpu_period": host.integer("CpuPeriod"),
        "cpu_quota": host.integer("CpuQuota"),
        "cpu_realtime_period": host.integer("CpuRealtimePeriod"),
        "cpu_realtime_runtime": host.integer("CpuRealtimeRuntime"),
        "cpuset_cpus": host.text("CpusetCpus"),
        "cpuset_mems": host.text("CpusetMems"),
        "pids_limit": host.optional_integer("PidsLimit"),
        "blkio_weight": host.integer("BlkioWeight"),
    }


def _limits(host: Fields) -> dict[str, Any]:
    weights = [DeviceRate(one.text("Path"), one.integer("Weight")) for one in host.objects("BlkioWeightDevice")]
    fields: dict[str, Any] = {"blkio_weight_device": tuple(weights)}
    for name, field in (
        ("BlkioDeviceReadBps", "blkio_device_read_bps"),
        ("BlkioDeviceWriteBps", "blkio_device_write_bps"),
        ("BlkioDeviceReadIOps", "blkio_device_read_iops"),
        ("BlkioDeviceWriteIOps", "blkio_device_write_iops"),
    ):
        fields[field] = tuple([DeviceRate(one.text("Path"), one.integer("Rate")) for one in host.objects(name)])
    fields["ulimits"] = tuple(
        [Ulimit(one.text("Name"), one.integer("Soft"), one.integer("Hard")) for one in host.objects("Ulimits")]
    )
    fields["devices"] = tuple(
        [
            DeviceMapping(
                one.text("PathOnHost"),
                one.text("PathInContainer") or one.text("PathOnHost"),
                one.text("CgroupPermissions") or "rwm",
            )
            for one in host.objects("Devices")
        ]
    )
    fields["device_cgroup_rules"] = tuple([cgroup_rule(rule) for rule in host.texts("DeviceCgroupRules")])
    fields["device_requests"] = tuple([_request(one) for one in host.objects("DeviceRequests")])
    return fields


def _request(one: Fields) -> DeviceRequest:
    groups = one.value("Capabilities") or []
    if not isinstance(groups, list) or not all(
        isinstance(group, list) and all(isinstance(word, str) for word in group) for group in groups
    ):
        raise InvalidArgument("invalid JSON: HostConfig.DeviceRequests.Capabilities must be a list of lists of strings")
    return DeviceRequest(
        one.text("Driver"),
        one.integer("Count"),
        one.texts("DeviceIDs"),
        tuple([tuple(group) for group in groups]),
        one.pairs("Options"),
    )


def _mounts(host: Fields) -> dict[str, Any]:
    for text in host.texts("Binds"):
        volume(text)  # raises what is wrong with it
    return {
        "binds": host.texts("Binds"),
        "mounts": tuple([_mount(one) for one in host.objects("Mounts")]),
        "tmpfs": tuple([(check_target(target), options) for target, options in host.pairs("Tmpfs")]),
        "volumes_from": host.texts("VolumesFrom"),
        "volume_driver": host.text("VolumeDriver"),
    }


_OPTIONS = {"BindOptions": "bind", "VolumeOptions": "volume", "TmpfsOptions": "tmpfs"}  # and whose they are


def _mount(one: Fields) -> MountOption:
    for name, kind in _OPTIONS.items():
        if one.has(name) and one.text("Type") != kind:
            raise InvalidArgument(
                f'invalid mount config for type "{one.text("Type")}": field {name} must not be specified'
            )
    bind, named, tmpfs = one.part("BindOptions"), one.part("VolumeOptions"), one.part("TmpfsOptions")
    driver = named.part("DriverConfig")
    option = MountOption(
        type=one.text("Type"),
        target=one.text("Target"),
        source=one.text("Source"),
        read_only=one.boolean("ReadOnly"),
        bind_propagation=bind.text("Propagation"),
        bind_non_recursive=bind.boolean("NonRecursive"),
        bind_create_mountpoint=bind.boolean("CreateMountpoint"),
        bind_read_only_non_recursive=bind.boolean("ReadOnlyNonRecursive"),
        bind_read_only_force_recursive=bind.boolean("ReadOnlyForceRecursive"),
        volume_no_copy=named.boolean("NoCopy"),
        volume_labels=named.pairs("Labels"),
        volume_driver=driver.text("Name"),
        volume_driver_options=driver.pairs("Options"),
        volume_subpath=named.text("Subpath"),
        tmpfs_size_bytes=tmpfs.integer("SizeBytes"),
        tmpfs_mode=tmpfs.optional_integer("Mode"),
        tmpfs_options=_tmpfs_options(tmpfs),
    )
    return check_mount(option)


def _tmpfs_options(tmpfs: Fields) -> tuple[str, ...]:
    pairs = tmpfs.value("Options") or []
    if not isinstance(pairs, list) or not all(
        isinstance(pair, list) and 1 <= len(pair) <= 2 and all(isinstance(word, str) for word in pair) for pair in pairs
    ):
        raise InvalidArgument("invalid JSON: HostConfig.Mounts.TmpfsOptions.Options must be a list of pairs of strings")
    return tuple(["=".join(pair) for pair in pairs])


def update_of(body: Fields) -> ContainerUpdate:
    """``POST /containers/{id}/update``.  Raises `InvalidArgument`."""
    from wherry.container.update import ContainerUpdate

    given = resources(body) | restart(body)
    if body.integer("KernelMemory") or given["memory_swappiness"] is not None:
        raise InvalidArgument("KernelMemory and MemorySwappiness cannot be changed")
    return ContainerUpdate(**{name: given[name] for name in ContainerUpdate._fields})
