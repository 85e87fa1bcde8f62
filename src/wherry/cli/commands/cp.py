"""`wherry cp`."""

from __future__ import annotations

import os
import sys
import time

from wherry.cli.parser import Command
from wherry.cli.quote import harmless
from wherry.cli.units import size
from wherry.errors import InvalidArgument, NotSupported

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wherry.cli.main import Call
    from wherry.engine.copy import Copied

_SHOW_EVERY = 0.1  # seconds

# fmt: off
COMMAND = Command(
    paths=("container cp", "cp"),
    usage="[OPTIONS] CONTAINER:SRC_PATH DEST_PATH|-\n        wherry cp [OPTIONS] SRC_PATH|- CONTAINER:DEST_PATH",
    summary="Copy files/folders between a container and the local filesystem",
    description="Use `-` as the source to read a tar archive from standard input and extract it to a directory of the "
    "container, and as the destination to write one to standard output.\n\n"
    "Copied files belong to root in the container, and to the caller on the host, without set-user-id bits of "
    "somebody else. What an archive on standard input says of owners is kept.",
    least=2,
    most=2,
    options=(
        ("archive", "a", "bool", "", "Archive mode (copy all uid/gid information)"),
        ("follow-link", "L", "bool", "", "Always follow symbol link in SRC_PATH"),
        ("quiet", "q", "bool", "",
         "Suppress progress output during copy. Progress output is automatically suppressed "
         "if no terminal is attached"),
    ),
)
# fmt: on


def main(call: Call) -> int:
    """Copies in the one direction or the other."""
    first, second = call.arguments
    if not first:
        raise InvalidArgument("source can not be empty")
    if not second:
        raise InvalidArgument("destination can not be empty")
    source, destination = split(first), split(second)
    if source[0] and destination[0]:
        raise NotSupported("copying between containers is not supported")
    if not source[0] and not destination[0]:
        raise InvalidArgument("must specify at least one container source")
    quiet = call.get("quiet", not sys.stdout.isatty())
    progress = None if quiet or not sys.stderr.isatty() else _Progress("from" if source[0] else "to")
    try:
        copied = _out(call, *source, second, progress) if source[0] else _in(call, first, *destination, progress)
    finally:
        if progress is not None:
            progress.clear()
    if copied is not None:
        for name in copied.skipped:
            print(f"wherry: skipped the device node {harmless(name)}", file=sys.stderr)
        if not quiet:
            print(f"Successfully copied {size(copied.size)} to {copied.destination}", file=sys.stderr)
    return 0


class _Progress:
    """One line on the terminal that says how much has been copied, and disappears."""

    def __init__(self, direction: str) -> None:
        self._words = f"Copying {direction} container - "
        self._shown = 0.0

    def __call__(self, done: int) -> None:
        now = time.monotonic()
        if now - self._shown >= _SHOW_EVERY:
            self._shown = now
            print(f"\r\x1b[K{self._words}{size(done)}", end="", file=sys.stderr, flush=True)

    def clear(self) -> None:
        """Take the line away."""
        if self._shown:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)


def split(argument: str) -> tuple[str, str]:
    """(container, path) of ``CONTAINER:PATH``, ("", path) of a path on the host, which begins with ``.`` or ``/`` when
    it has a colon."""
    if os.path.isabs(argument):
        return "", argument
    container, colon, path = argument.partition(":")
    if not colon or container.startswith("."):
        return "", argument
    return container, path


def _local(path: str) -> str:
    """A path of the host, absolute; a slash or dot at its end stays, as it asks for a directory."""
    whole = os.path.normpath(os.path.join(os.getcwd(), path))
    if path.endswith("/.") or path == ".":
        return whole.rstrip("/") + "/."
    return whole.rstrip("/") + "/" if path.endswith("/") else whole


def _out(call: Call, container: str, path: str, destination: str, progress: _Progress | None) -> Copied | None:
    from wherry.engine.archive import Archive
    from wherry.engine.copy import copy_out

    follow = bool(call.get("follow-link"))
    if destination != "-":
        target, archive = _local(destination), bool(call.get("archive"))
        return call.verb(copy_out)(container, path, target, follow=follow, owners=archive, progress=progress)
    out = sys.stdout.buffer
    with call.verb(Archive)(container, path, follow=follow) as found:
        while piece := found.read(1 << 20):
            out.write(piece)
        found.finish()
    out.flush()
    return None


def _in(call: Call, source: str, container: str, path: str, progress: _Progress | None) -> Copied:
    from wherry.engine.copy import copy_in, put_stream

    if source == "-":
        return call.verb(put_stream)(container, path, sys.stdin.buffer)
    follow, archive = bool(call.get("follow-link")), bool(call.get("archive"))
    return call.verb(copy_in)(_local(source), container, path, follow=follow, owners=archive, progress=progress)
