"""`wherry rmi`."""

from __future__ import annotations

from wherry.cli.parser import Command

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wherry.cli.main import Call

# fmt: off
COMMAND = Command(
    paths=("image rm", "image remove", "rmi"),
    usage="[OPTIONS] IMAGE [IMAGE...]",
    summary="Remove one or more images",
    description="Layers are removed when no other image has them.",
    least=1,
    options=(
        ("force", "f", "bool", "", "Force removal of the image"),
        ("no-prune", "", "bool", "", "Do not delete untagged parents"),
    ),
    unsupported=(("platform", "", "this version keeps one platform of an image"),),
)
# fmt: on


def main(call: Call) -> int:
    """Removes images; one that cannot be removed does not keep the others."""
    from wherry.cli.several import remove_each
    from wherry.engine.images import remove

    take_away = call.verb(remove)
    force, no_prune = call.get("force", False), call.get("no-prune", False)

    def one(name: str) -> list[str]:
        items = take_away(name, force=force, no_prune=no_prune)
        return [f"Untagged: {item.untagged}" if item.untagged else f"Deleted: {item.deleted}" for item in items]

    return remove_each(call, one)
