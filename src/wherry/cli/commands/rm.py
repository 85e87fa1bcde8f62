"""`wherry rm`."""

from __future__ import annotations

from wherry.cli.parser import Command

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
        ("link", "l", "bool", "", "Remove the specified link"),
        ("volumes", "v", "bool", "", "Remove anonymous volumes associated with the container"),
    ),
)
# fmt: on


def main(call: Call) -> int:
    """Removes containers; one that cannot be removed does not keep the others."""
    from wherry.cli.several import remove_each
    from wherry.engine.containers import remove
    from wherry.engine.links import unlink

    take_away, take_link = call.verb(remove), call.verb(unlink)
    force, volumes = call.get("force", False), call.get("volumes", False)

    def one(name: str) -> list[str]:
        if call.get("link", False):
            take_link(name)
            return [name]
        take_away(name.removeprefix("/"), force=force, volumes=volumes)
        return [name]

    return remove_each(call, one)
