"""`wherry pull`."""

from __future__ import annotations

from wherry.cli.parser import Command

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wherry.cli.main import Call

# fmt: off
COMMAND = Command(
    paths=("image pull", "pull"),
    usage="[OPTIONS] NAME[:TAG|@DIGEST]",
    summary="Download an image from a registry",
    description="Layers that are already here are not fetched again, and an interrupted pull goes on where it stopped. "
    "Mirrors, private certificate authorities and registries without TLS are configured in **registries.toml**; "
    "credentials are those that **docker login** keeps.",
    least=1,
    most=1,
    options=(
        ("platform", "", "string", "", "Set platform if the image has more than one"),
        ("quiet", "q", "bool", "", "Suppress verbose output"),
    ),
    unsupported=(
        ("all-tags", "a", "pull the tags one by one"),
        ("disable-content-trust", "", "content trust (Notary v1) is not implemented; refer to images by digest"),
    ),
)
# fmt: on


def main(call: Call) -> int:
    """Pulls one image."""
    from wherry.engine.pull import pull
    from wherry.oci.reference import parse

    name = call.arguments[0]
    pulled = pull(call.engine(), name, platform=call.get("platform", ""), progress=call.progress())
    if not call.get("quiet"):
        familiar = parse(name).tagged().familiar()
        state = "Downloaded newer image for" if pulled.newer else "Image is up to date for"
        print(f"Digest: {pulled.digest}\nStatus: {state} {familiar}")
    print(pulled.reference)
    return 0
