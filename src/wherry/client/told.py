"""What an engine tells while it works, one JSON object a line (moby, ``pkg/jsonmessage``), as a `Progress` shows it."""

from __future__ import annotations

from wherry.client import failures
from wherry.errors import WherryError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from typing import Any

    from wherry.engine.progress import Progress

_LAST = ("Already exists", "Pull complete", "Pushed", "Layer already exists", "Loaded", "Mounted from", "Skipped")
"""How the last status of an item begins."""


def show(
    told: Iterable[Mapping[str, Any]],
    progress: Progress | None,
    *,
    unsaid: tuple[str, ...] = (),
    aux: Callable[[Mapping[str, Any]], None] = lambda _found: None,
) -> Iterator[str]:
    """Show what comes, and give each line that is about no item.

    Lines that begin as in ``unsaid`` are for the caller alone; ``aux`` is called with results.  Raises the error that
    the engine tells of.
    """
    status: dict[str, str] = {}
    for one in told:
        detail = one.get("errorDetail")
        if one.get("error") or detail:
            raise _error(one)
        if isinstance(one.get("aux"), dict):
            aux(one["aux"])
            continue
        text, item = str(one.get("status") or one.get("stream") or "").rstrip("\n"), str(one.get("id") or "")
        if item and "progressDetail" in one:
            if progress is not None:
                _advance(progress, status, item, text, one["progressDetail"] or {})
            continue
        text = f"{item}: {text}" if item else text
        if progress is not None and text and not text.startswith(unsaid or ("\0",)):
            progress.message(text)
        yield text


def _advance(progress: Progress, status: dict[str, str], item: str, text: str, detail: Mapping[str, Any]) -> None:
    if text.startswith(_LAST):
        if status.get(item) != text:
            progress.done(item, text)
    elif status.get(item) != text:
        progress.start(item, text)
    status[item] = text
    if "current" in detail:
        progress.advance(item, int(detail["current"]), int(detail.get("total") or 0))


def _error(one: Mapping[str, Any]) -> WherryError:
    detail = one.get("errorDetail") or {}
    message = str(detail.get("message") or one.get("error"))
    text = message.lower()
    if "unauthorized" in text or "denied" in text or "authentication required" in text:
        return failures.with_status(401, message)
    if "not found" in text or "manifest unknown" in text:
        return failures.with_status(404, message)
    return WherryError(message)
