"""`wherry manifest annotate`."""

from __future__ import annotations

from wherry.cli.parser import Command

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wherry.cli.main import Call

# fmt: off
COMMAND = Command(
    paths=("manifest annotate",),
    usage="[OPTIONS] MANIFEST_LIST MANIFEST",
    summary="Add additional information to a local image manifest",
    least=2,
    most=2,
    options=(
        ("arch", "", "string", "", "Set architecture"),
        ("os", "", "string", "", "Set operating system"),
        ("os-version", "", "string", "", "Set operating system version"),
        ("variant", "", "string", "", "Set architecture variant"),
    ),
    unsupported=(("os-features", "", "no platform that Wherry knows has them"),),
)
# fmt: on


def main(call: Call) -> int:
    """Changes the platform of one entry."""
    from wherry.engine.manifests import annotate
    from wherry.oci.platform import Platform

    name, manifest = call.arguments
    given = Platform(call.get("os", ""), call.get("arch", ""), call.get("variant", ""), call.get("os-version", ""))
    annotate(call.here(), name, manifest, platform=given)
    return 0
