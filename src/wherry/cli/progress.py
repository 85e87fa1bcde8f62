"""What a pull or load shows: bars on a terminal as Docker has them, plain lines elsewhere, nothing with ``-q``."""

from __future__ import annotations

import os
import sys
import time

from wherry.cli.quote import harmless
from wherry.engine.progress import Silent

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TextIO

    from wherry.engine.progress import Progress

_BAR = 50
_EVERY = 0.1  # seconds between two drawings


def open_progress(*, quiet: bool = False, stream: TextIO | None = None) -> Progress:
    """The way to show progress on ``stream`` (standard output when not given)."""
    stream = stream or sys.stdout
    if quiet:
        return Silent()
    if stream.isatty() and os.environ.get("TERM") != "dumb":
        return Bars(stream)
    return Lines(stream)


class Lines:
    """One line for each thing that happens, for logs and pipes."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._shown: dict[str, str] = {}

    def start(self, item: str, status: str) -> None:
        """A line when the status is new."""
        if item and self._shown.get(item) != status:
            self._shown[item] = status
            if status not in ("Downloading", "Extracting"):
                self.message(f"{item}: {status}")

    def advance(self, item: str, current: int, total: int) -> None:
        """Nothing: a log is not a terminal."""

    def done(self, item: str, status: str) -> None:
        """A line."""
        if item:
            self.message(f"{item}: {status}")

    def message(self, text: str) -> None:
        """A line."""
        self._stream.write(harmless(text) + "\n")
        self._stream.flush()


class Bars:
    """A line for each item, redrawn in place; it takes no more of the terminal than the terminal has.

    Items that no longer fit scroll away when they are done, as with Docker.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._items: dict[str, str] = {}  # what stands on each item's line, in order
        self._status: dict[str, str] = {}
        self._began: dict[str, float] = {}
        self._drawn = 0.0
        self._cursor = 0  # lines between the first item and the cursor

    def start(self, item: str, status: str) -> None:
        """The item's line says so."""
        self._status[item] = status
        self._began[item] = time.monotonic()
        self._put(item, f"{item}: {status} ", now=True)

    def advance(self, item: str, current: int, total: int) -> None:
        """The item's bar grows."""
        status = self._status.get(item, "")
        from wherry.cli.units import size

        if total <= 0:
            figures = size(current, 4)
            bar = ""
        else:
            current = min(current, total)
            figures = f"{size(current, 4)}/{size(total, 4)}"
            bar = self._bar(current, total, self._room(item, status, figures))
        head = f"{item}: {status} " if item else ""
        self._put(item, f"{head}{bar}{figures:>8}", now=current == total)

    def done(self, item: str, status: str) -> None:
        """The item's last words."""
        self._status[item] = status
        self._put(item, f"{item}: {status} ", now=True)

    def message(self, text: str) -> None:
        """A line of its own, above which nothing is redrawn any more."""
        self._flush()
        self._stream.write(harmless(text) + "\n")
        self._stream.flush()
        self._items.clear()
        self._cursor = 0

    def _room(self, item: str, status: str, figures: str) -> int:
        return self._columns() - len(item) - len(status) - len(figures) - 8

    @staticmethod
    def _bar(current: int, total: int, room: int) -> str:
        """``[====>      ]  `` where there is room for it."""
        width = min(_BAR, room)
        if width < 10:
            return ""
        filled = width * current // total
        arrow = ">" if filled < width else ""
        return "[" + "=" * filled + arrow + " " * (width - filled - len(arrow)) + "]  "

    def _columns(self) -> int:
        return self._size()[0]

    def _size(self) -> tuple[int, int]:
        try:
            columns, lines = os.get_terminal_size(self._stream.fileno())
        except OSError:
            return 80, 24
        return columns or 80, lines or 24

    def _put(self, item: str, text: str, *, now: bool) -> None:
        self._items[item] = harmless(text)
        moment = time.monotonic()
        if now or moment - self._drawn >= _EVERY:
            self._drawn = moment
            self._flush()

    def _flush(self) -> None:
        """Draws every line that the terminal still shows."""
        if not self._items:
            return
        columns, lines = self._size()
        texts = list(self._items.values())
        fresh = len(texts) - self._cursor  # lines that were not on the terminal before
        out = ["\n" * fresh]
        visible = min(len(texts), max(1, lines - 1))
        out.append(f"\x1b[{visible}A")
        for text in texts[-visible:]:
            out.append(f"\r\x1b[2K{text[: columns - 1]}\n")
        self._cursor = len(texts)
        self._stream.write("".join(out))
        self._stream.flush()
