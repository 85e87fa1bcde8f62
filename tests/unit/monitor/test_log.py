"""The json-file log: lines, pieces of long lines, times, bytes that are not UTF-8, a disk that is full."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest

from wherry.monitor.log import LINE_LIMIT, JSONFileLog


def read(path: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_pieces_of_lines_are_joined_and_streams_kept_apart(tmp_path: Path) -> None:
    log = JSONFileLog(str(tmp_path / "log"))
    log.write("stdout", b"one\ntw")
    log.write("stderr", b"err")
    log.write("stdout", b"o\nrest")
    log.close()
    entries = read(tmp_path / "log")
    assert [(entry["stream"], entry["log"]) for entry in entries] == [
        ("stdout", "one\n"),
        ("stdout", "two\n"),
        ("stdout", "rest"),
        ("stderr", "err"),
    ]
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{1,9}Z", entry["time"]) for entry in entries)


def test_a_long_line_is_written_in_pieces_and_nothing_is_lost(tmp_path: Path) -> None:
    log = JSONFileLog(str(tmp_path / "log"))
    text = bytes(range(32, 127)) * 1000 + b"\n"
    for start in range(0, len(text), 5000):
        log.write("stdout", text[start : start + 5000])
    log.close()
    pieces = [entry["log"] for entry in read(tmp_path / "log")]
    assert "".join(pieces).encode() == text
    assert max(map(len, pieces)) <= LINE_LIMIT
    assert all(not piece.endswith("\n") for piece in pieces[:-1])


def test_bytes_that_are_not_utf8_are_replaced(tmp_path: Path) -> None:
    log = JSONFileLog(str(tmp_path / "log"))
    log.write("stdout", b"\xff\x00\x1b[31m\n")
    log.close()
    assert read(tmp_path / "log")[0]["log"] == "�\0\x1b[31m\n"


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full")
def test_a_full_disk_is_counted_not_raised() -> None:
    log = JSONFileLog("/dev/full")
    log.write("stdout", b"a\nb\n")
    log.close()
    assert log.file.lost == 2
