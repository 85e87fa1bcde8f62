"""``docker info`` and ``docker version``: what the engine is and what it found, in Docker's documents
(Engine API, ``GET /info`` and ``GET /version``)."""

from __future__ import annotations

import os
import sys
import time

from wherry import __version__
from wherry.container import logging
from wherry.engine.afterwards import seals
from wherry.engine.containers import list_containers
from wherry.engine.images import list_images
from wherry.engine.storage import describe, drops_blobs
from wherry.engine.times import rfc3339
from wherry.errors import InvalidArgument

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from wherry.engine.engine import Engine

API_VERSION, MIN_API_VERSION = "1.50", "1.24"
"""Of the Engine API, whose documents these and all others are."""

NETWORK_DRIVERS = ("bridge", "host", "ipvlan", "macvlan", "null")
VOLUME_DRIVERS = ("local",)
OTHER_RUNTIMES = ("runc", "crun", "runsc")
_NO_SWARM = {"NodeID": "", "NodeAddr": "", "LocalNodeState": "inactive", "ControlAvailable": False, "Error": "",
             "RemoteManagers": None}  # fmt: skip
_PLACES = ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin")


def info(engine: Engine) -> dict[str, Any]:
    """The facts about this engine and this machine."""
    storage = describe(engine)
    host, system = engine.host, os.uname()
    states = [row.status for row in list_containers(engine)]
    return {
        "ID": _identity(engine),
        "Containers": len(states),
        "ContainersRunning": states.count("running"),
        "ContainersPaused": states.count("paused"),
        "ContainersStopped": len([state for state in states if state not in ("running", "paused")]),
        "Images": len(list_images(engine)),
        "Driver": storage.snapshotter,
        "DriverStatus": [
            ["Backing Filesystem", storage.backing],
            *[["Not erofs", storage.reason]] * bool(storage.reason),
            ["Compressed layers", _compressed(engine)],
            ["fs-verity", "used" if seals(engine) else "not possible"],
        ],
        "Plugins": {
            "Volume": list(VOLUME_DRIVERS),
            "Network": [name for name in NETWORK_DRIVERS if not (engine.rootless and name.endswith("vlan"))],
            "Authorization": None,
            "Log": list(logging.DRIVERS),
        },
        **_limits(engine),
        "Debug": False,
        "LoggingDriver": "json-file",
        "CgroupDriver": "cgroupfs",
        "CgroupVersion": {"v1": "1", "v2": "2"}.get(host.cgroups.version, "1"),
        "KernelVersion": system.release,
        "SystemTime": rfc3339(time.time_ns()),
        "OperatingSystem": _release("PRETTY_NAME") or "Linux",
        "OSVersion": _release("VERSION_ID"),
        "OSType": "linux",
        "Architecture": system.machine,
        "NCPU": os.cpu_count() or 1,
        "MemTotal": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "IndexServerAddress": "https://index.docker.io/v1/",
        "RegistryConfig": _registries(engine),
        "GenericResources": None,
        "DockerRootDir": engine.paths.root,
        "HttpProxy": _proxy(engine, "HTTP_PROXY"),
        "HttpsProxy": _proxy(engine, "HTTPS_PROXY"),
        "NoProxy": _proxy(engine, "NO_PROXY"),
        "Name": system.nodename,
        "Labels": [],
        "ExperimentalBuild": False,
        "ServerVersion": __version__,
        "Runtimes": runtimes(),
        "DefaultRuntime": "wherry",
        "Swarm": _NO_SWARM,
        "LiveRestoreEnabled": True,
        "Isolation": "",
        "InitBinary": "",
        "SecurityOptions": _security(engine),
        "Warnings": _warnings(engine),
        "CDISpecDirs": ["/etc/cdi", "/var/run/cdi"],
    }


def versions() -> dict[str, Any]:
    """Of the engine, and of what it is made of."""
    from wherry.oci.platform import host

    platform = host()
    details = {"ApiVersion": API_VERSION, "MinAPIVersion": MIN_API_VERSION, "Arch": platform.architecture}
    details |= {"Os": platform.os, "KernelVersion": os.uname().release}
    return {
        "Platform": {"Name": "Wherry, without a daemon"},
        "Components": [{"Name": "Engine", "Version": __version__, "Details": details}],
        "Version": __version__,
        "ApiVersion": API_VERSION,
        "MinAPIVersion": MIN_API_VERSION,
        "PythonVersion": ".".join([str(part) for part in sys.version_info[:3]]),
        "Os": platform.os,
        "Arch": platform.architecture,
        "KernelVersion": os.uname().release,
    }


def runtimes() -> dict[str, dict[str, str]]:
    """The OCI runtimes that ``--runtime`` can name here."""
    found = {"wherry": {"path": "wherry"}}
    for name in OTHER_RUNTIMES:
        path = next((f"{place}/{name}" for place in _PLACES if os.access(f"{place}/{name}", os.X_OK)), "")
        if path:
            found[name] = {"path": path}
    return found


def _registries(engine: Engine) -> dict[str, Any]:
    """Those that may be spoken to without TLS, and the mirrors of Docker Hub; of a malformed file, nothing."""
    from wherry.engine.registries import registry_config
    from wherry.registry.config import RegistryConfig

    try:
        config = registry_config(engine)
    except InvalidArgument:
        config = RegistryConfig()
    mirrors = list(config.host("docker.io").mirrors)
    named = {name: (list(one.mirrors), not one.insecure) for name, one in config.hosts if name != "docker.io"}
    return {
        "InsecureRegistryCIDRs": ["::1/128", "127.0.0.0/8"],
        "IndexConfigs": {
            name: {"Name": name, "Mirrors": own, "Secure": secure, "Official": name == "docker.io"}
            for name, (own, secure) in {"docker.io": (mirrors, True), **named}.items()
        },
        "Mirrors": mirrors,
    }


def _compressed(engine: Engine) -> str:
    """What becomes of compressed layers, as ``info`` says it."""
    from wherry.engine import dropped

    count, size = dropped.totals(engine)
    try:
        rule = "dropped where they can be made again" if drops_blobs(engine) else "kept"
    except InvalidArgument:
        rule = "kept"
    return f"{rule}; {count} not here, {size / 1e6:.1f} MB" if count else rule


def _identity(engine: Engine) -> str:
    """The same for this store on this machine, and for no other."""
    from hashlib import sha256

    digest = sha256(f"{_read('/etc/machine-id')}\n{engine.paths.root}".encode()).hexdigest()
    return "-".join((digest[:8], digest[8:12], digest[12:16], digest[16:20], digest[20:32]))


def _limits(engine: Engine) -> dict[str, bool]:
    """Which limits containers can have: those whose controllers this user may use."""
    layout = engine.host.cgroups
    usable = set(layout.controllers) if not engine.rootless or layout.delegated() is not None else set()
    memory, cpu = "memory" in usable, "cpu" in usable
    return {
        "MemoryLimit": memory,
        "SwapLimit": memory,
        "CpuCfsPeriod": cpu,
        "CpuCfsQuota": cpu,
        "CPUShares": cpu,
        "CPUSet": "cpuset" in usable,
        "PidsLimit": "pids" in usable,
        "OomKillDisable": memory and layout.version != "v2",
        "IPv4Forwarding": _read("/proc/sys/net/ipv4/ip_forward") == "1",
    }


def _warnings(engine: Engine) -> list[str] | None:
    limits = _limits(engine)
    names = (("MemoryLimit", "memory"), ("CpuCfsQuota", "cpu quota"), ("PidsLimit", "pids"), ("CPUSet", "cpuset"))
    found = [f"WARNING: No {name} limit support" for field, name in names if not limits[field]]
    if not engine.rootless:
        from wherry.network.firewall import obstacles

        found += [f"WARNING: {line}" for line in obstacles()]
    return found or None


def _security(engine: Engine) -> list[str]:
    host = engine.host
    options = ["name=seccomp,profile=builtin", "name=cgroupns"]
    options += ["name=apparmor"] * host.apparmor + ["name=selinux"] * host.selinux
    return [*options, "name=rootless" if engine.rootless else "name=userns"]


def _proxy(engine: Engine, name: str) -> str:
    """What the environment says, without the credentials that it may hold."""
    proxies = dict(engine.paths.proxies)
    value = proxies.get(name, "") or proxies.get(name.lower(), "")
    scheme, separator, rest = value.rpartition("://")
    return f"{scheme}{separator}xxxxx:xxxxx@{rest.rpartition('@')[2]}" if "@" in rest else value


def _release(field: str) -> str:
    """A field of os-release(5)."""
    text = _read("/etc/os-release") or _read("/usr/lib/os-release")
    for line in text.splitlines():
        if line.startswith(f"{field}="):
            return line.partition("=")[2].strip("\"'")
    return ""


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read(65536).strip()
    except OSError:
        return ""
