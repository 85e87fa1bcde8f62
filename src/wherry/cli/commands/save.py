"""`wherry save`."""

from __future__ import annotations

import os
import sys

from wherry.cli.parser import Command
from wherry.errors import InvalidArgument

TYPE_CHECKING = False
if TYPE_CHECKING:
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
        save(call.engine(), call.arguments, sys.stdout.buffer, format=form, platform=platform)
        sys.stdout.buffer.flush()
        return 0
    directory = os.path.dirname(path) or "."
    if not os.path.isdir(directory):
        raise InvalidArgument(f"failed to save image: invalid output path: stat {directory}: no such file or directory")
    if os.path.isdir(path):
        raise InvalidArgument(f"failed to save image: invalid output path: {path} is a directory")
    if os.path.exists(path) and not os.path.isfile(path):
        with open(path, "wb") as file:  # a pipe or a device has no other name to appear under
            save(call.engine(), call.arguments, file, format=form, platform=platform)
        return 0
    import tempfile

    handle, partial = tempfile.mkstemp(prefix=f".{os.path.basename(path)}.", dir=directory)
    try:
        with open(handle, "wb") as file:
            save(call.engine(), call.arguments, file, format=form, platform=platform)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(partial, 0o600)
        os.replace(partial, path)
    except BaseException:
        os.unlink(partial)
        raise
    return 0
