"""``_sqlite3``, the C half of ``sqlite3``, without the Python modules that it would import.

``sqlite3`` is ``_sqlite3`` and what makes types of dates, which imports ``datetime``.  ``_sqlite3`` itself asks
``functools`` for `lru_cache`, its cache of statements, and so imports ``functools``, ``collections``, ``operator`` and
more: 4 ms for a function whose C half is in ``_functools`` anyway.  While ``_sqlite3`` initialises, a module with that
one function stands in for ``functools`` (docs/decisions/0013-sqlite.md).
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable
    from typing import Any

__all__ = ["sqlite3"]


def _lru_cache(maxsize: int) -> Callable[[Callable[..., Any]], Any]:
    """What ``functools.lru_cache(maxsize)`` gives for a function without keyword arguments of mixed types."""
    from _functools import _lru_cache_wrapper  # type: ignore[import-not-found]

    return lambda function: _lru_cache_wrapper(function, maxsize, False, _cache_info)


def _cache_info(*figures: int) -> tuple[int, ...]:
    return figures


def _load() -> Any:
    if "functools" in sys.modules or "_sqlite3" in sys.modules:
        import _sqlite3

        return _sqlite3
    stand_in = type(sys)("functools")
    stand_in.lru_cache = _lru_cache  # type: ignore[attr-defined]
    sys.modules["functools"] = stand_in
    try:
        import _sqlite3
    finally:
        del sys.modules["functools"]
    return _sqlite3


if not TYPE_CHECKING:
    try:
        sqlite3 = _load()
    except ImportError:  # not CPython, or another CPython than those known
        import sqlite3
