"""`wherry env ls`."""

from __future__ import annotations

from wherry.cli.commands.images import FORMAT
from wherry.cli.parser import Command

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wherry.cli.format import Fields
    from wherry.cli.main import Call
    from wherry.env.listing import Environment

# fmt: off
COMMAND = Command(
    paths=("env ls", "env list"),
    usage="[OPTIONS]",
    summary="List the images that are environments",
    most=0,
    options=(
        ("format", "", "string", "", FORMAT),
        ("no-trunc", "", "bool", "", "Don't truncate output"),
        ("quiet", "q", "bool", "", "Only show image IDs"),
    ),
)
# fmt: on


def main(call: Call) -> int:
    """One line for each name of an image that carries a lock."""
    from wherry.cli import format as lists
    from wherry.env.listing import environments

    whole = call.get("no-trunc", False)
    listing = lists.Listing(
        kind="*formatter.environmentContext",
        headers={
            "Name": "NAME",
            "ID": "IMAGE ID",
            "Python": "PYTHON",
            "Base": "BASE",
            "Packages": "PACKAGES",
            "Architecture": "ARCHITECTURE",
            "Containers": "CONTAINERS",
            "Size": "SIZE",
        },
        table=("Name", "ID", "Python", "Base", "Packages", "Containers", "Size"),
    )
    found = environments(call.engine())
    if call.get("quiet"):
        for one in found:
            print(one.image_id if whole else one.image_id[7:19])
        return 0
    rows = [_fields(one, name, whole=whole) for one in found for name in one.names or ("<none>",)]
    lists.show(listing, rows, call.get("format", ""))
    return 0


def _fields(one: Environment, name: str, *, whole: bool) -> Fields:
    from wherry.cli import units

    return {
        "Name": lambda: name,
        "ID": lambda: one.image_id if whole else one.image_id[7:19],
        "Python": lambda: one.python or "?",
        "Base": lambda: one.base or "?",
        "Packages": lambda: str(one.packages),
        "Architecture": lambda: one.architecture,
        "Containers": lambda: str(one.containers),
        "Size": lambda: units.size(one.size),
    }
