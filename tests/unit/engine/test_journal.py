"""What journalctl shows, as entries of a log."""

from __future__ import annotations

from typing import Any

import pytest

from wherry.engine.journal import entry_of

COMMON = {"PRIORITY": "6", "__REALTIME_TIMESTAMP": "1700000000123456", "_UID": "0", "CONTAINER_NAME": "x"}


@pytest.mark.parametrize(
    ("fields", "text", "stream", "time"),
    [
        ({"MESSAGE": "é"}, "é\n".encode(), "stdout", "2023-11-14T22:13:20.123456000Z"),
        ({"MESSAGE": [255, 97]}, b"\xffa\n", "stdout", "2023-11-14T22:13:20.123456000Z"),
        ({"MESSAGE": ["one", "two"]}, b"one\n", "stdout", "2023-11-14T22:13:20.123456000Z"),
        ({"MESSAGE": "x", "PRIORITY": "3"}, b"x\n", "stderr", "2023-11-14T22:13:20.123456000Z"),
        (
            {"MESSAGE": "x", "CONTAINER_PARTIAL_MESSAGE": "true", "SYSLOG_TIMESTAMP": "2023-11-14T22:13:20.5Z"},
            b"x",
            "stdout",
            "2023-11-14T22:13:20.500000000Z",
        ),
    ],
)
def test_entries(fields: dict[str, Any], text: bytes, stream: str, time: str) -> None:
    entry = entry_of({**COMMON, **fields})
    assert entry is not None
    assert (entry.text, entry.stream, entry.time, entry.attributes) == (text, stream, time, {})


def test_what_was_chosen_is_an_attribute() -> None:
    entry = entry_of({**COMMON, "MESSAGE": "x", "A": "b", "CONTAINER_TAG": "t", "_COMM": "c"})
    assert entry is not None
    assert entry.attributes == {"A": "b"}


def test_no_message() -> None:
    assert entry_of(COMMON) is None
    assert entry_of({**COMMON, "MESSAGE": None}) is None
