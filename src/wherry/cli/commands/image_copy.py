"""`wherry image copy`."""

from __future__ import annotations

from wherry.cli.parser import Command

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wherry.cli.main import Call

# fmt: off
COMMAND = Command(
    paths=("image copy",),
    usage="[OPTIONS] SOURCE DESTINATION",
    summary="Copy an image between the store, registries, layouts and archives",
    description="A place is **NAME** in the store, **docker://NAME** in a registry, **oci:DIR[:NAME]**, "
    "**oci-archive:FILE[:NAME]** or **docker-archive:FILE[:NAME]**. Digests stay. An image for several platforms is "
    "copied for all of them, but for a docker-archive, which holds one, and the store, which unpacks one.",
    least=2,
    most=2,
    options=(
        ("platform", "", "string", "", "Copy only the image for this platform"),
        ("quiet", "q", "bool", "", "Suppress verbose output"),
    ),
    example="wherry image copy docker://reg.example/app:1 oci:layout:1\n"
    "wherry image copy docker-archive:app.tar docker://reg.example/app:1",
)
# fmt: on


def main(call: Call) -> int:
    """Prints the digest of what was copied."""
    from wherry.engine.image_copy import copy

    source, target = call.arguments
    print(copy(call.engine(), source, target, platform=call.get("platform", ""), progress=call.progress()))
    return 0
