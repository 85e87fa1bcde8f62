"""`wherry pull`."""

from __future__ import annotations

from wherry.cli.parser import Command
from wherry.errors import InvalidArgument, NotFound, NotSupported
from wherry.oci.reference import parse

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
    "credentials are those that **wherry login** or **docker login** keep.",
    least=1,
    most=1,
    options=(
        ("all-platforms", "", "bool", "", "Download the image for all its platforms, to be pushed again as it is"),
        ("all-tags", "a", "bool", "", "Download all tagged images in the repository"),
        ("disable-content-trust", "", "bool", "true", "Skip image verification"),
        ("platform", "", "string", "", "Set platform if the image has more than one"),
        ("quiet", "q", "bool", "", "Suppress verbose output"),
    ),
)
# fmt: on


def main(call: Call) -> int:
    """Pulls one image, or every tag of a repository."""
    from wherry.engine.pull import pull, tags

    if not call.get("disable-content-trust", True):
        raise NotSupported("content trust (Notary v1) is not implemented", hint="refer to images by digest")
    name = parse(call.arguments[0])
    all_tags, quiet = call.get("all-tags", False), call.get("quiet", False)
    if all_tags and (name.tag or name.digest):
        raise InvalidArgument("tag can't be used with --all-tags/-a")
    bring = call.verb(pull)
    wanted = [str(name.replace(tag=tag)) for tag in tags(call.here(), name)] if all_tags else [str(name)]
    newer, pulled = False, None
    for one in wanted:
        pulled = bring(
            one,
            platform=call.get("platform", ""),
            all_platforms=call.get("all-platforms", False),
            progress=call.progress(),
        )
        newer = newer or pulled.newer
        if not quiet:
            print(f"Digest: {pulled.digest}")
    if pulled is None:
        raise NotFound("repository", name.familiar_name(), f"{name.familiar_name()} has no tags")
    if not quiet:
        familiar = name.familiar() if all_tags else name.tagged().familiar()
        print(f"Status: {'Downloaded newer image for' if newer else 'Image is up to date for'} {familiar}")
    print(name if all_tags else pulled.reference)
    return 0
