"""`wherry manifest inspect`."""

from __future__ import annotations

import json

from wherry.cli.parser import Command

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wherry.cli.main import Call

# fmt: off
COMMAND = Command(
    paths=("manifest inspect",),
    usage="MANIFEST",
    summary="Display an image manifest, or manifest list",
    description="A list that is being made here comes before what the registry has under the same name.",
    least=1,
    most=1,
    unsupported=(
        ("insecure", "", "registries without TLS are configured in registries.toml"),
        ("verbose", "v", "inspect the manifests of a list by their digests"),
    ),
)
# fmt: on


def main(call: Call) -> int:
    """Prints the document."""
    from wherry.engine.manifests import inspect

    print(json.dumps(json.loads(inspect(call.here(), call.arguments[0])), indent=3, ensure_ascii=True))
    return 0
