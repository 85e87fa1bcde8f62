"""`wherry context use`."""

from __future__ import annotations

import sys

from wherry.cli.context_values import store, warn_of_host
from wherry.cli.parser import Command

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wherry.cli.main import Call

# fmt: off
COMMAND = Command(
    paths=("context use",),
    usage="CONTEXT",
    summary="Set the current docker context",
    description="It is written to **~/.docker/config.json** and counts for Docker's client as well. The context "
    "**default** is this machine's own engine, without a daemon.",
    least=1,
    most=1,
)
# fmt: on


def main(call: Call) -> int:
    """Has a context in use from now on."""
    name = call.arguments[0]
    store(call).use(name)
    print(name)
    warn_of_host(call)
    print(f'Current context is now "{name}"', file=sys.stderr)
    return 0
