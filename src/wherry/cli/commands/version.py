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
    """What ``--format`` sees."""
    import os
    import sys

    from wherry import __version__
    from wherry.oci.platform import host

    system = os.uname()
    python = ".".join([str(part) for part in sys.version_info[:3]])
    platform = host()
    both = {"Version": __version__, "PythonVersion": python, "Os": platform.os, "Arch": platform.architecture}
    engine = {"Name": "Engine", "Version": __version__, "Details": {"Arch": platform.architecture, "Os": platform.os}}
    server = {"Platform": {"Name": "Wherry, without a daemon"}, "Components": [engine], **both}
    return {"Client": both, "Server": {**server, "KernelVersion": system.release}}


def formatted(document: dict[str, Any], form: str) -> str:
    """``document`` through a template, or as JSON."""
    from wherry.cli.inspection import typed
    from wherry.cli.template import TemplateError, compile
    from wherry.errors import WherryError

    try:
        return compile("{{json .}}" if form == "json" else form).render(typed(document))
    except TemplateError as error:
        raise WherryError(f"template parsing error: {error.message}") from None
