"""`wherry stats`."""

from __future__ import annotations

import sys
import time

from wherry.cli.commands.images import FORMAT
from wherry.cli.parser import Command

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from wherry.cli.main import Call

# fmt: off
COMMAND = Command(
    paths=("container stats", "stats"),
    usage="[OPTIONS] [CONTAINER...]",
    summary="Display a live stream of container(s) resource usage statistics",
    description="100 % of CPU is one processor. Memory is without the page cache that could be dropped at once. Of a "
    "container on the host's network the traffic is not counted.",
    options=(
        ("all", "a", "bool", "", "Show all containers (default shows just running)"),
        ("format", "", "string", "", FORMAT),
        ("no-stream", "", "bool", "", "Disable streaming stats and only pull the first result"),
        ("no-trunc", "", "bool", "", "Do not truncate output"),
    ),
)
# fmt: on

_HOME, _TO_END_OF_LINE, _BELOW = "\033[H", "\033[K", "\033[J"


def main(call: Call) -> int:
    """Prints a table once, or again and again in the same place."""
    from wherry.engine.stats import INTERVAL

    live = not call.get("no-stream")
    board = _Board(call)
    board.read()
    while live:
        _draw(board.text())
        time.sleep(INTERVAL)
        board.read()
    time.sleep(INTERVAL)
    board.read()
    sys.stdout.write(board.text())
    return 0


def _draw(text: str) -> None:
    """Over what is on the screen, as Docker's client does."""
    lines = "".join([f"{line}{_TO_END_OF_LINE}\n" for line in text.split("\n")])
    sys.stdout.write(f"{_HOME}{lines}{_BELOW}")
    sys.stdout.flush()


class _Board:
    """The containers that are watched: those that were named, or all that there are, and their last two readings."""

    def __init__(self, call: Call) -> None:
        from wherry.engine.stats import reading, watched

        self._read = call.verb(reading)
        self._watched = call.verb(watched)
        self._names = call.arguments
        self._everything = call.get("all", False)
        self._whole = call.get("no-trunc", False)
        self._format = call.get("format", "")
        self._before: dict[str, dict[str, Any]] = {}
        self._now: list[tuple[str, dict[str, Any] | None]] = []
        self._known: dict[str, str] = {}

    def read(self) -> None:
        """Take a reading of each.  Raises `NotFound` for a name that never was a container's."""
        from wherry.engine.stats import with_rates
        from wherry.errors import NotFound

        found: list[tuple[str, dict[str, Any] | None]] = []
        for asked in self._names or self._watched(everything=self._everything):
            try:
                now = self._read(self._known.get(asked, asked))
            except NotFound:
                if not self._names:
                    continue
                if asked not in self._known:
                    raise
                found.append((asked, None))  # it has been removed since
                continue
            identity = self._known[asked] = now["id"]
            found.append((asked if self._names else identity[:12], with_rates(self._before.get(identity), now)))
            self._before[identity] = now
        self._now = found

    def text(self) -> str:
        """The table, or what ``--format`` makes of it."""
        from wherry.cli.format import render, visible
        from wherry.cli.stats_list import LISTING, fields

        rows = [fields(asked, document, whole=self._whole) for asked, document in self._now]
        text = render(LISTING, rows, self._format)
        return visible(text) if sys.stdout.isatty() else text
