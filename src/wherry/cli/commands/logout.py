"""`wherry logout`."""

from __future__ import annotations

import sys

from wherry.cli.parser import Command

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wherry.cli.main import Call

# fmt: off
COMMAND = Command(
    paths=("logout",),
    usage="[SERVER]",
    summary="Log out from a registry",
    description="Takes the credentials for the registry away from **~/.docker/config.json** and from its credential "
    "helper. Without **SERVER** it is Docker Hub.",
    most=1,
)
# fmt: on


def main(call: Call) -> int:
    """Forgets one login."""
    from wherry.engine.login import logout

    done = logout(call.here(), call.arguments[0] if call.arguments else "")
    print(f"Removing login credentials for {done.name}")
    for problem in done.problems:
        print(f"WARNING: {problem}", file=sys.stderr)
    return 0
