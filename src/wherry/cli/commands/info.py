"""`wherry info`."""

from __future__ import annotations

from wherry.cli.commands.image_inspect import FORMAT
from wherry.cli.parser import Command

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from wherry.cli.main import Call

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

    document = _document(call)
    form = call.get("format", "")
    print(formatted(document, form) if form else _text(document))
    return 0


def _document(call: Call) -> dict[str, Any]:
    """Docker's, with what its client adds about itself."""
    from wherry import __version__
    from wherry.engine.info import info

    client = {"Version": __version__, "Context": "default", "Debug": False, "Plugins": [], "Warnings": None}
    remote = call.remote()
    if remote is not None:
        from wherry.cli.endpoint import current

        client |= {"Context": current(call.options, call.environ())[0], "Endpoint": str(remote.address)}
        client |= {"EndpointSource": remote.address.source}
    return {**call.verb(info)(), "ClientInfo": client}


def _text(facts: dict[str, Any]) -> str:
    from wherry.cli.quote import harmless
    from wherry.cli.units import binary_size

    security = []
    for option in facts["SecurityOptions"] or ():
        name, _comma, profile = option.removeprefix("name=").partition(",profile=")
        security += [f"  {name}"] + ([f"   Profile: {profile}"] if profile else [])
    plugins, client = facts["Plugins"], facts["ClientInfo"]
    elsewhere = [f" Endpoint:   {client['Endpoint']} ({client['EndpointSource']})"] if "Endpoint" in client else []
    root = "Docker" if elsewhere else "Wherry"
    lines = [
        "Client:",
        f" Version:    {client['Version']}",
        f" Context:    {client['Context']}",
        *elsewhere,
        " Debug Mode: false",
        "",
        "Server:",
        f" Containers: {facts['Containers']}",
        f"  Running: {facts['ContainersRunning']}",
        f"  Paused: {facts['ContainersPaused']}",
        f"  Stopped: {facts['ContainersStopped']}",
        f" Images: {facts['Images']}",
        f" Server Version: {facts['ServerVersion']}",
        f" Storage Driver: {facts['Driver']}",
        *[f"  {name}: {value}" for name, value in facts["DriverStatus"] or ()],
        f" Logging Driver: {facts['LoggingDriver']}",
        f" Cgroup Driver: {facts['CgroupDriver']}",
        f" Cgroup Version: {facts.get('CgroupVersion') or '1'}",
        " Plugins:",
        *[f"  {name}: {' '.join(plugins[name] or ())}" for name in ("Volume", "Network", "Log")],
        f" Swarm: {facts['Swarm']['LocalNodeState']}",
        f" Runtimes: {' '.join(facts['Runtimes'])}",
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
        f" ID: {facts['ID']}",
        f" {root} Root Dir: {facts['DockerRootDir']}",
        f" Live Restore Enabled: {str(facts['LiveRestoreEnabled']).lower()}",
        *(facts["Warnings"] or []),
    ]
    return "\n".join([harmless(line) for line in lines] if elsewhere else lines)
