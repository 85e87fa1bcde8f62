"""`wherry artifact push`."""

from __future__ import annotations

from wherry.cli.parser import Command
from wherry.errors import InvalidArgument

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wherry.cli.main import Call

# fmt: off
COMMAND = Command(
    paths=("artifact push",),
    usage="[OPTIONS] NAME[:TAG] [FILE[:MEDIATYPE]...]",
    summary="Upload files as an OCI artifact",
    description="With **--subject** the artifact belongs to an image in the same repository and needs no tag.",
    least=1,
    options=(
        ("annotation", "", "list", "", "Set an annotation of the artifact (key=value)"),
        ("artifact-type", "", "string", "", "Set the type of the artifact, as a media type"),
        ("quiet", "q", "bool", "", "Suppress verbose output"),
        ("subject", "", "string", "", "Name of the image that the artifact belongs to"),
    ),
    example="wherry artifact push --artifact-type application/vnd.acme.model reg.example/models/bert:1 "
    "model.safetensors config.json:application/json",
)
# fmt: on


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise InvalidArgument("an annotation is written key=value")
    return name, value


CHECKS = {"annotation": _pair}


def main(call: Call) -> int:
    """Pushes one artifact."""
    from wherry.engine.artifacts import push_artifact

    name, *files = call.arguments
    digest = push_artifact(
        call.here(),
        name,
        [_file(text) for text in files],
        artifact_type=call.get("artifact-type", ""),
        annotations=call.get("annotation", ()),
        subject=call.get("subject", ""),
        progress=call.progress(),
    )
    print(digest)
    return 0


def _file(text: str) -> File:
    """``path`` or ``path:type/subtype``."""
    from wherry.engine.artifacts import File

    path, colon, media_type = text.rpartition(":")
    return File(path, media_type) if colon and media_type.count("/") == 1 and path else File(text)


if TYPE_CHECKING:
    from wherry.engine.artifacts import File
