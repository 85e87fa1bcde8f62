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
    from wherry.engine.engine import Engine

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
        self._engine: Engine = call.engine()
        self._names = call.arguments
        self._everything = call.get("all", False)
        self._whole = call.get("no-trunc", False)
        self._format = call.get("format", "")
        self._before: dict[str, dict[str, Any]] = {}
        self._now: dict[str, tuple[str, dict[str, Any] | None]] = {}
        self._known: dict[str, str] = {}

    def read(self) -> None:
        """Take a reading of each.  Raises `NotFound` for a name that never was a container's."""
        from wherry.engine.stats import read, with_rates

        found: dict[str, tuple[str, dict[str, Any] | None]] = {}
        for asked, row in self._rows():
            if row is None:
                found[asked] = (asked, None)
                continue
            now = read(self._engine, row)
            found[row.id] = (asked, with_rates(self._before.get(row.id), now))
            self._before[row.id] = now
        self._now = found

    def _rows(self) -> list[tuple[str, Any]]:
        from wherry.engine.containers import ALIVE, find, list_containers
        from wherry.errors import NotFound

        if not self._names:
            rows = list_containers(self._engine)
            return [(row.id[:12], row) for row in rows if self._everything or row.status in ALIVE]
        found: list[tuple[str, Any]] = []
        for name in self._names:
            try:
                row = find(self._engine, self._known.get(name, name))
                self._known[name] = row.id
            except NotFound:
                if name not in self._known:
                    raise
                row = None  # it has been removed since
            found.append((name, row))
        return found

    def text(self) -> str:
        """The table, or what ``--format`` makes of it."""
        from wherry.cli.format import render, visible
        from wherry.cli.stats_list import LISTING, fields

        rows = [fields(asked, document, whole=self._whole) for asked, document in self._now.values()]
        text = render(LISTING, rows, self._format)
        return visible(text) if sys.stdout.isatty() else text
