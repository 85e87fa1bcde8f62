"""`wherry history`."""

from __future__ import annotations

from wherry.cli.commands.images import FORMAT
from wherry.cli.parser import Command

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wherry.cli.format import Fields
    from wherry.cli.main import Call
    from wherry.engine.images import Step

# fmt: off
COMMAND = Command(
    paths=("image history", "history"),
    usage="[OPTIONS] IMAGE",
    summary="Show the history of an image",
    least=1,
    most=1,
    options=(
        ("format", "", "string", "", FORMAT),
        ("human", "H", "bool", "true", "Print sizes and dates in human readable format"),
        ("no-trunc", "", "bool", "", "Don't truncate output"),
        ("quiet", "q", "bool", "", "Only show image IDs"),
    ),
    unsupported=(("platform", "", "this version keeps one platform of an image"),),
)
# fmt: on


def main(call: Call) -> int:
    """Lists the steps that made an image, the newest first."""
    from wherry.cli import format as lists
    from wherry.engine.images import history

    human, whole = call.get("human", True), call.get("no-trunc", False)
    listing = lists.Listing(
        kind="*formatter.historyContext",
        headers={
            "ID": "IMAGE",
            "CreatedSince": "CREATED",
            "CreatedAt": "CREATED AT",
            "CreatedBy": "CREATED BY",
            "Size": "SIZE",
            "Comment": "COMMENT",
        },
        table=("ID", "CreatedSince" if human else "CreatedAt", "CreatedBy", "Size", "Comment"),
    )
    rows = [_fields(step, human=human, whole=whole) for step in call.verb(history)(call.arguments[0])]
    lists.show(listing, rows, "{{.ID}}" if call.get("quiet") else call.get("format", ""))
    return 0


def _fields(step: Step, *, human: bool, whole: bool) -> Fields:
    from wherry.cli import units

    created_by = step.created_by.replace("\t", " ")
    identity = step.id if whole or step.id == "<missing>" else step.id.partition(":")[2][:12]
    return {
        "ID": lambda: identity,
        "CreatedSince": lambda: units.ago(step.created) if human else units.rfc3339(step.created),
        "CreatedAt": lambda: units.rfc3339(step.created),
        "CreatedBy": lambda: created_by if whole else units.ellipsis(created_by, 45),
        "Size": lambda: units.size(step.size) if human else str(step.size),
        "Comment": lambda: step.comment,
    }
