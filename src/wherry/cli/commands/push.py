"""`wherry push`."""

from __future__ import annotations

from wherry.cli.parser import Command
from wherry.errors import InvalidArgument, NotSupported

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wherry.cli.main import Call

# fmt: off
COMMAND = Command(
    paths=("image push", "push"),
    usage="[OPTIONS] NAME[:TAG]",
    summary="Upload an image to a registry",
    description="Only what the registry lacks is uploaded; what another of its repositories has is mounted from there. "
    "A push that was broken off goes on where it stopped. Layers go as they are, so an image that was pulled keeps its "
    "digest. Layers that have no compression are compressed with gzip, unless the image came from a registry so. What "
    "was pulled with **--all-platforms** is pushed for all of them.",
    least=1,
    most=1,
    options=(
        ("all-platforms", "", "bool", "", "Push the image for all its platforms, or nothing"),
        ("all-tags", "a", "bool", "", "Push all tags of an image to the repository"),
        ("compression", "", "string", "", 'Compress the layers anew ("gzip", "zstd")'),
        ("compression-level", "", "int", "", "Compression level (gzip: 1 to 9, zstd: 1 to 22)"),
        ("disable-content-trust", "", "bool", "true", "Skip image signing"),
        ("platform", "", "string", "", "Push a platform-specific manifest as a single-platform image to the registry.\n"
         "'os[/arch[/variant]]': Explicit platform (eg. linux/amd64)"),
        ("quiet", "q", "bool", "", "Suppress verbose output"),
    ),
)
# fmt: on


def main(call: Call) -> int:
    """Pushes one name, or all tags of a repository."""
    from wherry.engine.push import push
    from wherry.engine.recompress import Compression
    from wherry.oci.reference import parse

    if not call.get("disable-content-trust", True):
        raise NotSupported("content trust (Notary v1) is not implemented", hint="sign images with cosign")
    if call.get("all-platforms") and call.get("platform"):
        raise InvalidArgument("conflicting options: --all-platforms and --platform")
    name, all_tags = call.arguments[0], call.get("all-tags", False)
    level = call.get("compression-level")
    wanted = call.get("compression", "") or ("gzip" if level is not None else "")
    call.verb(push)(
        name,
        all_tags=all_tags,
        all_platforms=call.get("all-platforms", False),
        platform=call.get("platform", ""),
        compression=Compression(wanted, level) if wanted else None,
        progress=call.progress(),
    )
    if call.get("quiet"):
        print(parse(name).name if all_tags else parse(name).tagged())
    return 0
