"""`wherry load`."""

from __future__ import annotations

import sys

from wherry.cli.parser import Command
from wherry.errors import InvalidArgument

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wherry.cli.main import Call

# fmt: off
COMMAND = Command(
    paths=("image load", "load"),
    usage="[OPTIONS]",
    summary="Load an image from a tar archive or STDIN",
    description="Reads docker-archive and OCI archives, compressed with gzip or zstd or not at all.",
    most=0,
    options=(
        ("input", "i", "string", "", "Read from tar archive file, instead of STDIN"),
        ("platform", "", "string", "",
         'Load only the given platform variant. Formatted as "os[/arch[/variant]]" (e.g., "linux/amd64")'),
        ("quiet", "q", "bool", "", "Suppress the load output"),
    ),
)
# fmt: on


def main(call: Call) -> int:
    """Loads every image of an archive."""
    from wherry.engine.load import load

    path = call.get("input", "")
    if not path and sys.stdin.isatty():
        raise InvalidArgument("requested load from stdin, but stdin is empty", hint="give a file with -i, or a pipe")
    platform = call.get("platform", "")
    if not sys.stdout.isatty():
        call.values["quiet"] = True  # as Docker: bars or nothing
    if path:
        with open(path, "rb") as file:
            names = call.verb(load)(file, call.progress(), platform=platform)
    else:
        names = call.verb(load)(sys.stdin.buffer, call.progress(), platform=platform)
    for name in names:
        print(f"Loaded image ID: {name}" if name.startswith("sha256:") else f"Loaded image: {name}")
    return 0
