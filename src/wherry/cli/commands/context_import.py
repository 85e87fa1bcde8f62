"""`wherry context import`."""

from __future__ import annotations

import sys

from wherry.cli.context_values import store
from wherry.cli.parser import Command
from wherry.client.contexts import check_name
from wherry.errors import InvalidArgument

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wherry.cli.main import Call

# fmt: off
COMMAND = Command(
    paths=("context import",),
    usage="CONTEXT FILE|-",
    summary="Import a context from a tar or zip file",
    least=2,
    most=2,
)
# fmt: on

_MOST = 10 << 20


def main(call: Call) -> int:
    """Keeps the context of a file, and prints its name."""
    from wherry.client.context_archive import read

    name, path = call.arguments
    check_name(name)
    if path == "-":
        content = sys.stdin.buffer.read(_MOST + 1)
    else:
        with open(path, "rb") as file:
            content = file.read(_MOST + 1)
    if len(content) > _MOST:
        raise InvalidArgument(f"invalid context: it has more than {_MOST} bytes")
    store(call).put(read(name, content), new=True)
    print(name)
    print(f'Successfully imported context "{name}"', file=sys.stderr)
    return 0
