"""`wherry context export`."""

from __future__ import annotations

import os
import sys

from wherry.cli.context_values import store
from wherry.cli.parser import Command
from wherry.errors import Conflict, InvalidArgument

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wherry.cli.main import Call

# fmt: off
COMMAND = Command(
    paths=("context export",),
    usage="[OPTIONS] CONTEXT [FILE|-]",
    summary="Export a context to a tar archive FILE or a tar stream on STDOUT.",
    description="The file holds the private key of the context's certificate, where it has one.",
    least=1,
    most=2,
)
# fmt: on


def main(call: Call) -> int:
    """Writes a context to a file that was not there before."""
    from wherry.client.context_archive import write

    name = call.arguments[0]
    path = call.arguments[1] if len(call.arguments) > 1 else f"{name}.dockercontext"
    context = store(call).get(name)
    if path == "-":
        if sys.stdout.isatty():
            raise InvalidArgument("cowardly refusing to export to a terminal, specify a file path")
        write(context, sys.stdout.buffer)
        sys.stdout.buffer.flush()
        return 0
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        raise Conflict(f"open {path}: file exists", hint="give another FILE") from None
    with open(fd, "wb") as file:
        write(context, file)
    print(f'Written file "{path}"', file=sys.stderr)
    return 0
