"""Sizes and times as people read them, in the words of Docker's client (github.com/docker/go-units)."""

from __future__ import annotations

import time

_DECIMAL = ("B", "kB", "MB", "GB", "TB", "PB", "EB", "ZB", "YB")
_BINARY = ("B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB", "ZiB", "YiB")
_MINUTE, _HOUR = 60, 3600


def size(count: float, digits: int = 3) -> str:
    """``187654321`` → ``188MB``: powers of 1000."""
    return _sized(count, 1000.0, _DECIMAL, digits)


def binary_size(count: float) -> str:
    """``2000000000`` → ``1.863GiB``: powers of 1024."""
    return _sized(count, 1024.0, _BINARY, 4)


def _sized(count: float, base: float, units: tuple[str, ...], digits: int) -> str:
    position = 0
    while count >= base and position < len(units) - 1:
        count /= base
        position += 1
    return f"{count:.{digits}g}{units[position]}"


def duration(seconds: float) -> str:
    """``7200`` → ``2 hours``."""
    whole = int(seconds)
    if whole < 1:
        return "Less than a second"
    if whole == 1:
        return "1 second"
    if whole < _MINUTE:
        return f"{whole} seconds"
    minutes = int(seconds / _MINUTE)
    if minutes == 1:
        return "About a minute"
    if minutes < 60:
        return f"{minutes} minutes"
    hours = int(seconds / _HOUR + 0.5)
    if hours == 1:
        return "About an hour"
    for limit, divisor, unit in ((48, 1, "hours"), (24 * 14, 24, "days"), (24 * 60, 168, "weeks")):
        if hours < limit:
            return f"{hours // divisor} {unit}"
    if hours < 24 * 365 * 2:
        return f"{hours // 24 // 30} months"
    return f"{int(seconds / _HOUR) // 24 // 365} years"


def ago(then: float, now: float | None = None) -> str:
    """``2 hours ago``; ``then`` in seconds since the epoch."""
    return duration((time.time() if now is None else now) - then) + " ago"


def local_time(then: float) -> str:
    """``2023-11-14 22:13:20 +0000 UTC``: Go's default form, in the local time zone."""
    moment = time.localtime(then)
    return time.strftime("%Y-%m-%d %H:%M:%S %z %Z", moment)


def rfc3339(then: float) -> str:
    """``2023-11-14T22:13:20Z`` in the local time zone."""
    moment = time.localtime(then)
    zone = time.strftime("%z", moment)
    return time.strftime("%Y-%m-%dT%H:%M:%S", moment) + ("Z" if zone == "+0000" else f"{zone[:3]}:{zone[3:]}")


def ellipsis(text: str, width: int) -> str:
    """At most ``width`` characters, the last of them "…" where something was cut off."""
    if len(text) <= width:
        return text
    return text[:width] if width <= 1 else text[: width - 1] + "…"
