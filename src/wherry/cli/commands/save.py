"""`wherry save`."""

from __future__ import annotations

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
    paths=("image save", "save"),
    usage="[OPTIONS] IMAGE [IMAGE...]",
    summary="Save one or more images to a tar archive (streamed to STDOUT by default)",
    least=1,
    options=(
        ("format", "", "string", "docker-archive", 'Kind of archive ("docker-archive", "oci-archive")'),
        ("output", "o", "string", "", "Write to a file, instead of STDOUT"),
        ("platform", "", "string", "",
         'Save only the given platform variant. Formatted as "os[/arch[/variant]]" (e.g., "linux/amd64")'),
    ),
)
# fmt: on


def main(call: Call) -> int:
    """Writes an archive; a file appears under its name only when it is whole."""
    from wherry.engine.save import save

    form, platform = call.get("format", "docker-archive"), call.get("platform", "")
    path = call.get("output", "")
    if not path:
        if sys.stdout.isatty():
            raise InvalidArgument("cowardly refusing to save to a terminal. Use the -o flag or redirect")
        call.verb(save)(call.arguments, sys.stdout.buffer, format=form, platform=platform)
        sys.stdout.buffer.flush()
        return 0

    def write(file: BinaryIO) -> None:
        call.verb(save)(call.arguments, file, format=form, platform=platform)

    write_whole(path, write, what="failed to save image")
    return 0
