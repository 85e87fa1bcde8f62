"""`wherry artifact ls`."""

from __future__ import annotations

from wherry.cli.parser import Command

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wherry.cli.format import Fields
    from wherry.cli.main import Call
    from wherry.oci.manifest import Descriptor

# fmt: off
COMMAND = Command(
    paths=("artifact ls", "artifact list"),
    usage="[OPTIONS] NAME[:TAG|@DIGEST]",
    summary="List the artifacts that belong to an image",
    description="The registry is asked for the referrers of the image: signatures, bills of materials and the like.",
    least=1,
    most=1,
    options=(
        ("artifact-type", "", "string", "", "Only artifacts of this type"),
        ("format", "", "string", "", "Pretty-print artifacts using a Go template"),
        ("no-trunc", "", "bool", "", "Don't truncate output"),
        ("quiet", "q", "bool", "", "Only show digests"),
    ),
)
# fmt: on


def main(call: Call) -> int:
    """One line for each artifact."""
    from wherry.cli import format as lists
    from wherry.engine.artifacts import referrers

    found = referrers(call.here(), call.arguments[0], call.get("artifact-type", ""))
    columns = {
        "Digest": "DIGEST",
        "ArtifactType": "ARTIFACT TYPE",
        "MediaType": "MEDIA TYPE",
        "Annotations": "ANNOTATIONS",
    }
    listing = lists.Listing(
        kind="*formatter.artifactContext", headers=columns, table=("Digest", "ArtifactType", "Annotations")
    )
    quiet = call.get("quiet", False)
    rows = [_fields(one, call.get("no-trunc", False) or quiet) for one in found]
    lists.show(listing, rows, "{{.Digest}}" if quiet else call.get("format", ""))
    return 0


def _fields(one: Descriptor, whole: bool) -> Fields:
    text = ",".join(f"{name}={value}" for name, value in one.annotations)
    return {
        "Digest": lambda: one.digest if whole else one.digest[:19],
        "ArtifactType": lambda: one.artifact_type,
        "MediaType": lambda: one.media_type,
        "Annotations": lambda: text,
    }
