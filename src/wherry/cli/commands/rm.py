"""`wherry rm`."""

from __future__ import annotations

import sys

from wherry.cli.main import fail
from wherry.cli.parser import Command
from wherry.errors import NotFound, WherryError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wherry.cli.main import Call

# fmt: off
COMMAND = Command(
    paths=("container rm", "container remove", "rm"),
    usage="[OPTIONS] CONTAINER [CONTAINER...]",
    summary="Remove one or more containers",
    least=1,
    options=(
        ("force", "f", "bool", "", "Force the removal of a running container (uses SIGKILL)"),
        ("volumes", "v", "bool", "", "Remove anonymous volumes associated with the container"),
    ),
    unsupported=(("link", "l", "there are no links between containers"),),
)
# fmt: on


def main(call: Call) -> int:
    """Removes containers; one that cannot be removed does not keep the others."""
    from wherry.engine.containers import remove

    engine = call.engine()
    force, volumes = call.get("force", False), call.get("volumes", False)
    status = 0
    for name in call.arguments:
        try:
            remove(engine, name.removeprefix("/"), force=force, volumes=volumes)
        except NotFound as error:
            status = max(status, fail(error) if not force else 0)
            if force:
                print(error.message, file=sys.stderr)
        except WherryError as error:
            status = fail(error)
        else:
            print(name)
    return status
