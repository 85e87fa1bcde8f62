"""Times as `logs --since` and `container prune --filter until=` take them."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from wherry.engine.logs import timestamp
from wherry.errors import InvalidArgument

SECOND = 10**9


@pytest.fixture(autouse=True)
def zone(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Two hours east of UTC, at a known moment."""
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "XXX-2")
        time.tzset()
        patch.setattr(time, "time_ns", lambda: 1_000_000 * SECOND)
        yield
    time.tzset()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", 0),
        ("0", 0),
        ("1136073600", 1136073600 * SECOND),
        ("1136073600.000000001", 1136073600 * SECOND + 1),
        ("1136073600.5", 1136073600 * SECOND + SECOND // 2),
        ("10m", (1_000_000 - 600) * SECOND),
        ("1h30m", (1_000_000 - 5400) * SECOND),
        ("2006-01-02T15:04:05Z", 1136214245 * SECOND),
        ("2006-01-02T15:04:05.000000007Z", 1136214245 * SECOND + 7),
        ("2006-01-02T15:04:05+07:00", (1136214245 - 7 * 3600) * SECOND),
        ("2006-01-02T15:04:05", (1136214245 - 2 * 3600) * SECOND),
        ("2006-01-02T15:04", (1136214240 - 2 * 3600) * SECOND),
        ("2006-01-02T15", (1136214000 - 2 * 3600) * SECOND),
        ("2006-01-02", (1136160000 - 2 * 3600) * SECOND),
    ],
)
def test_a_time(text: str, expected: int) -> None:
    assert timestamp(text, "since") == expected


@pytest.mark.parametrize("text", ["yesterday", "2006-13-01", "1.x", "x", "2006-01-02T15:04:05.Z", "10 m"])
def test_what_is_none(text: str) -> None:
    with pytest.raises(InvalidArgument, match='invalid value for "until": failed to parse value as time or duration'):
        timestamp(text, "until")
