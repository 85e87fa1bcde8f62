"""`wherry manifest rm`."""

from __future__ import annotations

from wherry.cli.parser import Command

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wherry.cli.main import Call

# fmt: off
COMMAND = Command(
    paths=("manifest rm",),
    usage="MANIFEST_LIST [MANIFEST_LIST...]",
    summary="Delete one or more manifest lists from local storage",
    least=1,
)
# fmt: on


def main(call: Call) -> int:
    """Forgets lists; one that is not there does not keep the others."""
    from wherry.cli.several import remove_each
    from wherry.engine.manifests import remove

    engine = call.here()

    def one(name: str) -> tuple[str, ...]:
        remove(engine, name)
        return ()

    return remove_each(call, one)
