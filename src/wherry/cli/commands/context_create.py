"""`wherry context create`."""

from __future__ import annotations

import sys

from wherry.cli.context_values import DOCKER, store, with_docker
from wherry.cli.parser import Command
from wherry.client.contexts import Context, check_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wherry.cli.main import Call

# fmt: off
COMMAND = Command(
    paths=("context create",),
    usage="[OPTIONS] CONTEXT",
    summary="Create a context",
    description="A context is an engine by name, for **wherry --context** and **wherry context use**. Contexts are "
    "kept where Docker's client keeps them (**~/.docker/contexts**), so both have the same ones.\n\n"
    "**--docker** takes **host=**, **ca=**, **cert=**, **key=** (files, which are copied), **skip-tls-verify=** and "
    "**from=** (another context).",
    least=1,
    most=1,
    options=(
        *DOCKER,
        ("from", "", "string", "", "create context from a named context"),
    ),
    unsupported=(
        ("default-stack-orchestrator", "", "wherry has no stacks"),
        ("kubernetes", "", "wherry speaks to engines only"),
    ),
    example="wherry context create --docker host=ssh://me@far.example far\nwherry --context far ps",
)
# fmt: on


def main(call: Call) -> int:
    """Keeps a context, and prints its name."""
    name, known = call.arguments[0], store(call)
    check_name(name)
    context = Context(name, "")
    if call.get("from"):
        context = known.get(call.values["from"]).replace(name=name)
    if call.get("docker") or not call.get("from"):
        context = with_docker(call, context)
    if "description" in call.values:
        context = context.replace(description=call.values["description"])
    known.put(context, new=True)
    print(name)
    print(f'Successfully created context "{name}"', file=sys.stderr)
    return 0
