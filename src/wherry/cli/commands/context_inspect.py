"""`wherry context inspect`."""

from __future__ import annotations

from wherry.cli.commands.image_inspect import FORMAT
from wherry.cli.context_values import store
from wherry.cli.endpoint import current
from wherry.cli.parser import Command
from wherry.client.contexts import DEFAULT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from wherry.cli.main import Call

# fmt: off
COMMAND = Command(
    paths=("context inspect",),
    usage="[OPTIONS] [CONTEXT] [CONTEXT...]",
    summary="Display detailed information on one or more contexts",
    options=(("format", "f", "string", "", FORMAT),),
)
# fmt: on


def main(call: Call) -> int:
    """Prints contexts as Docker's client does; without names, the one in use."""
    from wherry.cli.inspection import show

    known = store(call)

    def find(name: str) -> dict[str, Any]:
        if name == DEFAULT:
            endpoint = {"Host": call.environ().get("DOCKER_HOST", ""), "SkipTLSVerify": False}
            memory = {"MetadataPath": "<IN MEMORY>", "TLSPath": "<IN MEMORY>"}
            return {
                "Name": DEFAULT, "Metadata": {}, "Endpoints": {"docker": endpoint}, "TLSMaterial": {},
                "Storage": memory,
            }  # fmt: skip
        context, (meta, tls) = known.get(name), known.paths(name)
        files = {"docker": [file for file, _content in context.tls]} if context.tls else {}
        storage = {"MetadataPath": meta, "TLSPath": tls}
        return {**context.document(), "TLSMaterial": files, "Storage": storage}

    names = call.arguments or [current(call.options, call.environ())[0]]
    return show(names, find, call.get("format", ""))
