"""`wherry volume rm`."""

from __future__ import annotations

from wherry.cli.parser import Command

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wherry.cli.main import Call

# fmt: off
COMMAND = Command(
    paths=("volume rm", "volume remove"),
    usage="[OPTIONS] VOLUME [VOLUME...]",
    summary="Remove one or more volumes",
    description="A volume that a container has, running or not, is not removed.",
    least=1,
    options=(("force", "f", "bool", "", "Force the removal of one or more volumes"),),
)
# fmt: on


def main(call: Call) -> int:
    """Removes volumes; one that cannot be removed does not keep the others.

    With ``-f`` one that is not there is fine.
    """
    from wherry.cli.each import each
    from wherry.engine.volume_objects import remove
    from wherry.errors import NotFound

    take_away = call.verb(remove)

    def one(name: str) -> None:
        try:
            take_away(name)
        except NotFound:
            if not call.get("force"):
                raise

    return each(call.arguments, one)
