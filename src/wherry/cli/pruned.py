"""What was removed, as the prune commands of Docker's client tell it."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from wherry.engine.images import Removed


def show(parts: Iterable[tuple[str, Sequence[str]]], freed: int) -> None:
    """Prints the names under a title for each kind that had any, then the bytes."""
    from wherry.cli.units import size

    for kind, names in parts:
        if names:
            print(f"Deleted {kind}:", *names, sep="\n", end="\n\n")
    print(f"Total reclaimed space: {size(freed, 4)}")


def images(removed: Iterable[Removed]) -> list[str]:
    """The lines for images."""
    return [f"untagged: {one.untagged}" if one.untagged else f"deleted: {one.deleted}" for one in removed]
