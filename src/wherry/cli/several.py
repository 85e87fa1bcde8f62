"""Commands that remove several things, one after another."""

from __future__ import annotations

import sys

from wherry.cli.main import fail
from wherry.errors import NotFound, WherryError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from wherry.cli.main import Call


def remove_each(call: Call, remove: Callable[[str], Iterable[str]]) -> int:
    """``remove`` each argument and print the lines that it gives back; the exit status.

    One that cannot be removed does not keep the others.  With ``--force``, what is not there is no failure.
    """
    status = 0
    for name in call.arguments:
        try:
            lines = remove(name)
        except WherryError as error:
            if isinstance(error, NotFound) and call.get("force", False):
                print(error.message, file=sys.stderr)
            else:
                status = fail(error)
        else:
            for line in lines:
                print(line)
    return status
