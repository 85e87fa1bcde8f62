"""`wherry tag`."""

from __future__ import annotations

from wherry.cli.parser import Command

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wherry.cli.main import Call

COMMAND = Command(
    paths=("image tag", "tag"),
    usage="SOURCE_IMAGE[:TAG] TARGET_IMAGE[:TAG]",
    summary="Create a tag TARGET_IMAGE that refers to SOURCE_IMAGE",
    least=2,
    most=2,
)


def main(call: Call) -> int:
    """Gives an image one more name."""
    from wherry.engine.images import tag

    tag(call.engine(), *call.arguments)
    return 0
