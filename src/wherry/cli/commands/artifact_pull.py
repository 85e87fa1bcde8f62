"""`wherry artifact pull`."""

from __future__ import annotations

from wherry.cli.parser import Command

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wherry.cli.main import Call

# fmt: off
COMMAND = Command(
    paths=("artifact pull",),
    usage="[OPTIONS] NAME[:TAG|@DIGEST]",
    summary="Download the files of an OCI artifact",
    description="A file that is there under the same name is replaced.",
    least=1,
    most=1,
    options=(
        ("output", "o", "string", ".", "Directory to write the files to"),
        ("quiet", "q", "bool", "", "Suppress verbose output"),
    ),
)
# fmt: on


def main(call: Call) -> int:
    """Prints the paths of the files."""
    from wherry.engine.artifacts import pull_artifact

    for path in pull_artifact(call.here(), call.arguments[0], call.get("output", "."), call.progress()):
        print(path)
    return 0
