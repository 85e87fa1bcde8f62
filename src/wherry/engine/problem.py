"""Something that `wherry system check` found."""

from __future__ import annotations

from wherry.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


class Problem(Record):
    """``what`` is one line; ``mend`` with ``arguments`` puts it right, and raises when it cannot; None: nothing can."""

    what: str
    mend: Callable[..., object] | None = None
    arguments: tuple[Any, ...] = ()
