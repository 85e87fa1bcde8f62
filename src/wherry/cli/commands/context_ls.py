"""`wherry context ls`."""

from __future__ import annotations

from wherry.cli.commands.images import FORMAT
from wherry.cli.context_values import store, warn_of_host
from wherry.cli.endpoint import current
from wherry.cli.parser import Command
from wherry.client.contexts import DEFAULT, Context
from wherry.errors import WherryError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wherry.cli.format import Fields
    from wherry.cli.main import Call

# fmt: off
COMMAND = Command(
    paths=("context ls", "context list"),
    usage="[OPTIONS]",
    summary="List contexts",
    most=0,
    options=(
        ("format", "", "string", "", FORMAT),
        ("quiet", "q", "bool", "", "Only show context names"),
    ),
)
# fmt: on


def main(call: Call) -> int:
    """Lists contexts, with a star at the one in use."""
    from wherry.cli import format as lists

    known, used = store(call), current(call.options, call.environ())[0]
    host = call.environ().get("DOCKER_HOST", "")
    own = "Current DOCKER_HOST based configuration" if host else "This machine's own engine, without a daemon"
    found = [(Context(DEFAULT, host, own), "")]
    for name in known.names():
        try:
            found.append((known.get(name), ""))
        except WherryError as error:
            found.append((Context(name, ""), error.message))
    if used != DEFAULT and not known.has(used):
        found.append((Context(used, ""), f'context "{used}": context not found'))
    found.sort(key=lambda one: one[0].name)
    columns = {"Name": "NAME", "Description": "DESCRIPTION", "DockerEndpoint": "DOCKER ENDPOINT", "Error": "ERROR"}
    listing = lists.Listing(
        kind="*formatter.clientContextContext", headers=columns | {"Current": "CURRENT"}, table=tuple(columns)
    )
    form, quiet = call.get("format", ""), call.get("quiet", False)
    starred = form in ("", "table") and not quiet
    rows = [_fields(one, problem, one.name == used, starred) for one, problem in found]
    lists.show(listing, rows, "{{.Name}}" if quiet else form)
    if not quiet and used == DEFAULT:
        warn_of_host(call)
    return 0


def _fields(context: Context, problem: str, current: bool, starred: bool) -> Fields:
    return {
        "Name": lambda: f"{context.name} *" if current and starred else context.name,
        "Description": lambda: context.description,
        "DockerEndpoint": lambda: context.host,
        "Error": lambda: problem,
        "Current": lambda: current,
    }
