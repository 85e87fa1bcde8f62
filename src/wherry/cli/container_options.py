"""The options of `run` and `create`: their table, and the way from their values to a `ContainerOptions`.

Order, wording and kinds are those of Docker's client, so that its help page and this one can be compared line by line.
"""

from __future__ import annotations

import sys

from wherry.container.options import ContainerOptions
from wherry.errors import InvalidArgument

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from wherry.cli.main import Call

# fmt: off
OPTIONS = (
    ("add-host", "", "list", "", "Add a custom host-to-IP mapping (host:ip)"),
    ("annotation", "", "map", "map[]", "Add an annotation to the container (passed through to the OCI runtime)"),
    ("attach", "a", "list", "", "Attach to STDIN, STDOUT or STDERR"),
    ("blkio-weight", "", "uint16", "0", "Block IO (relative weight), between 10 and 1000, or 0 to disable"),
    ("blkio-weight-device", "", "list", "[]", "Block IO weight (relative device weight)"),
    ("cap-add", "", "list", "", "Add Linux capabilities"),
    ("cap-drop", "", "list", "", "Drop Linux capabilities"),
    ("cgroup-parent", "", "string", "", "Optional parent cgroup for the container"),
    ("cgroupns", "", "string", "",
     "Cgroup namespace to use (host|private)\n"
     "'host':    Run the container in the host's cgroup namespace\n"
     "'private': Run the container in its own private cgroup namespace (default)"),
    ("cidfile", "", "string", "", "Write the container ID to the file"),
    ("cpu-period", "", "int", "", "Limit CPU CFS (Completely Fair Scheduler) period"),
    ("cpu-quota", "", "int", "", "Limit CPU CFS (Completely Fair Scheduler) quota"),
    ("cpu-rt-period", "", "int", "", "Limit CPU real-time period in microseconds"),
    ("cpu-rt-runtime", "", "int", "", "Limit CPU real-time runtime in microseconds"),
    ("cpu-shares", "c", "int", "", "CPU shares (relative weight)"),
    ("cpus", "", "decimal", "", "Number of CPUs"),
    ("cpuset-cpus", "", "string", "", "CPUs in which to allow execution (0-3, 0,1)"),
    ("cpuset-mems", "", "string", "", "MEMs in which to allow execution (0-3, 0,1)"),
    ("device", "", "list", "", "Add a host device to the container"),
    ("device-cgroup-rule", "", "list", "", "Add a rule to the cgroup allowed devices list"),
    ("device-read-bps", "", "list", "[]", "Limit read rate (bytes per second) from a device"),
    ("device-read-iops", "", "list", "[]", "Limit read rate (IO per second) from a device"),
    ("device-write-bps", "", "list", "[]", "Limit write rate (bytes per second) to a device"),
    ("device-write-iops", "", "list", "[]", "Limit write rate (IO per second) to a device"),
    ("dns", "", "list", "", "Set custom DNS servers"),
    ("dns-opt", "", "list", "", ""),
    ("dns-option", "", "list", "", "Set DNS options"),
    ("dns-search", "", "list", "", "Set custom DNS search domains"),
    ("domainname", "", "string", "", "Container NIS domain name"),
    ("entrypoint", "", "string", "", "Overwrite the default ENTRYPOINT of the image"),
    ("env", "e", "list", "", "Set environment variables"),
    ("env-file", "", "list", "", "Read in a file of environment variables"),
    ("expose", "", "list", "", "Expose a port or a range of ports"),
    ("gpus", "", "gpu-request", "", "GPU devices to add to the container ('all' to pass all GPUs)"),
    ("group-add", "", "list", "", "Add additional groups to join"),
    ("health-cmd", "", "string", "", "Command to run to check health"),
    ("health-interval", "", "duration", "", "Time between running the check (ms|s|m|h) (default 0s)"),
    ("health-retries", "", "int", "", "Consecutive failures needed to report unhealthy"),
    ("health-start-interval", "", "duration", "", "Time between running the check during the start period (ms|s|m|h) "
     "(default 0s)"),
    ("health-start-period", "", "duration", "", "Start period for the container to initialize before starting "
     "health-retries countdown (ms|s|m|h) (default 0s)"),
    ("health-timeout", "", "duration", "", "Maximum time to allow one check to run (ms|s|m|h) (default 0s)"),
    ("help", "", "bool", "", "Print usage"),
    ("hostname", "h", "string", "", "Container host name"),
    ("init", "", "bool", "", "Run an init inside the container that forwards signals and reaps processes"),
    ("interactive", "i", "bool", "", "Keep STDIN open even if not attached"),
    ("ip", "", "string", "", "IPv4 address (e.g., 172.30.100.104)"),
    ("ip6", "", "string", "", "IPv6 address (e.g., 2001:db8::33)"),
    ("ipc", "", "string", "", "IPC mode to use"),
    ("label", "l", "list", "", "Set meta data on a container"),
    ("label-file", "", "list", "", "Read in a line delimited file of labels"),
    ("link", "", "list", "", "Add link to another container"),
    ("link-local-ip", "", "list", "", "Container IPv4/IPv6 link-local addresses"),
    ("log-driver", "", "string", "", "Logging driver for the container"),
    ("log-opt", "", "list", "", "Log driver options"),
    ("mac-address", "", "string", "", "Container MAC address (e.g., 92:d0:c6:0a:29:33)"),
    ("memory", "m", "bytes", "", "Memory limit"),
    ("memory-reservation", "", "bytes", "", "Memory soft limit"),
    ("memory-swap", "", "bytes", "", "Swap limit equal to memory plus swap: '-1' to enable unlimited swap"),
    ("memory-swappiness", "", "int", "-1", "Tune container memory swappiness (0 to 100)"),
    ("mount", "", "mount", "", "Attach a filesystem mount to the container"),
    ("name", "", "string", "", "Assign a name to the container"),
    ("net", "", "network", "", ""),
    ("net-alias", "", "list", "", ""),
    ("network", "", "network", "", "Connect a container to a network"),
    ("network-alias", "", "list", "", "Add network-scoped alias for the container"),
    ("no-healthcheck", "", "bool", "", "Disable any container-specified HEALTHCHECK"),
    ("oom-kill-disable", "", "bool", "", "Disable OOM Killer"),
    ("oom-score-adj", "", "int", "", "Tune host's OOM preferences (-1000 to 1000)"),
    ("pid", "", "string", "", "PID namespace to use"),
    ("pids-limit", "", "int", "", "Tune container pids limit (set -1 for unlimited)"),
    ("platform", "", "string", "", "Set platform if the image has more than one"),
    ("privileged", "", "bool", "", "Give extended privileges to this container"),
    ("publish", "p", "list", "", "Publish a container's port(s) to the host"),
    ("publish-all", "P", "bool", "", "Publish all exposed ports to random ports"),
    ("quiet", "q", "bool", "", "Suppress the pull output"),
    ("read-only", "", "bool", "", "Mount the container's root filesystem as read only"),
    ("restart", "", "string", "no", "Restart policy to apply when a container exits"),
    ("rm", "", "bool", "", "Automatically remove the container and its associated anonymous volumes when it exits"),
    ("runtime", "", "string", "", "Runtime to use for this container"),
    ("security-opt", "", "list", "", "Security Options"),
    ("shm-size", "", "bytes", "", "Size of /dev/shm"),
    ("stop-signal", "", "string", "", "Signal to stop the container"),
    ("stop-timeout", "", "int", "", "Timeout (in seconds) to stop a container"),
    ("sysctl", "", "map", "map[]", "Sysctl options"),
    ("tmpfs", "", "list", "", "Mount a tmpfs directory"),
    ("tty", "t", "bool", "", "Allocate a pseudo-TTY"),
    ("ulimit", "", "ulimit", "[]", "Ulimit options"),
    ("user", "u", "string", "", "Username or UID (format: <name|uid>[:<group|gid>])"),
    ("userns", "", "string", "", "User namespace to use"),
    ("uts", "", "string", "", "UTS namespace to use"),
    ("volume", "v", "list", "", "Bind mount a volume"),
    ("volume-driver", "", "string", "", "Optional volume driver for the container"),
    ("volumes-from", "", "list", "", "Mount volumes from the specified container(s)"),
    ("workdir", "w", "string", "", "Working directory inside the container"),
)

_WINDOWS = "it is for Windows containers"
UNSUPPORTED = (
    ("cpu-count", "", _WINDOWS),
    ("cpu-percent", "", _WINDOWS),
    ("disable-content-trust", "", "content trust (Notary v1) is not implemented; refer to images by digest"),
    ("io-maxbandwidth", "", _WINDOWS),
    ("io-maxiops", "", _WINDOWS),
    ("isolation", "", _WINDOWS),
    ("kernel-memory", "", "Linux no longer has this limit"),
    ("storage-opt", "", "the storage has no options per container"),
    ("use-api-socket", "", "this version has no API socket"),
)
# fmt: on


def _parsed(function: str, module: str = "parse", **options: Any) -> Callable[[str], Any]:
    """A function of `wherry.container`, loaded when an option needs it: most runs have none that does."""

    def check(text: str) -> Any:
        name = "wherry.container." + module
        __import__(name)
        return getattr(sys.modules[name], function)(text, **options)

    return check


def _checked(function: str, module: str = "parse", **options: Any) -> Callable[[str], Any]:
    """A check whose result is made again later, when more is known: the value stays text."""
    parsed = _parsed(function, module, **options)

    def check(text: str) -> str:
        parsed(text)
        return text

    return check


def _environment(text: str) -> str:
    if text[:1] in ("", "="):
        raise InvalidArgument(f"invalid environment variable: {text}")
    return text


CHECKS = {
    "add-host": _parsed("extra_host"),
    "annotation": _parsed("annotation"),
    "attach": _parsed("attach"),
    "blkio-weight-device": _parsed("device_weight"),
    "cpus": _parsed("nano_cpus"),
    "device-cgroup-rule": _parsed("cgroup_rule", "parse_device"),
    "device-read-bps": _parsed("device_rate"),
    "device-read-iops": _parsed("device_rate", operations=True),
    "device-write-bps": _parsed("device_rate"),
    "device-write-iops": _parsed("device_rate", operations=True),
    "dns": _parsed("dns_server"),
    "dns-search": _parsed("dns_search"),
    "env": _environment,
    "gpus": _parsed("gpus", "parse_device"),
    "health-interval": _parsed("duration"),
    "health-start-interval": _parsed("duration"),
    "health-start-period": _parsed("duration"),
    "health-timeout": _parsed("duration"),
    "label": _checked("label"),
    "log-opt": _parsed("option", "logging"),
    "mac-address": _parsed("mac_address", "parse_port"),
    "memory": _parsed("size"),
    "memory-reservation": _parsed("size"),
    "memory-swap": _parsed("swap_size"),
    "mount": _checked("mount", "parse_mount", check=False),
    "publish": _parsed("publish", "parse_port"),
    "shm-size": _parsed("size"),
    "sysctl": _parsed("sysctl"),
    "ulimit": _parsed("ulimit"),
}

_COPIED = (
    ("blkio-weight", "blkio_weight"),
    ("cgroup-parent", "cgroup_parent"),
    ("cgroupns", "cgroupns_mode"),
    ("cidfile", "container_id_file"),
    ("cpu-period", "cpu_period"),
    ("cpu-quota", "cpu_quota"),
    ("cpu-rt-period", "cpu_realtime_period"),
    ("cpu-rt-runtime", "cpu_realtime_runtime"),
    ("cpu-shares", "cpu_shares"),
    ("cpus", "nano_cpus"),
    ("cpuset-cpus", "cpuset_cpus"),
    ("cpuset-mems", "cpuset_mems"),
    ("domainname", "domainname"),
    ("hostname", "hostname"),
    ("init", "init"),
    ("interactive", "open_stdin"),
    ("ipc", "ipc_mode"),
    ("log-driver", "log_driver"),
    ("memory", "memory"),
    ("memory-reservation", "memory_reservation"),
    ("memory-swap", "memory_swap"),
    ("name", "name"),
    ("oom-kill-disable", "oom_kill_disable"),
    ("oom-score-adj", "oom_score_adj"),
    ("pid", "pid_mode"),
    ("pids-limit", "pids_limit"),
    ("platform", "platform"),
    ("privileged", "privileged"),
    ("pull", "pull"),
    ("read-only", "readonly_rootfs"),
    ("rm", "auto_remove"),
    ("runtime", "runtime"),
    ("shm-size", "shm_size"),
    ("stop-signal", "stop_signal"),
    ("stop-timeout", "stop_timeout"),
    ("tty", "tty"),
    ("user", "user"),
    ("userns", "userns_mode"),
    ("uts", "uts_mode"),
    ("volume-driver", "volume_driver"),
    ("workdir", "working_dir"),
)
_LISTS = (
    ("add-host", "extra_hosts"),
    ("blkio-weight-device", "blkio_weight_device"),
    ("cap-add", "cap_add"),
    ("cap-drop", "cap_drop"),
    ("device-cgroup-rule", "device_cgroup_rules"),
    ("device-read-bps", "blkio_device_read_bps"),
    ("device-read-iops", "blkio_device_read_iops"),
    ("device-write-bps", "blkio_device_write_bps"),
    ("device-write-iops", "blkio_device_write_iops"),
    ("dns", "dns"),
    ("dns-search", "dns_search"),
    ("group-add", "group_add"),
    ("volumes-from", "volumes_from"),
)


def build(call: Call) -> ContainerOptions:
    """The request that the command line makes.  Raises `InvalidArgument` in the words of Docker's client."""
    values = call.values
    image, *command = call.arguments
    fields: dict[str, Any] = {"image": image}
    for name, field in _COPIED:
        if name in values:
            fields[field] = values[name]
    for name, field in _LISTS:
        if name in values:
            fields[field] = tuple(values[name])
    if command:
        fields["cmd"] = tuple(command)
    if "entrypoint" in values:
        fields["entrypoint"] = (values["entrypoint"],)
    if "ulimit" in values:
        fields["ulimits"] = tuple({limit.name: limit for limit in values["ulimit"]}.values())
    swappiness = values.get("memory-swappiness", -1)
    if swappiness != -1:
        if not 0 <= swappiness <= 100:
            raise InvalidArgument(f"invalid value: {swappiness}. Valid memory swappiness range is 0-100")
        fields["memory_swappiness"] = swappiness
    _network(values, fields)
    _attach(values, fields)
    if values.keys() & _CONTEXTUAL:
        from wherry.cli.container_values import add

        add(call, fields)
    return ContainerOptions(**fields)


def _network(values: dict[str, Any], fields: dict[str, Any]) -> None:
    """The networks; without ``--network`` the default one."""
    networks = values.get("net", []) + values.get("network", [])
    if len(networks) > 1 or values.keys() & _NETWORKING or (networks and "=" in networks[0]):
        from wherry.cli.container_network import add

        add(values, networks, fields)
    elif networks:
        fields["network_mode"] = networks[0]


_NETWORKING = frozenset(
    (
        "ip",
        "ip6",
        "link",
        "link-local-ip",
        "mac-address",
        "net-alias",
        "network-alias",
        "publish",
        "publish-all",
    )
)


def _attach(values: dict[str, Any], fields: dict[str, Any]) -> None:
    """Standard streams: without ``-a``, output and errors are attached; ``-i`` attaches input."""
    if values.get("detach"):
        if "attach" in values:
            raise InvalidArgument("conflicting options: cannot specify both --attach and --detach")
        return
    streams = values.get("attach")
    interactive = bool(values.get("interactive"))
    fields["attach_stdin"] = interactive or (streams is not None and "stdin" in streams)
    fields["attach_stdout"] = streams is None or "stdout" in streams
    fields["attach_stderr"] = streams is None or "stderr" in streams
    fields["stdin_once"] = interactive


_CONTEXTUAL = frozenset(
    (
        "annotation",
        "device",
        "dns-opt",
        "dns-option",
        "env",
        "env-file",
        "expose",
        "gpus",
        "health-cmd",
        "health-interval",
        "health-retries",
        "health-start-interval",
        "health-start-period",
        "health-timeout",
        "label",
        "label-file",
        "log-opt",
        "mount",
        "no-healthcheck",
        "pull",
        "restart",
        "security-opt",
        "stop-signal",
        "sysctl",
        "tmpfs",
        "volume",
    )
)
