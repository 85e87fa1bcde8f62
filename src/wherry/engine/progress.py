"""What a person may see of a pull, a load or a save while it goes on.

The words are Docker's, so that what is shown and what scripts look for stays the same: ``Pulling fs layer``,
``Waiting``, ``Downloading``, ``Verifying Checksum``, ``Download complete``, ``Extracting``, ``Pull complete``,
``Already exists``; for a load ``Loading layer`` and ``Loaded``.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol
else:
    Protocol = object


class Progress(Protocol):
    """Told about everything as it happens.  Calls come from several threads, but never two at a time.

    ``item`` is a short layer id, ``status`` one of Docker's words.  Of each item, `start` may come several times, once
    for each status it enters; then `advance` any number of times; `done` exactly once, unless the whole fails.
    """

    def start(self, item: str, status: str) -> None:
        """``item`` is now in ``status``."""

    def advance(self, item: str, current: int, total: int) -> None:
        """So many bytes of ``total`` are done in the present status; ``total`` is 0 when it is not known."""

    def done(self, item: str, status: str) -> None:
        """``item`` has reached its last status."""

    def message(self, text: str) -> None:
        """A line of its own."""


def short(digest: str) -> str:
    """The twelve digits by which Docker shows a layer."""
    return digest.partition(":")[2][:12]


class Silent:
    """Shows nothing."""

    def start(self, item: str, status: str) -> None:
        """Nothing."""

    def advance(self, item: str, current: int, total: int) -> None:
        """Nothing."""

    def done(self, item: str, status: str) -> None:
        """Nothing."""

    def message(self, text: str) -> None:
        """Nothing."""


class OneAtATime:
    """A `Progress` whose calls may come from several threads at once; ``inner`` gets them one by one."""

    def __init__(self, inner: Progress) -> None:
        from _thread import allocate_lock

        self._inner = inner
        self._lock = allocate_lock()

    def start(self, item: str, status: str) -> None:
        with self._lock:
            self._inner.start(item, status)

    def advance(self, item: str, current: int, total: int) -> None:
        with self._lock:
            self._inner.advance(item, current, total)

    def done(self, item: str, status: str) -> None:
        with self._lock:
            self._inner.done(item, status)

    def message(self, text: str) -> None:
        with self._lock:
            self._inner.message(text)
