"""`wherry context update`."""

from __future__ import annotations

import sys

from wherry.cli.context_values import DOCKER, store, with_docker
from wherry.cli.parser import Command
from wherry.client.contexts import check_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wherry.cli.main import Call

# fmt: off
COMMAND = Command(
    paths=("context update",),
    usage="[OPTIONS] CONTEXT",
    summary="Update a context",
    least=1,
    most=1,
    options=DOCKER,
    unsupported=(
        ("default-stack-orchestrator", "", "wherry has no stacks"),
        ("kubernetes", "", "wherry speaks to engines only"),
    ),
    example="wherry context update --description \"the large machine\" far",
)
# fmt: on


def main(call: Call) -> int:
    """Changes a context, and prints its name."""
    name, known = call.arguments[0], store(call)
    check_name(name)
    context = known.get(name)
    if call.get("docker"):
        context = with_docker(call, context)
    if "description" in call.values:
        context = context.replace(description=call.values["description"])
    known.put(context, new=False)
    print(name)
    print(f'Successfully updated context "{name}"', file=sys.stderr)
    return 0
