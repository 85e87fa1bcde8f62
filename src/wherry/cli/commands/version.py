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

_TEXT = """\
Client:
 Version:           {Client[Version]}
 Python version:    {Client[PythonVersion]}
 OS/Arch:           {Client[Os]}/{Client[Arch]}

Server: {Server[Platform][Name]}
 Engine:
  Version:          {Server[Version]}
  Python version:   {Server[PythonVersion]}
  OS/Arch:          {Server[Os]}/{Server[Arch]}
  Kernel Version:   {Server[KernelVersion]}
"""


def main(call: Call) -> int:
    """Prints versions."""
    document = versions()
    form = call.get("format", "")
    print(_TEXT.format(**document), end="") if not form else print(formatted(document, form))
    return 0


def versions() -> dict[str, Any]:
    """What ``--format`` sees: of Docker's client and server, here in one process."""
    from wherry.engine.info import versions as of_engine

    server = of_engine()
    same = ("Version", "ApiVersion", "PythonVersion", "Os", "Arch")
    client = {name: server[name] for name in same}
    return {"Client": {**client, "DefaultAPIVersion": server["ApiVersion"], "Context": "default"}, "Server": server}


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
