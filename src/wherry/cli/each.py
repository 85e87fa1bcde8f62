"""A command over several containers: one that it fails for does not keep the others."""

from __future__ import annotations

from wherry.cli.main import fail
from wherry.errors import WherryError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


def each(names: Sequence[str], function: Callable[[str], int | None]) -> int:
    """Calls ``function`` with each name and prints what it gives, or the name; the exit status."""
    status = 0
    for name in names:
        try:
            result = function(name)
        except WherryError as error:
            status = fail(error)
        else:
            print(name if result is None else result, flush=True)
    return status
