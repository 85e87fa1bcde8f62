"""`wherry import`."""

from __future__ import annotations

import sys

from wherry.cli.parser import Command
from wherry.errors import InvalidArgument

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wherry.cli.main import Call

# fmt: off
COMMAND = Command(
    paths=("image import", "import"),
    usage="[OPTIONS] file|URL|- [REPOSITORY[:TAG]]",
    summary="Import the contents from a tarball to create a filesystem image",
    description="The archive may be compressed with gzip, zstd, bzip2 or xz. `--change` takes the instructions that "
    "`commit` takes.",
    least=1,
    most=2,
    options=(
        ("change", "c", "list", "", "Apply Dockerfile instruction to the created image"),
        ("message", "m", "string", "", "Set commit message for imported image"),
        ("platform", "", "string", "", "Set platform if server is multi-platform capable"),
    ),
)
# fmt: on


def main(call: Call) -> int:
    """Makes the image and prints its id."""
    from wherry.engine.import_image import ImportOptions, import_image, is_url, open_url

    source, *reference = call.arguments
    make = call.verb(import_image)
    options = ImportOptions(
        reference=reference[0] if reference else "",
        message=call.get("message", ""),
        changes=tuple(call.get("change", ())),
        platform=call.get("platform", ""),
        origin=source if is_url(source) else "-",
    )
    if source == "-":
        if sys.stdin.isatty():
            raise InvalidArgument("requested import from stdin, but stdin is a terminal", hint="use a file or a pipe")
        print(make(sys.stdin.buffer, options))
    elif is_url(source):
        print(make(open_url(call.here(), source), options))
    else:
        with open(source, "rb") as file:
            print(make(file, options))
    return 0
