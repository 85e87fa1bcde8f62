"""`wherry search`."""

from __future__ import annotations

from wherry.cli.commands.images import filter_pair, filters
from wherry.cli.parser import Command

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wherry.cli.format import Fields
    from wherry.cli.main import Call
    from wherry.registry.search import Result

# fmt: off
COMMAND = Command(
    paths=("search",),
    usage="[OPTIONS] TERM",
    summary="Search Docker Hub for images",
    description="With **HOST[:PORT]/** before the term, that registry's catalogue is searched, where it shows one.",
    least=1,
    most=1,
    options=(
        ("filter", "f", "filter", "", "Filter output based on conditions provided"),
        ("format", "", "string", "", "Pretty-print search using a Go template"),
        ("limit", "", "int", "", "Max number of search results"),
        ("no-trunc", "", "bool", "", "Don't truncate output"),
    ),
    example="wherry search python\nwherry search registry.internal:5000/team",
)
# fmt: on

CHECKS = {"filter": filter_pair}


def main(call: Call) -> int:
    """Lists what was found."""
    from wherry.cli import format as lists
    from wherry.engine.search import search

    limit = call.get("limit", 0) or 25
    found = call.verb(search)(call.arguments[0], limit=limit, filters=filters(call))
    columns = {"Name": "NAME", "Description": "DESCRIPTION", "StarCount": "STARS", "IsOfficial": "OFFICIAL"}
    listing = lists.Listing(kind="*formatter.searchContext", headers=columns, table=tuple(columns))
    lists.show(listing, [_fields(one, call.get("no-trunc", False)) for one in found], call.get("format", ""))
    return 0


def _fields(one: Result, whole: bool) -> Fields:
    short = one.description if whole or len(one.description) <= 45 else one.description[:44] + "…"
    return {
        "Name": lambda: one.name,
        "Description": lambda: short,
        "StarCount": lambda: str(one.stars),
        "IsOfficial": lambda: "[OK]" if one.official else "",
    }
