"""`wherry info`."""

from __future__ import annotations

from wherry.cli.commands.image_inspect import FORMAT
from wherry.cli.parser import Command

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from wherry.cli.main import Call
    from wherry.engine.engine import Engine

# fmt: off
COMMAND = Command(
    paths=("system info", "info"),
    usage="[OPTIONS]",
    summary="Display system-wide information",
    most=0,
    options=(("format", "f", "string", "", FORMAT),),
)
# fmt: on


def main(call: Call) -> int:
    """Prints what the engine knows of itself and of the machine."""
    from wherry.cli.commands.version import formatted

    document = collect(call.engine())
    form = call.get("format", "")
    print(formatted(document, form) if form else _text(document))
    return 0


def collect(engine: Engine) -> dict[str, Any]:
    """The facts, under the names of Docker's ``GET /info``."""
    import os

    from wherry import __version__
    from wherry.engine.containers import list_containers
    from wherry.engine.images import list_images
    from wherry.engine.storage import describe

    storage = describe(engine)
    host, system = engine.host, os.uname()
    states = [row.status for row in list_containers(engine)]
    options = ["name=seccomp,profile=builtin", "name=cgroupns"]
    options += ["name=apparmor"] * host.apparmor + ["name=selinux"] * host.selinux
    options.append("name=rootless" if engine.rootless else "name=userns")
    return {
        "Containers": len(states),
        "ContainersRunning": states.count("running"),
        "ContainersPaused": states.count("paused"),
        "ContainersStopped": len([state for state in states if state not in ("running", "paused")]),
        "Images": len(list_images(engine)),
        "Driver": storage.snapshotter,
        "DriverStatus": [
            ["Backing Filesystem", storage.backing],
            *[["Not erofs", storage.reason]] * bool(storage.reason),
        ],
        "LoggingDriver": "json-file",
        "CgroupDriver": "cgroupfs",
        "CgroupVersion": {"v1": "1", "v2": "2"}.get(host.cgroups.version, "1"),
        "DefaultRuntime": "wherry",
        "InitBinary": "",
        "SecurityOptions": options,
        "KernelVersion": system.release,
        "OperatingSystem": _operating_system(),
        "OSType": "linux",
        "Architecture": system.machine,
        "NCPU": os.cpu_count() or 1,
        "MemTotal": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "DockerRootDir": engine.paths.root,
        "Name": system.nodename,
        "ServerVersion": __version__,
        "Warnings": None,
        "ClientInfo": {"Version": __version__, "Context": "default", "Debug": False},
    }


def _operating_system() -> str:
    """PRETTY_NAME of os-release(5)."""
    for path in ("/etc/os-release", "/usr/lib/os-release"):
        try:
            with open(path, encoding="utf-8", errors="replace") as file:
                for line in file.read(65536).splitlines():
                    if line.startswith("PRETTY_NAME="):
                        return line.partition("=")[2].strip("\"'")
        except OSError:
            continue
    return "Linux"


def _text(facts: dict[str, Any]) -> str:
    from wherry.cli.quote import harmless
    from wherry.cli.units import binary_size

    security = []
    for option in facts["SecurityOptions"]:
        name, _comma, profile = option.removeprefix("name=").partition(",profile=")
        security += [f"  {name}"] + ([f"   Profile: {profile}"] if profile else [])
    lines = [
        "Client:",
        f" Version:    {facts['ServerVersion']}",
        "",
        "Server:",
        f" Containers: {facts['Containers']}",
        f"  Running: {facts['ContainersRunning']}",
        f"  Paused: {facts['ContainersPaused']}",
        f"  Stopped: {facts['ContainersStopped']}",
        f" Images: {facts['Images']}",
        f" Server Version: {facts['ServerVersion']}",
        f" Storage Driver: {facts['Driver']}",
        *[f"  {name}: {value}" for name, value in facts["DriverStatus"]],
        f" Cgroup Driver: {facts['CgroupDriver']}",
        f" Cgroup Version: {facts['CgroupVersion']}",
        f" Default Runtime: {facts['DefaultRuntime']}",
        " Security Options:",
        *security,
        f" Kernel Version: {facts['KernelVersion']}",
        f" Operating System: {harmless(facts['OperatingSystem'])}",
        f" OSType: {facts['OSType']}",
        f" Architecture: {facts['Architecture']}",
        f" CPUs: {facts['NCPU']}",
        f" Total Memory: {binary_size(facts['MemTotal'])}",
        f" Name: {facts['Name']}",
        f" Wherry Root Dir: {facts['DockerRootDir']}",
    ]
    return "\n".join(lines)
