"""Reading a log from any place, while it is written, across rotation, and with what a full disk left in it."""

from __future__ import annotations

import gzip
import os
import shutil
from pathlib import Path

import pytest

from wherry.monitor.log import JSONFileLog
from wherry.monitor.log_reader import LogReader, files
from wherry.monitor.log_records import normal, parse_json
from wherry.monitor.log_rotation import compress, shift


def write(path: Path, *lines: int | str) -> None:
    log = JSONFileLog(str(path))
    for line in lines:
        log.write("stdout", f"{line}\n".encode())
    log.close()


def texts(reader: LogReader) -> list[str]:
    return [entry.text.decode().rstrip("\n") for entries in reader.read() for entry in entries]


def test_from_the_beginning_and_on(tmp_path: Path) -> None:
    path = tmp_path / "log"
    reader = LogReader(str(path))
    assert texts(reader) == []  # it is not there yet
    write(path, 1, 2)
    assert texts(reader) == ["1", "2"]
    assert texts(reader) == []
    write(path, 3)
    assert texts(reader) == ["3"]
    reader.close()


@pytest.mark.parametrize("tail", [0, 1, 4, 5, 9, 100])
def test_the_last_lines_of_several_files(tmp_path: Path, tail: int) -> None:
    path = tmp_path / "log"
    write(tmp_path / "older", 1, 2, 3)
    (tmp_path / "log.2.gz").write_bytes(gzip.compress((tmp_path / "older").read_bytes()))
    write(tmp_path / "log.1", 4, 5, 6)
    write(path, 7, 8, 9, 10)
    everything = [str(number) for number in range(1, 11)]
    assert [os.path.basename(name) for name in files(str(path))] == ["log.2.gz", "log.1", "log"]
    assert texts(LogReader(str(path))) == everything
    reader = LogReader(str(path), tail)
    assert texts(reader) == (everything[-tail:] if tail else [])
    write(path, 11)
    assert texts(reader) == ["11"]


def test_rotation_while_reading(tmp_path: Path) -> None:
    path = tmp_path / "log"
    write(path, 1)
    reader = LogReader(str(path))
    assert texts(reader) == ["1"]
    write(path, 2)
    path.rename(tmp_path / "log.1")
    write(path, 3)
    assert texts(reader) == ["2", "3"]
    (tmp_path / "log.1").rename(tmp_path / "log.2")  # twice between two reads
    path.rename(tmp_path / "log.1")
    write(tmp_path / "log.1", 4)
    write(path, 5)
    assert texts(reader) == ["4", "5"]


def test_rotation_that_compresses_while_reading(tmp_path: Path) -> None:
    path = tmp_path / "log"
    write(path, 1)
    reader = LogReader(str(path))
    assert texts(reader) == ["1"]
    write(path, 2)
    for number in (3, 4):
        shift(str(path), 5)
        compress(f"{path}.1")
        write(path, number)
    assert [os.path.basename(name) for name in files(str(path))] == ["log.2.gz", "log.1.gz", "log"]
    assert gzip.decompress((tmp_path / "log.1.gz").read_bytes()).count(b"\n") == 1
    assert texts(reader) == ["2", "3", "4"]
    assert texts(LogReader(str(path))) == ["1", "2", "3", "4"]


def test_a_log_that_is_cut(tmp_path: Path) -> None:
    path = tmp_path / "log"
    write(path, 1, 2, 3)
    reader = LogReader(str(path))
    assert len(texts(reader)) == 3
    os.truncate(path, 0)
    write(path, 4)
    assert texts(reader) == ["4"]


def test_half_a_line_waits_for_its_end_and_nonsense_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "log"
    write(tmp_path / "whole", "one", "two")
    whole = (tmp_path / "whole").read_bytes()
    path.write_bytes(whole[:-20])
    reader = LogReader(str(path))
    assert texts(reader) == ["one"]
    with path.open("ab") as file:
        file.write(whole[-20:] + b'{"log":"cut{"log":"three\n[]\n{}\n\xff\n')
    assert texts(reader) == ["two"]


def test_a_line_without_end_does_not_fill_the_memory(tmp_path: Path) -> None:
    path = tmp_path / "log"
    with path.open("wb") as file:
        for _ in range(50):
            file.write(b"x" * 100_000)
    reader = LogReader(str(path))
    assert texts(reader) == []
    assert len(reader._rest) <= 1 << 20


def test_entries() -> None:
    entry = parse_json(b'{"log":"a\\n","stream":"stderr","attrs":{"b":"c d","a":"e"},"time":"2026-01-02T03:04:05.5Z"}')
    assert entry is not None
    assert (entry.text, entry.stream, entry.details) == (b"a\n", "stderr", "a=e,b=c+d")
    assert entry.time == "2026-01-02T03:04:05.500000000Z"
    assert normal("2026-01-02T03:04:05Z") == "2026-01-02T03:04:05.000000000Z"


def test_logs_of_others_are_not_followed_through_links(tmp_path: Path) -> None:
    write(tmp_path / "secret", 1)
    (tmp_path / "log").symlink_to(tmp_path / "secret")
    with pytest.raises(OSError, match="symbolic"):
        texts(LogReader(str(tmp_path / "log")))
    shutil.rmtree(tmp_path)
