"""`wherry inspect`: an object of any kind."""

from __future__ import annotations

from wherry.cli.commands.image_inspect import FORMAT
from wherry.cli.parser import Command
from wherry.errors import InvalidArgument, NotFound

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from wherry.cli.main import Call

TYPES = ("container", "image", "network", "volume")

# fmt: off
COMMAND = Command(
    paths=("inspect",),
    usage="[OPTIONS] NAME|ID [NAME|ID...]",
    summary="Return low-level information on Wherry objects",
    least=1,
    options=(
        ("format", "f", "string", "", FORMAT),
        ("size", "s", "bool", "", "Display total file sizes if the type is container"),
        ("type", "", "string", "", "Only inspect objects of the given type"),
    ),
)
# fmt: on


def main(call: Call) -> int:
    """Prints Docker's JSON of whatever has the name: a container before an image, a network, a volume."""
    from wherry.cli.inspection import show
    from wherry.engine import containers, images, networks, volume_objects

    kind = call.get("type", "")
    if "type" in call.values and kind not in TYPES:
        choices = ", ".join([f'"{name}"' for name in TYPES])
        raise InvalidArgument(f'unknown type: "{kind}": must be one of {choices}')
    container = call.verb(containers.inspect)
    kinds: dict[str, Callable[[str], dict[str, Any]]] = {
        "container": lambda name: container(name, size=call.get("size", False)),
        "image": call.verb(images.inspect),
        "network": call.verb(networks.inspect),
        "volume": call.verb(volume_objects.inspect),
    }

    def find(name: str) -> dict[str, Any]:
        if kind:
            return kinds[kind](name)
        for look in kinds.values():
            try:
                return look(name)
            except (NotFound, InvalidArgument):
                continue
        raise NotFound("object", name)

    return show(call.arguments, find, call.get("format", ""))
