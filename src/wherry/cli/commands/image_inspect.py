"""`wherry image inspect`."""

from __future__ import annotations

from wherry.cli.parser import Command

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wherry.cli.main import Call

# fmt: off
FORMAT = (
    "Format output using a custom template:\n"
    "'json':             Print in JSON format\n"
    "'TEMPLATE':         Print output using the given Go template.\n"
    "Refer to https://docs.docker.com/go/formatting/ for more information about formatting output with templates"
)
COMMAND = Command(
    paths=("image inspect",),
    usage="[OPTIONS] IMAGE [IMAGE...]",
    summary="Display detailed information on one or more images",
    least=1,
    options=(("format", "f", "string", "", FORMAT),),
    unsupported=(("platform", "", "this version keeps one platform of an image"),),
)
# fmt: on


def main(call: Call) -> int:
    """Prints Docker's JSON of images."""
    from wherry.cli.inspection import show
    from wherry.engine.images import inspect

    return show(call.arguments, call.verb(inspect), call.get("format", ""))
