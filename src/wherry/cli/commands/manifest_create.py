"""`wherry manifest create`."""

from __future__ import annotations

from wherry.cli.parser import Command

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wherry.cli.main import Call

# fmt: off
COMMAND = Command(
    paths=("manifest create",),
    usage="MANIFEST_LIST MANIFEST [MANIFEST...]",
    summary="Create a local manifest list for annotating and pushing to a registry",
    description="Each **MANIFEST** is looked up in its registry, and in the store when the registry does not have it.",
    least=2,
    options=(("amend", "a", "bool", "", "Amend an existing manifest list"),),
    unsupported=(("insecure", "", "registries without TLS are configured in registries.toml"),),
    example="wherry manifest create reg.example/app:1 reg.example/app:1-amd64 reg.example/app:1-arm64\n"
    "wherry manifest push reg.example/app:1",
)
# fmt: on


def main(call: Call) -> int:
    """Begins a list."""
    from wherry.engine.manifests import create

    name, *manifests = call.arguments
    print(f"Created manifest list {create(call.here(), name, manifests, amend=call.get('amend', False))}")
    return 0
