"""Trying again: exponential pauses with jitter, bounded in number and in time."""

from __future__ import annotations

import threading
import time

from wherry.errors import Cancelled
from wherry.record import Record
from wherry.registry.failures import Transient


class RetryPolicy(Record):
    """``tries`` in a row without progress; ``budget`` seconds of pauses in a row; ``total`` failures of one download.

    Pauses double from ``first`` to ``longest`` seconds, and each is a random part (a half to the whole) of that.
    """

    tries: int = 5
    budget: float = 120.0
    first: float = 0.5
    longest: float = 20.0
    total: int = 50


class Backoff:
    """The failures of one request or one download so far."""

    def __init__(self, policy: RetryPolicy, stop: threading.Event) -> None:
        self._policy = policy
        self._stop = stop
        self._in_a_row = 0
        self._total = 0
        self._paused = 0.0

    def progressed(self) -> None:
        """Something new arrived: the next failure is the first again."""
        self._in_a_row = 0
        self._paused = 0.0

    def failed(self, error: Transient) -> None:
        """Pauses before the next try.  Raises ``error`` when there shall be none, `Cancelled` when stopped."""
        self._in_a_row += 1
        self._total += 1
        policy = self._policy
        if self._in_a_row >= policy.tries or self._total >= policy.total:
            raise error
        import random  # slow to import, and rarely needed

        ceiling = min(policy.longest, policy.first * 2 ** (self._in_a_row - 1))
        pause = max(error.retry_after, ceiling * random.uniform(0.5, 1.0))
        if self._paused + pause > policy.budget:
            if error.retry_after and not error.hint:
                error.hint = f"the server asks to wait {error.retry_after:.0f} seconds"
            raise error
        self._paused += pause
        if self._stop.wait(pause):
            raise Cancelled("the transfer was stopped")


def retry_after(value: str | None) -> float:
    """Seconds of a ``Retry-After`` header: a number or a date (RFC 9110, 10.2.3); 0 for what is neither."""
    if not value:
        return 0.0
    value = value.strip()
    if value.isascii() and value.isdigit():
        return float(value) if len(value) < 10 else float("inf")
    from email.utils import parsedate_to_datetime  # slow to import, and rarely needed

    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except (ValueError, TypeError, OverflowError, IndexError):
        return 0.0
