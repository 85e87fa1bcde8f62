"""Times as documents write them (RFC 3339) and as we count them."""

from __future__ import annotations

_ZERO = -62135596800
"""Go's zero time, year 1, as epoch seconds: what Docker makes of a missing time."""


def epoch_seconds(text: str) -> int:
    """Epoch seconds of an RFC 3339 time; Go's zero time for one that is missing or malformed."""
    from datetime import UTC, datetime

    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return _ZERO
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    try:
        return int((moment - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds() // 1)
    except OverflowError:
        return _ZERO


def rfc3339(nanoseconds: int) -> str:
    """A time as Docker writes it, in UTC: ``2023-11-14T22:13:20.123456789Z``; Go's zero time for 0."""
    from datetime import UTC, datetime

    if not nanoseconds:
        return "0001-01-01T00:00:00Z"
    seconds, fraction = divmod(nanoseconds, 1_000_000_000)
    digits = f".{fraction:09d}".rstrip("0").rstrip(".")
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S") + digits + "Z"
