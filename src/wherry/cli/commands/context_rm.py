"""`wherry context rm`."""

from __future__ import annotations

from wherry.cli.context_values import store
from wherry.cli.each import each
from wherry.cli.endpoint import current
from wherry.cli.parser import Command
from wherry.client.contexts import DEFAULT
from wherry.errors import Conflict, InvalidArgument, NotFound

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wherry.cli.main import Call

# fmt: off
COMMAND = Command(
    paths=("context rm", "context remove"),
    usage="CONTEXT [CONTEXT...]",
    summary="Remove one or more contexts",
    least=1,
    options=(("force", "f", "bool", "", "Force the removal of a context in use"),),
)
# fmt: on


def main(call: Call) -> int:
    """Forgets contexts; one that cannot be removed does not keep the others."""
    known, force = store(call), call.get("force", False)
    used = current(call.options, call.environ())[0]

    def one(name: str) -> None:
        if name == DEFAULT:
            raise InvalidArgument('context "default" cannot be removed')
        if name in (used, known.current()):
            if not force:
                raise Conflict(f'context "{name}" is in use, set -f flag to force remove')
            known.use(DEFAULT)
        try:
            known.remove(name)
        except NotFound:
            if not force:
                raise

    return each(call.arguments, one)
