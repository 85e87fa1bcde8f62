"""`wherry manifest push`."""

from __future__ import annotations

from wherry.cli.parser import Command

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wherry.cli.main import Call

# fmt: off
COMMAND = Command(
    paths=("manifest push",),
    usage="[OPTIONS] MANIFEST_LIST",
    summary="Push a manifest list to a repository",
    description="Images in other repositories come along: mounted within one registry, copied from another.",
    least=1,
    most=1,
    options=(("purge", "p", "bool", "", "Remove the local manifest list after push"),),
    unsupported=(("insecure", "", "registries without TLS are configured in registries.toml"),),
)
# fmt: on


def main(call: Call) -> int:
    """Pushes one list."""
    from wherry.engine.manifests import push_list

    print(push_list(call.here(), call.arguments[0], purge=call.get("purge", False), progress=call.progress()))
    return 0
