"""`wherry help`: the pages of `wherry.cli.help`."""

from __future__ import annotations

from wherry.cli.parser import Command

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wherry.cli.main import Call

COMMAND = Command(paths=("help",), usage="[COMMAND]", summary="Help about the command")


def main(call: Call) -> int:
    """Prints a help page."""
    from wherry.cli.help import print_help

    return print_help(call.arguments)
