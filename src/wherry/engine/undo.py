"""Taking back what was made when a later step fails: ``contextlib.ExitStack`` without its start-up cost
(docs/decisions/0073-undo.md)."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import Any, Self


class Undo:
    """``with Undo() as undo:`` calls what was given to `callback` in reverse order when the block ends, unless
    `keep` was called: then everything stays.

    One callback that fails does not keep the others from being called; the first such error is raised when the
    block itself did not raise.
    """

    def __init__(self) -> None:
        self._steps: list[tuple[Callable[..., object], tuple[Any, ...]]] = []

    def callback(self, function: Callable[..., object], *arguments: Any) -> None:
        """Call ``function`` with ``arguments`` at the end of the block."""
        self._steps.append((function, arguments))

    def keep(self) -> None:
        """Nothing is taken back."""
        self._steps.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        failure: BaseException | None = None
        while self._steps:
            function, arguments = self._steps.pop()
            try:
                function(*arguments)
            except Exception as problem:
                failure = failure or problem
        if failure is not None and error is None:
            raise failure
