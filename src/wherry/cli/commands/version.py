"""`wherry version`."""

from __future__ import annotations

from wherry.cli.commands.image_inspect import FORMAT
from wherry.cli.parser import Command

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from wherry.cli.main import Call

# fmt: off
COMMAND = Command(
    paths=("version",),
    usage="[OPTIONS]",
    summary="Show the Wherry version information",
    description="There is no daemon: what Docker calls the server is the engine inside the command.",
    most=0,
    options=(("format", "f", "string", "", FORMAT),),
)
# fmt: on


def main(call: Call) -> int:
    """Prints versions."""
    document = versions(call)
    form = call.get("format", "")
    print(_text(document) if not form else formatted(document, form))
    return 0


def _text(document: dict[str, Any]) -> str:
    """As Docker's client sets it; a line for what each side knows of itself."""
    from wherry.cli.quote import harmless

    client, server = document["Client"], document["Server"]
    lines = [
        "Client:",
        f" Version:           {client['Version']}",
        f" Python version:    {client['PythonVersion']}",
        f" OS/Arch:           {client['Os']}/{client['Arch']}",
    ]
    if "Endpoint" in client:
        lines += [
            f" API version:       {client['ApiVersion']}",
            f" Context:           {client['Context']}",
            f" Endpoint:          {client['Endpoint']}",
        ]
    lines += ["", f"Server: {(server.get('Platform') or {}).get('Name') or 'Docker Engine'}", " Engine:"]
    parts = _of_server(server, remote="Endpoint" in client)
    lines += [f"  {title + ':':17} {value}" for title, value in parts if value]
    return "\n".join([harmless(line) for line in lines])


def _of_server(server: dict[str, Any], *, remote: bool) -> list[tuple[str, str]]:
    return [
        ("Version", server["Version"]),
        ("API version", f"{server['ApiVersion']} (minimum version {server['MinAPIVersion']})" if remote else ""),
        ("Python version", server.get("PythonVersion", "")),
        ("Go version", server.get("GoVersion", "")),
        ("OS/Arch", f"{server['Os']}/{server['Arch']}"),
        ("Kernel Version", server.get("KernelVersion", "")),
    ]


def versions(call: Call) -> dict[str, Any]:
    """What ``--format`` sees: of Docker's client, which is this process, and of its server, which may be too."""
    from wherry.engine.info import versions as of_engine

    here = of_engine()
    client = {name: here[name] for name in ("Version", "ApiVersion", "PythonVersion", "Os", "Arch")}
    client |= {"DefaultAPIVersion": here["ApiVersion"], "Context": "default"}
    remote = call.remote()
    if remote is None:
        return {"Client": client, "Server": here}
    from wherry.cli.endpoint import current
    from wherry.client.http import text
    from wherry.client.system import versions as of_remote

    context = current(call.options, call.environ())[0]
    client |= {"ApiVersion": text(remote.version), "Context": context, "Endpoint": str(remote.address)}
    return {"Client": client, "Server": of_remote(remote)}


def formatted(document: dict[str, Any], form: str) -> str:
    """``document`` through a template, or as JSON."""
    from wherry.cli.inspection import typed
    from wherry.cli.template import TemplateError, compile
    from wherry.errors import WherryError

    try:
        return compile("{{json .}}" if form == "json" else form).render(_named(typed(document)))
    except TemplateError as error:
        raise WherryError(f"template parsing error: {error.message}") from None


def _named(value: Any) -> Any:
    """With the one field that templates know by another name than JSON."""
    from wherry.cli.template import Named, Struct

    if not isinstance(value, Struct):
        return value
    parts = {name: _named(part) for name, part in value.items()}
    if "ApiVersion" in parts:
        return Named({**parts, "APIVersion": parts["ApiVersion"]}, parts)
    return Struct(parts)
