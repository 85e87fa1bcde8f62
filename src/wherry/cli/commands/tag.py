"""`wherry tag`."""

from __future__ import annotations

from wherry.cli.parser import Command
from wherry.cli.quote import quote
from wherry.errors import InvalidArgument

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
    from wherry.oci.reference import parse

    source, target = call.arguments
    try:
        parse(target)
    except InvalidArgument as error:
        message = f"Error parsing reference: {quote(target)} is not a valid repository/tag: {error.message}"
        raise InvalidArgument(message, hint=error.hint) from None
    call.verb(tag)(source, target)
    return 0
