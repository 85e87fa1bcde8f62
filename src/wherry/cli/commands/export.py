"""`wherry export`."""

from __future__ import annotations

import os
import stat
import sys

from wherry.cli.parser import Command
from wherry.cli.whole_file import write_whole
from wherry.errors import InvalidArgument

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import BinaryIO

    from wherry.cli.main import Call

# fmt: off
COMMAND = Command(
    paths=("container export", "export"),
    usage="[OPTIONS] CONTAINER",
    summary="Export a container's filesystem as a tar archive",
    description="What is in volumes and other mounts is left out; the directories that they are mounted on are not.",
    least=1,
    most=1,
    options=(("output", "o", "string", "", "Write to a file, instead of STDOUT"),),
)
# fmt: on


def main(call: Call) -> int:
    """Writes the tar; a file appears under its name only when it is whole."""
    from wherry.engine.export import export

    path = call.get("output", "")
    if not path:
        if sys.stdout.isatty():
            raise InvalidArgument("cowardly refusing to save to a terminal. Use the -o flag or redirect")
        call.verb(export)(call.arguments[0], sys.stdout.buffer)
        sys.stdout.buffer.flush()
        return 0
    _check(path)

    def write(file: BinaryIO) -> None:
        call.verb(export)(call.arguments[0], file)

    write_whole(path, write, what="failed to export container")
    return 0


def _check(path: str) -> None:
    mode = os.stat(path).st_mode if os.path.exists(path) else 0
    if stat.S_ISCHR(mode) or stat.S_ISBLK(mode):
        kind = "character" if stat.S_ISCHR(mode) else "block"
        raise InvalidArgument(f"failed to export container: cannot write to a {kind} device file")
