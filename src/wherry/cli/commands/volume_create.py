"""`wherry volume create`."""

from __future__ import annotations

from wherry.cli.parser import Command
from wherry.errors import InvalidArgument

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wherry.cli.main import Call

_SWARM = "wherry has no swarm, and so no cluster volumes"
# fmt: off
COMMAND = Command(
    paths=("volume create",),
    usage="[OPTIONS] [VOLUME]",
    summary="Create a volume",
    description="The driver **local** has the options **type**, **device** and **o** of mount(8): for a bind "
    "`--opt type=none --opt o=bind --opt device=/path`, for memory `--opt type=tmpfs --opt device=tmpfs "
    "--opt o=size=100m`, for NFS `--opt type=nfs --opt o=addr=192.0.2.1,rw --opt device=:/path`. "
    "Without root, only binds.",
    most=1,
    options=(
        ("driver", "d", "string", "local", "Specify volume driver name"),
        ("label", "", "list", "", "Set metadata for a volume"),
        ("name", "", "string", "", "Specify volume name"),
        ("opt", "o", "map", "map[]", "Set driver specific options"),
    ),
    unsupported=tuple(
        (name, "", _SWARM)
        for name in ("availability", "group", "limit-bytes", "required-bytes", "scope", "secret", "sharing",
                     "topology-preferred", "topology-required", "type")
    ),
    example="wherry volume create --label tier=front data",
)
# fmt: on


def main(call: Call) -> int:
    """Makes a volume and prints its name."""
    from wherry.engine.volume_objects import NewVolume, create

    name = call.get("name", "")
    if call.arguments:
        if name:
            raise InvalidArgument(
                "conflicting options: cannot specify a volume name through both --name and as a positional arg"
            )
        name = call.arguments[0]
    new = NewVolume(name, call.get("driver", "local"), _pairs(call, "opt"), _pairs(call, "label"))
    print(call.verb(create)(new).name)
    return 0


def _pairs(call: Call, option: str) -> tuple[tuple[str, str], ...]:
    """``name=value``; the last value of a name counts."""
    found: dict[str, str] = {}
    for text in call.get(option, ()):
        name, _equals, value = text.partition("=")
        found[name] = value
    return tuple(found.items())
