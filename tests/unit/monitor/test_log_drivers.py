"""The local and journald drivers, and the buffer of mode=non-blocking."""

from __future__ import annotations

import array
import os
import re
import signal
import socket
import threading
import time
from pathlib import Path

import pytest

from wherry.errors import WherryError
from wherry.monitor.log import LINE_LIMIT, open_log
from wherry.monitor.log_buffer import BufferedLog
from wherry.monitor.log_file import lost_lines
from wherry.monitor.log_journald import JournaldLog, field
from wherry.monitor.log_local import LocalLog, varint
from wherry.monitor.log_reader import LogReader
from wherry.monitor.log_records import parse_local


def local(path: Path, **options: object) -> LocalLog:
    return LocalLog(str(path), **({"max_size": 1 << 20, "max_files": 5, "compress": True} | options))  # type: ignore[arg-type]


def texts(reader: LogReader) -> list[bytes]:
    return [entry.text for entries in reader.read() for entry in entries]


def test_the_local_format_is_dockers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The bytes of moby's LogEntry, worked out by hand."""
    monkeypatch.setattr("time.time_ns", lambda: 300)
    log = local(tmp_path / "logs/container.log", attributes={"k": "v"})
    log.write("stdout", b"hi\n")
    entry = b"\x0a\x06stdout" + b"\x10\xac\x02" + b"\x1a\x02hi" + b"\x32\x06\x0a\x01k\x12\x01v"
    assert (tmp_path / "logs/container.log").read_bytes() == b"\0\0\0\x17" + entry + b"\0\0\0\x17"
    parsed = parse_local(entry)
    assert parsed is not None
    assert (parsed.text, parsed.stream, parsed.details) == (b"hi\n", "stdout", "k=v")
    assert parsed.time == "1970-01-01T00:00:00.000000300Z"


def test_the_local_driver_keeps_every_byte(tmp_path: Path) -> None:
    path = tmp_path / "container.log"
    log = local(path)
    text = bytes(range(256)) * 200 + b"\n\nend"
    for start in range(0, len(text), 5000):
        log.write("stdout", text[start : start + 5000])
    log.write("stderr", b"err\n")
    log.close()
    everything = texts(LogReader(str(path), driver="local"))
    assert b"".join(everything).replace(b"err\n", b"") == text
    assert max(map(len, everything)) <= LINE_LIMIT
    for tail in (0, 1, 2, 5, 1000):
        assert texts(LogReader(str(path), tail, "local")) == (everything[-tail:] if tail else [])


@pytest.mark.parametrize("damage", [b"", b"\0" * 4093, b"\0" * 4096, b"\0\0\0\x17\x0a\x06std"])
def test_the_end_that_a_power_failure_leaves_is_no_entry(tmp_path: Path, damage: bytes) -> None:
    """What is logged next can be read."""
    path = tmp_path / "container.log"
    log = local(path)
    log.write("stdout", b"first\nsecond\n")
    log.close()
    if damage:
        path.write_bytes(path.read_bytes() + damage)
    else:
        os.truncate(path, path.stat().st_size - 7)
    log = local(path)
    log.write("stdout", b"after\n")
    log.close()
    kept = [b"first\n", b"second\n"] if damage else [b"first\n"]
    told = b"wherry: 1 line was not logged: its record was incomplete\n"
    assert texts(LogReader(str(path), driver="local")) == [*kept, told, b"after\n"]
    assert texts(LogReader(str(path), 2, "local")) == [told, b"after\n"]


def test_the_local_driver_rotates_and_is_followed(tmp_path: Path) -> None:
    path = tmp_path / "container.log"
    log = local(path, max_size=500)
    reader = LogReader(str(path), driver="local")
    seen = []
    for number in range(100):
        log.write("stdout", b"%d\n" % number)
        if number % 23 == 0:
            seen += texts(reader)
    log.close()
    assert seen + texts(reader) == [b"%d\n" % number for number in range(100)]
    names = sorted(name.name for name in tmp_path.iterdir())
    assert names == ["container.log", *[f"container.log.{number}.gz" for number in range(1, 5)]]
    tail = texts(LogReader(str(path), 40, "local"))
    assert tail == [b"%d\n" % number for number in range(60, 100)]


@pytest.mark.parametrize("number", [0, 1, 127, 128, 300, 1 << 62])
def test_numbers(number: int) -> None:
    data = b"\x0a\x06stdout\x10" + varint(number) + b"\x1a\x00"
    entry = parse_local(data)
    assert entry is not None
    assert entry.time.endswith(f".{number % 1_000_000_000:09d}Z")


@pytest.mark.parametrize("data", [b"", b"\x0a\xff", b"\x0a\x06stdout\x10" + b"\xff" * 20, b"\x09" * 9, b"\x10\x01"])
def test_nonsense_is_no_entry(data: bytes) -> None:
    assert parse_local(data) is None


def test_the_end_waits_until_the_journal_has_all(tmp_path: Path, journal: socket.socket) -> None:
    log = JournaldLog({}, str(tmp_path / "journal"))
    log.write("stdout", b"one\n" * 5)
    ended = threading.Thread(target=log.close)
    ended.start()
    for number in range(5):
        assert ended.is_alive()
        assert received(journal)["CONTAINER_LOG_ORDINAL"] == b"%d" % (number + 1)
    ended.join(20)
    assert log._socket.fileno() == -1
    journal.close()


@pytest.fixture
def journal(tmp_path: Path) -> socket.socket:
    server = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    server.bind(str(tmp_path / "journal"))
    server.settimeout(20)
    return server


def received(journal: socket.socket) -> dict[str, bytes]:
    """The fields of one entry (systemd.io/JOURNAL_NATIVE_PROTOCOL)."""
    data, ancillary, _flags, _address = journal.recvmsg(1 << 20, socket.CMSG_SPACE(4))
    if ancillary:
        (descriptor,) = array.array("i", ancillary[0][2])
        with open(descriptor, "rb") as file:
            file.seek(0)
            data = file.read()
    fields = {}
    while data:
        line, _newline, data = data.partition(b"\n")
        name, equals, value = line.partition(b"=")
        if not equals:
            size = int.from_bytes(data[:8], "little")
            value, data = data[8 : 8 + size], data[8 + size + 1 :]
        fields[name.decode()] = value
    return fields


def test_journal_entries(tmp_path: Path, journal: socket.socket) -> None:
    log = JournaldLog({"CONTAINER_ID": "0123", "TWO": "a\nb"}, str(tmp_path / "journal"))
    log.write("stdout", b"one\n")
    log.write("stderr", b"two\xff\n" + b"x" * LINE_LIMIT + b"y\n")
    one, two, piece, last = [received(journal) for _ in range(4)]
    assert one["MESSAGE"] == b"one"
    assert one["PRIORITY"] == b"6"
    assert (one["CONTAINER_ID"], one["TWO"], one["CONTAINER_LOG_ORDINAL"]) == (b"0123", b"a\nb", b"1")
    assert "CONTAINER_PARTIAL_ID" not in one
    assert (two["MESSAGE"], two["PRIORITY"]) == (b"two\xff", b"3")
    assert (piece["CONTAINER_PARTIAL_MESSAGE"], piece["CONTAINER_PARTIAL_ORDINAL"]) == (b"true", b"1")
    assert (last["MESSAGE"], last["CONTAINER_PARTIAL_LAST"]) == (b"y", b"true")
    assert last["CONTAINER_PARTIAL_ID"] == piece["CONTAINER_PARTIAL_ID"]
    assert one["CONTAINER_LOG_EPOCH"] == last["CONTAINER_LOG_EPOCH"]
    log.close()
    journal.close()


def test_a_large_entry_travels_as_a_file(tmp_path: Path, journal: socket.socket) -> None:
    log = JournaldLog({"LARGE": "x" * 500_000}, str(tmp_path / "journal"))
    log.write("stdout", b"one\n")
    entry = received(journal)
    assert (entry["MESSAGE"], len(entry["LARGE"])) == (b"one", 500_000)
    log.close()
    journal.close()


def test_a_journal_that_went_away_and_came_back(tmp_path: Path, journal: socket.socket) -> None:
    log = JournaldLog({}, str(tmp_path / "journal"))
    journal.close()
    log.write("stdout", b"one\ntwo\n")
    os.unlink(tmp_path / "journal")
    again = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    again.bind(str(tmp_path / "journal"))
    again.settimeout(20)
    log.write("stdout", b"three\n")
    assert received(again)["MESSAGE"].startswith(b"wherry: 2 lines were not logged: ")
    assert received(again)["MESSAGE"] == b"three"
    log.close()
    again.close()


def test_no_journal(tmp_path: Path) -> None:
    with pytest.raises(WherryError, match="journald is not enabled on this host"):
        JournaldLog({}, str(tmp_path / "nothing"))


def test_fields() -> None:
    assert field("A", b"b") == b"A=b\n"
    assert field("A", b"b\n") == b"A\n" + (2).to_bytes(8, "little") + b"b\n\n"


def buffered(path: Path, size: int) -> BufferedLog:
    log = open_log({"driver": "json-file", "path": str(path), "buffer": size})
    assert isinstance(log, BufferedLog)
    return log


def test_a_buffered_log_is_whole_when_it_is_closed(tmp_path: Path) -> None:
    log = buffered(tmp_path / "log", 1 << 20)
    for number in range(2000):
        log.write("stdout", b"%d\n" % number)
        log.write("stderr", b"e\n")
    log.close()
    entries = [entry for entries in LogReader(str(tmp_path / "log")).read() for entry in entries]
    assert [entry.text for entry in entries if entry.stream == "stdout"] == [b"%d\n" % n for n in range(2000)]
    assert sum(entry.stream == "stderr" for entry in entries) == 2000
    with pytest.raises(ChildProcessError):
        os.waitpid(log._pid, os.WNOHANG)


def test_a_driver_that_hangs_does_not_keep_the_container_waiting(tmp_path: Path) -> None:
    log = buffered(tmp_path / "log", 4096)
    os.kill(log._pid, signal.SIGSTOP)
    for _ in range(1000):
        log.write("stdout", b"x" * 1023 + b"\n")
    assert len(log._pending) <= 4096 + 1024 + 64
    assert log.waiting
    os.kill(log._pid, signal.SIGCONT)
    end = time.monotonic() + 20
    while log.waiting and time.monotonic() < end:
        log.flush()
    log.write("stdout", b"after\n")
    log.close()
    seen = texts(LogReader(str(tmp_path / "log")))
    assert seen[-1] == b"after\n"
    lost = lost_lines(str(tmp_path / "log"))
    assert lost > 0
    assert len([text for text in seen if text.startswith(b"x")]) + lost == 1000
    told = [re.fullmatch(rb"wherry: (\d+) lines? w\w+ not logged: the buffer was full\n", text) for text in seen]
    assert sum(int(found[1]) for found in told if found) == lost
