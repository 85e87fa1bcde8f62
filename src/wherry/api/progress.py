"""What happens, told as it happens: one JSON object a line, flushed at once (Engine API, *Create an image*)."""

from __future__ import annotations

import json
import time

from aiohttp import web

from wherry.api.errors import text
from wherry.errors import WherryError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from typing import Any

    from wherry.api.spawner import Worker

_EVERY = 0.1  # seconds between two reports of how far one layer is
_BAR = 50


class Told:
    """A `wherry.engine.progress.Progress` whose reports go from a worker to the server, as Docker words them."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self._status: dict[str, str] = {}
        self._last: dict[str, float] = {}

    def start(self, item: str, status: str) -> None:
        """``item`` is now in ``status``."""
        self._status[item] = status
        self._worker.tell({"status": status, "progressDetail": {}, "id": item})

    def advance(self, item: str, current: int, total: int) -> None:
        """Not every time: a client needs no thousand lines a second."""
        now = time.monotonic()
        if now - self._last.get(item, 0.0) < _EVERY:
            return
        self._last[item] = now
        detail = {"current": current} | ({"total": total} if total else {})
        status = self._status.get(item, "")
        self._worker.tell({"status": status, "progressDetail": detail, "progress": _bar(current, total), "id": item})

    def done(self, item: str, status: str) -> None:
        """``item`` is finished."""
        self._worker.tell({"status": status, "progressDetail": {}, "id": item})

    def message(self, text: str) -> None:
        """A line of its own."""
        self._worker.tell({"status": text})


def _bar(current: int, total: int) -> str:
    """Docker's bar (moby, pkg/jsonmessage)."""
    if total <= 0 or current > total:
        return _size(current).rjust(8)
    filled = current * _BAR // total
    arrow = ">" if filled < _BAR else ""
    return f"[{'=' * filled}{arrow}{' ' * (_BAR - filled - len(arrow))}] {_size(current):>8}/{_size(total)}"


def _size(number: float) -> str:
    """go-units: four digits, powers of 1000."""
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if number < 1000 or unit == "TB":
            return f"{number:.4g}{unit}"
        number /= 1000
    return ""


async def respond(request: web.Request, told: AsyncIterator[Any], *, at_once: bool = False) -> web.StreamResponse:
    """The answer: a status of its own for what fails before anything was told, a last line for what fails later, and
    with ``at_once`` for everything.

    Telling None sends the head of the answer and no line.
    """
    response = web.StreamResponse(headers={"Content-Type": "application/json"})
    if at_once:
        await response.prepare(request)
    try:
        async for one in told:
            if not response.prepared:
                await response.prepare(request)
            if one is not None:
                await response.write(json.dumps(one).encode() + b"\r\n")
    except WherryError as error:
        if not response.prepared:
            raise
        message = text(error)
        await response.write(json.dumps({"errorDetail": {"message": message}, "error": message}).encode() + b"\r\n")
    if not response.prepared:
        await response.prepare(request)
    return response
