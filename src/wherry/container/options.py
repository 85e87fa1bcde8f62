"""Everything that can be asked of a new container, already typed.

The command line and the API both build a `ContainerOptions`; nothing below them sees an argument vector or a request
body.  Field names are those of the Docker Engine API (``POST /containers/create``, its Config and HostConfig) in
snake_case, with the API's units: bytes, billionths of a CPU (``nano_cpus``), microseconds for CFS
periods.  Zero, the empty string, the empty tuple and None mean "not asked".

Maps (labels, sysctls, annotations) are tuples of pairs in the order given, so that a value stays immutable.
"""

from __future__ import annotations

from wherry.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Pairs = tuple[tuple[str, str], ...]


class MountOption(Record):
    """One ``--mount``, or one ``-v`` after parsing (Docker API: ``mount.Mount``)."""

    type: str  # "bind", "volume", "tmpfs"
    target: str
    source: str = ""  # host path, volume name, or "" for an anonymous volume or tmpfs
    read_only: bool = False
    bind_propagation: str = ""  # "" is Docker's default, rprivate
    bind_non_recursive: bool = False
    bind_create_mountpoint: bool = False  # make the source directory when it is missing
    bind_read_only_non_recursive: bool = False
    bind_read_only_force_recursive: bool = False
    selinux_relabel: str = ""  # "z" shared, "Z" private
    volume_no_copy: bool = False
    volume_labels: Pairs = ()
    volume_driver: str = ""
    volume_driver_options: Pairs = ()
    volume_subpath: str = ""
    tmpfs_size_bytes: int = 0
    tmpfs_mode: int | None = None
    tmpfs_options: tuple[str, ...] = ()


class DeviceMapping(Record):
    """One ``--device`` that names a path of the host."""

    path_on_host: str
    path_in_container: str
    cgroup_permissions: str = "rwm"


class DeviceRequest(Record):
    """``--gpus`` or ``--device vendor/class=name``: devices that a CDI spec describes."""

    driver: str = ""  # "cdi", "nvidia" or "" (whichever has the capabilities)
    count: int = 0  # -1: all
    device_ids: tuple[str, ...] = ()
    capabilities: tuple[tuple[str, ...], ...] = ()  # any of these sets of capabilities
    options: Pairs = ()


class NetworkOption(Record):
    """One ``--network``: a network by name or id, and what the container is to be there (Docker API:
    ``EndpointSettings``)."""

    name: str
    aliases: tuple[str, ...] = ()
    ipv4: str = ""
    ipv6: str = ""
    mac: str = ""
    links: tuple[str, ...] = ()  # "container:alias"
    link_local: tuple[str, ...] = ()
    driver_options: Pairs = ()
    gateway_priority: int = 0


class PortBinding(Record):
    """One ``--publish`` of one port of the container (Docker API: ``PortBinding``)."""

    port: str  # "80/tcp"
    host_ip: str = ""  # "": where the network says
    host_port: str = ""  # "8080", "8000-8010" to choose from, "" for any


class Ulimit(Record):
    """A resource limit by its short name ("nofile"); -1 is unlimited."""

    name: str
    soft: int
    hard: int


class DeviceRate(Record):
    """A limit (bytes or operations per second) or a weight for one block device."""

    path: str
    rate: int


class ContainerOptions(Record):
    """What `run` and `create` were asked, before or after `wherry.container.merge.merge` filled in the image's part."""

    # what the client decides
    image: str = ""  # as typed
    name: str = ""
    platform: str = ""
    pull: str = "missing"  # "missing", "always", "never"
    container_id_file: str = ""

    # Config
    hostname: str = ""
    domainname: str = ""
    user: str = ""
    attach_stdin: bool = False
    attach_stdout: bool = False
    attach_stderr: bool = False
    exposed_ports: tuple[str, ...] = ()  # "80/tcp"
    tty: bool = False
    open_stdin: bool = False
    stdin_once: bool = False
    env: tuple[str, ...] = ()  # "NAME=value"; a bare "NAME" removes what the image sets
    cmd: tuple[str, ...] | None = None
    entrypoint: tuple[str, ...] | None = None  # None: the image's; ("",): none at all
    volumes: tuple[str, ...] = ()  # destinations of anonymous volumes
    working_dir: str = ""
    labels: Pairs = ()
    stop_signal: str = ""
    stop_timeout: int | None = None  # seconds
    health_test: tuple[str, ...] = ()  # ("NONE",), ("CMD", …) or ("CMD-SHELL", text); (): the image's
    health_interval: int = 0  # nanoseconds, as the three below
    health_timeout: int = 0
    health_start_period: int = 0
    health_start_interval: int = 0
    health_retries: int = 0

    # HostConfig
    console_size: tuple[int, int] = (0, 0)  # rows and columns of its terminal at first
    auto_remove: bool = False
    restart_policy: str = ""  # "", "on-failure", "always", "unless-stopped"; "no" until it is merged
    restart_retries: int = 0  # of "on-failure"; 0: as often as it fails
    binds: tuple[str, ...] = ()  # -v, as text with an absolute source
    mounts: tuple[MountOption, ...] = ()
    tmpfs: Pairs = ()  # destination → comma-separated options
    volumes_from: tuple[str, ...] = ()
    volume_driver: str = ""
    network_mode: str = ""  # "none", "host", "container:ID", "bridge", a network's name; "" is the default
    networks: tuple[NetworkOption, ...] = ()  # what is said about them; the one of network_mode may be among them
    port_bindings: tuple[PortBinding, ...] = ()
    publish_all: bool = False  # every exposed port, at any port of the host
    dns: tuple[str, ...] = ()
    dns_options: tuple[str, ...] = ()
    dns_search: tuple[str, ...] = ()
    extra_hosts: tuple[str, ...] = ()  # "name:address"
    cap_add: tuple[str, ...] = ()
    cap_drop: tuple[str, ...] = ()
    cgroupns_mode: str = ""  # "", "private", "host"
    group_add: tuple[str, ...] = ()
    ipc_mode: str = ""  # "", "private", "shareable", "host", "none", "container:ID"
    pid_mode: str = ""  # "", "host", "container:ID"
    uts_mode: str = ""  # "", "host"
    userns_mode: str = ""  # "", "host"
    cgroup_parent: str = ""
    oom_score_adj: int = 0
    oom_kill_disable: bool = False
    privileged: bool = False
    readonly_rootfs: bool = False
    security_opt: tuple[str, ...] = ()  # "seccomp=" carries the profile's text, not its path
    shm_size: int = 0
    sysctls: Pairs = ()
    runtime: str = ""
    isolation: str = ""  # or "default", which is the same on Linux
    init: bool = False
    annotations: Pairs = ()
    masked_paths: tuple[str, ...] | None = None  # None: the defaults
    readonly_paths: tuple[str, ...] | None = None
    devices: tuple[DeviceMapping, ...] = ()
    device_cgroup_rules: tuple[str, ...] = ()
    device_requests: tuple[DeviceRequest, ...] = ()
    ulimits: tuple[Ulimit, ...] = ()
    memory: int = 0
    memory_reservation: int = 0
    memory_swap: int = 0  # memory plus swap; -1: unlimited
    memory_swappiness: int | None = None
    nano_cpus: int = 0
    cpu_shares: int = 0
    cpu_period: int = 0
    cpu_quota: int = 0
    cpu_realtime_period: int = 0
    cpu_realtime_runtime: int = 0
    cpuset_cpus: str = ""
    cpuset_mems: str = ""
    pids_limit: int | None = None  # 0 and -1: unlimited
    blkio_weight: int = 0
    blkio_weight_device: tuple[DeviceRate, ...] = ()
    blkio_device_read_bps: tuple[DeviceRate, ...] = ()
    blkio_device_write_bps: tuple[DeviceRate, ...] = ()
    blkio_device_read_iops: tuple[DeviceRate, ...] = ()
    blkio_device_write_iops: tuple[DeviceRate, ...] = ()
    log_driver: str = ""  # "" is the default, json-file
    log_opts: Pairs = ()


_NESTED: dict[str, type[Record]] = {
    "mounts": MountOption,
    "networks": NetworkOption,
    "port_bindings": PortBinding,
    "devices": DeviceMapping,
    "device_requests": DeviceRequest,
    "ulimits": Ulimit,
    "blkio_weight_device": DeviceRate,
    "blkio_device_read_bps": DeviceRate,
    "blkio_device_write_bps": DeviceRate,
    "blkio_device_read_iops": DeviceRate,
    "blkio_device_write_iops": DeviceRate,
}


def plain(value: Any) -> Any:
    """JSON-able form of an option record: only the fields that differ from their defaults, lists for tuples."""
    if isinstance(value, Record):
        defaults = value._defaults
        items = ((field, getattr(value, field)) for field in value._fields)
        return {field: plain(item) for field, item in items if field not in defaults or item != defaults[field]}
    if isinstance(value, tuple):
        return [plain(item) for item in value]
    return value


def frozen(value: Any) -> Any:
    """Lists, however deep, as tuples."""
    return tuple([frozen(item) for item in value]) if isinstance(value, list) else value


def options_from(document: dict[str, Any]) -> ContainerOptions:
    """The inverse of `plain`.  Fields that this version does not know are left out: a newer version wrote them."""
    fields: dict[str, Any] = {}
    for name, value in document.items():
        nested = _NESTED.get(name)
        if nested is not None:
            fields[name] = tuple([_nested_from(nested, item) for item in value])
        elif name in ContainerOptions._fields:
            fields[name] = frozen(value)
    return ContainerOptions(**fields)


def _nested_from(cls: type[Record], document: dict[str, Any]) -> Record:
    return cls(**{name: frozen(value) for name, value in document.items() if name in cls._fields})
