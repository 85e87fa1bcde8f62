"""The json-file log: lines, pieces of long lines, times, bytes that are not UTF-8, a disk that is full."""

from __future__ import annotations

import gzip
import json
import os
import random
import re
import resource
import signal
from pathlib import Path

import pytest

from wherry.monitor.log import LINE_LIMIT, JSONFileLog
from wherry.monitor.log_file import lost_lines


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


def test_what_is_written_is_what_docker_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As docker 20.10 writes it, seen with the same output and options."""
    moments = iter((1_767_225_600_120_000_000, 1_767_225_601_000_000_000))
    monkeypatch.setattr("time.time_ns", lambda: next(moments))
    log = JSONFileLog(str(tmp_path / "log"), attributes={"x": 'q<"', "A": "b"})
    log.write("stdout", b'a\tb\x1b[31m<&>"\\\n\xffx\xe2\x80\xa8\xc3\xa9\n')
    log.write("stderr", b"\xe2\x80\r\n")
    attributes = r'"attrs":{"A":"b","x":"q\u003c\""}'
    assert (tmp_path / "log").read_text().splitlines() == [
        rf'{{"log":"a\u0009b\u001b[31m\u003c\u0026\u003e\"\\\n","stream":"stdout",{attributes},"time":"2026-01-01T00:00:00.12Z"}}',
        rf'{{"log":"\ufffdx\u2028é\n","stream":"stdout",{attributes},"time":"2026-01-01T00:00:00.12Z"}}',
        rf'{{"log":"\ufffd\ufffd\r\n","stream":"stderr",{attributes},"time":"2026-01-01T00:00:01Z"}}',
    ]


@pytest.mark.parametrize("block", [1, 7, 1000, 16384, 16385, 1 << 20])
def test_all_bytes_come_back_whatever_the_pieces(tmp_path: Path, block: int) -> None:
    generator = random.Random(block)
    text = "".join(
        chr(generator.choice((10, 34, 92, 60, 9, 233, 0x2028, 0x1F600, 65))) * generator.choice((1, 3, 20000))
        for _ in range(40)
    ).encode()
    log = JSONFileLog(str(tmp_path / "log"))
    for start in range(0, len(text), block):
        log.write("stdout", text[start : start + block])
    log.close()
    entries = read(tmp_path / "log")
    pieces = [entry["log"] for entry in entries]
    assert sum(piece.endswith("\n") for piece in pieces) == text.count(b"\n")
    joined = "".join(pieces)
    assert len(joined.replace("\ufffd", "")) >= len(text.decode()) - 4 * len(pieces)  # a character may be cut in two
    assert joined.count("\n") == text.count(b"\n")


def test_pieces_of_one_line_have_one_time(tmp_path: Path) -> None:
    log = JSONFileLog(str(tmp_path / "log"))
    log.write("stdout", b"x" * LINE_LIMIT)
    log.write("stderr", b"between\n")
    log.write("stdout", b"x" * LINE_LIMIT + b"\nnext\n")
    first, between, second, last, following = read(tmp_path / "log")
    assert first["time"] == second["time"] == last["time"] != following["time"]
    assert (last["log"], following["log"], between["log"]) == ("\n", "next\n", "between\n")


def test_the_file_is_rotated_at_the_record_that_fills_it(tmp_path: Path) -> None:
    log = JSONFileLog(str(tmp_path / "log"), max_size=200, max_files=3)
    log.write("stdout", b"".join(b"%d\n" % number for number in range(20)))
    log.write("stdout", b"20\n")
    log.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["log", "log.1", "log.2"]
    seen = [entry["log"] for name in ("log.2", "log.1", "log") for entry in read(tmp_path / name)]
    assert seen == [f"{number}\n" for number in range(21)][-len(seen) :]
    for name in ("log.1", "log.2"):
        content = (tmp_path / name).read_bytes()
        assert len(content) >= 200 > len(content) - len(content.splitlines()[-1]) - 1


def test_rotation_with_one_file_begins_anew(tmp_path: Path) -> None:
    log = JSONFileLog(str(tmp_path / "log"), max_size=100)
    for number in range(10):
        log.write("stdout", b"%d\n" % number)
    log.close()
    assert [path.name for path in tmp_path.iterdir()] == ["log"]
    assert read(tmp_path / "log")[-1]["log"] == "9\n"
    assert len(read(tmp_path / "log")) <= 2


def test_rotated_files_are_compressed(tmp_path: Path) -> None:
    log = JSONFileLog(str(tmp_path / "log"), max_size=1000, max_files=4, compress=True)
    for number in range(100):
        log.write("stdout", b"%d\n" % number)
    log.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["log", "log.1.gz", "log.2.gz", "log.3.gz"]
    content = b"".join(gzip.decompress((tmp_path / f"log.{number}.gz").read_bytes()) for number in (3, 2, 1))
    content += (tmp_path / "log").read_bytes()
    seen = [json.loads(line)["log"] for line in content.splitlines()]
    assert seen == [f"{number}\n" for number in range(100)][-len(seen) :]


def full(path: Path) -> JSONFileLog:
    """A log on a disk that takes nothing from now on."""
    log = JSONFileLog(str(path))
    log.write("stdout", b"before\n")
    log.file.room = os.dup(log.file.fd)  # type: ignore[attr-defined]
    device = os.open("/dev/full", os.O_WRONLY)
    os.dup2(device, log.file.fd)
    os.close(device)
    return log


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full")
def test_what_a_full_disk_does_not_take_is_counted_and_told(tmp_path: Path) -> None:
    log = full(tmp_path / "log")
    log.write("stdout", b"a\nb\n")
    log.write("stderr", b"c\n")
    assert log.file.lost == 3
    os.dup2(log.file.room, log.file.fd)  # type: ignore[attr-defined]
    log.write("stdout", b"after\n")
    log.close()
    assert [(entry["stream"], entry["log"]) for entry in read(tmp_path / "log")] == [
        ("stdout", "before\n"),
        ("stderr", "wherry: 3 lines were not logged: no space left on device\n"),
        ("stdout", "after\n"),
    ]
    assert lost_lines(str(tmp_path / "log")) == 3
    assert JSONFileLog(str(tmp_path / "log")).file.lost == 3  # when the container is started again


@pytest.mark.parametrize("damage", [b"", b"\0" * 4096, b'{"log":"x'])
def test_the_end_that_a_power_failure_leaves_is_no_record(tmp_path: Path, damage: bytes) -> None:
    """What is logged next is not taken for a part of it."""
    path = tmp_path / "log"
    log = JSONFileLog(str(path))
    log.write("stdout", b"first\nsecond\n")
    log.close()
    if damage:
        path.write_bytes(path.read_bytes() + damage)
    else:
        os.truncate(path, path.stat().st_size - 1)
    log = JSONFileLog(str(path))
    log.write("stdout", b"after\n")
    log.close()
    kept = ["first\n", "second\n"] if damage else ["first\n"]
    told = "wherry: 1 line was not logged: its record was incomplete\n"
    assert [entry["log"] for entry in read(path)] == [*kept, told, "after\n"]
    os.truncate(path, 3)
    JSONFileLog(str(path)).close()
    assert [entry["log"] for entry in read(path)] == [told]


def test_a_record_that_did_not_fit_is_taken_back(tmp_path: Path) -> None:
    """A file system with room for a part of what is written: a limit on the file's size is one."""
    path = tmp_path / "log"
    log = JSONFileLog(str(path))
    log.write("stdout", b"first\n")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size * 3 + 10, before[1]))
    try:
        log.write("stdout", b"again\n" * 5)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    log.write("stdout", b"after\n")
    log.close()
    told = "wherry: 3 lines were not logged: file too large\n"
    assert [entry["log"] for entry in read(path)] == ["first\n", "again\n", "again\n", told, "after\n"]
    assert log.file.lost == 3
