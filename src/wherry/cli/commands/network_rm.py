"""`wherry network rm`."""

from __future__ import annotations

from wherry.cli.parser import Command

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wherry.cli.main import Call

# fmt: off
COMMAND = Command(
    paths=("network rm", "network remove"),
    usage="NETWORK [NETWORK...]",
    summary="Remove one or more networks",
    least=1,
    options=(("force", "f", "bool", "", "Do not error if the network does not exist"),),
)
# fmt: on


def main(call: Call) -> int:
    """Removes networks; one that cannot be removed does not keep the others."""
    from wherry.cli.each import each
    from wherry.engine.networks import remove
    from wherry.errors import NotFound

    take_away = call.verb(remove)

    def one(name: str) -> None:
        try:
            take_away(name)
        except NotFound:
            if not call.get("force"):
                raise

    return each(call.arguments, one)
