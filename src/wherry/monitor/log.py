"""What a container writes, cut into the lines of its log: what all log drivers share, and Docker's ``json-file``.

A line of more than 16 KiB is logged in pieces (moby, ``daemon/logger/copier.go``).  Whatever a driver cannot take is
counted, never raised, and never keeps the container waiting: the container goes on.

One JSON object a line: ``{"log":"text\\n","stream":"stdout","time":"2026-01-31T12:00:00.123456789Z"}``, where a piece
that is not the last one of its line has no newline (docs.docker.com/engine/logging/drivers/json-file).  Lines that
were read together have the same time and are written with one call each of a handful of C functions.
"""

from __future__ import annotations

import time
from posix import close, pread, urandom

from wherry.monitor.log_file import LogFile
from wherry.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Protocol

    class Log(Protocol):
        """Where a container's output goes besides its clients."""

        fd: int  # to be watched until it is writable while `waiting`; -1 for a driver that never waits

        @property
        def waiting(self) -> bool:
            """Whether `flush` has something to do when ``fd`` is writable."""

        def write(self, stream: str, data: bytes) -> None:
            """Add what was read from ``stream``, "stdout" or "stderr"."""

        def flush(self) -> None:
            """Pass on what waits."""

        def close(self) -> None:
            """The last lines, finished or not; nothing is written afterwards."""

        def values(self) -> dict[str, Any]:
            """What `open_log` makes the same log of in another process with the same descriptors."""


LINE_LIMIT = 16 * 1024
STREAMS = ("stdout", "stderr")


class Part(Record):
    """Which piece of a long line this is; all pieces have the time of the first."""

    identity: str
    ordinal: int  # from 1
    last: bool
    time: int


class LineLog:
    """A driver that is given whole lines, or one piece of a long line; subclasses write them.

    Times are epoch nanoseconds.
    """

    fd = -1
    waiting = False

    def __init__(self) -> None:
        self._rest = {"stdout": b"", "stderr": b""}
        self._open: dict[str, Part] = {}

    def write(self, stream: str, data: bytes) -> None:
        """Log the lines that ``data`` completes."""
        rest = self._rest[stream]
        if rest:
            data = rest + data
        now = time.time_ns()
        size, first, start = len(data), 0, 0
        while size - start >= LINE_LIMIT:
            newline = data.rfind(b"\n", start, start + LINE_LIMIT)
            if newline >= 0:
                start = newline + 1
                continue
            if first < start:
                self._take_lines(stream, data[first:start], now)
            first = start + LINE_LIMIT
            self._take_piece(stream, data[start:first], now, last=False)
            start = first
        end = data.rfind(b"\n", start) + 1 or start
        if first < end:
            self._take_lines(stream, data[first:end] if first or end < size else data, now)
        self._rest[stream] = data[end:]

    def _take_lines(self, stream: str, lines: bytes, now: int) -> None:
        if stream in self._open:
            end = lines.index(b"\n") + 1
            self._take_piece(stream, lines[:end], now, last=True)
            lines = lines[end:]
        if lines:
            self.put_lines(stream, lines, now)

    def _take_piece(self, stream: str, piece: bytes, now: int, *, last: bool) -> None:
        part = self._open.pop(stream, None)
        if part is None:
            part = Part(urandom(32).hex(), 1, last, now)
        else:
            part = Part(part.identity, part.ordinal + 1, last, part.time)
        if not last:
            self._open[stream] = part
        self.put_piece(stream, piece, part)

    def put_lines(self, stream: str, lines: bytes, now: int) -> None:
        """Log these lines, each with its newline."""
        raise NotImplementedError

    def put_piece(self, stream: str, piece: bytes, part: Part) -> None:
        """Log a piece of a line; the last has the newline, unless it is the last of all output."""
        raise NotImplementedError

    def flush(self) -> None:
        """Nothing waits here."""

    def lose(self, count: int, reason: str) -> None:
        """So many lines are missing here: to be told in the log.  What has no end yet goes with them."""
        raise NotImplementedError

    @property
    def descriptor(self) -> int:
        """Of the file or socket that the log goes to."""
        raise NotImplementedError

    def release(self) -> None:
        """Close the descriptor and nothing else: the log is another process's now."""
        raise NotImplementedError

    def values(self) -> dict[str, Any]:
        """For `open_log` in another process."""
        parts = {stream: tuple(part.as_dict().values()) for stream, part in self._open.items()}
        return {"rest": self._rest, "open": parts}

    def resume(self, values: dict[str, Any]) -> None:
        """Go on where another process was."""
        self._rest = values["rest"]
        self._open = {stream: Part(*part) for stream, part in values["open"].items()}

    def close(self) -> None:
        """Log what has no end."""
        now = time.time_ns()
        for stream in STREAMS:
            rest, self._rest[stream] = self._rest[stream], b""
            if rest:
                self._take_piece(stream, rest, now, last=False)


class FileLog(LineLog):
    """A driver that writes to a file."""

    file: LogFile

    def lose(self, count: int, reason: str) -> None:
        """As the file does when its disk is full."""
        self._rest, self._open = {"stdout": b"", "stderr": b""}, {}
        self.file.lose(count, reason)

    @property
    def descriptor(self) -> int:
        """Of the newest file."""
        return self.file.fd

    def release(self) -> None:
        """Close the file."""
        close(self.file.fd)

    def values(self) -> dict[str, Any]:
        """With those of the file."""
        return super().values() | {"file": self.file.values()}

    def close(self) -> None:
        """And let go of the file."""
        super().close()
        self.file.close()


class JSONFileLog(FileLog):
    """Every line carries ``attributes``; for the others see `wherry.monitor.log_file.LogFile`."""

    def __init__(
        self,
        path: str,
        *,
        max_size: int = -1,
        max_files: int = 1,
        compress: bool = False,
        attributes: dict[str, str] | None = None,
        kept: tuple[Any, ...] | None = None,
    ) -> None:
        super().__init__()
        self.file = LogFile(path, JSON_LINES, max_size=max_size, max_files=max_files, compress=compress, kept=kept)
        self._attributes = ""
        if attributes:
            pairs = [f"{_quoted(name)}:{_quoted(attributes[name])}" for name in sorted(attributes)]
            self._attributes = f'"attrs":{{{",".join(pairs)}}},'

    def put_lines(self, stream: str, lines: bytes, now: int) -> None:
        """One record a line."""
        tail = self._tail(stream, now)
        records = b'{"log":"' + escape(lines).replace(b"\n", b'\\n"' + tail + b'{"log":"')
        self.file.append(records[:-8])

    def put_piece(self, stream: str, piece: bytes, part: Part) -> None:
        """One record."""
        self.file.append(b'{"log":"' + escape(piece).replace(b"\n", b"\\n") + b'"' + self._tail(stream, part.time))

    def _tail(self, stream: str, now: int) -> bytes:
        return f',"stream":"{stream}",{self._attributes}"time":"{rfc3339(now)}"}}\n'.encode()


class _JSONLines:
    """How records follow each other in a file."""

    @staticmethod
    def end_at(records: bytes, least: int) -> int:
        """The first end of a record that is at or after ``least``, which is more than 0."""
        return records.find(b"\n", least - 1) + 1 or len(records)

    @staticmethod
    def end_before(records: bytes, most: int) -> int:
        """The last end of a record that is at or before ``most``; 0 for none."""
        return records.rfind(b"\n", 0, most) + 1

    @staticmethod
    def count(records: bytes) -> int:
        """How many there are."""
        return records.count(b"\n")

    @staticmethod
    def record(text: str, now: int) -> bytes:
        """A line of our own."""
        line = escape(text.encode()).decode()
        return f'{{"log":"{line}\\n","stream":"stderr","time":"{rfc3339(now)}"}}\n'.encode()

    @staticmethod
    def whole(file: int, size: int) -> int:
        """How many of the ``size`` bytes of a file, from its beginning, are whole records."""
        end = size
        while end > 0:
            start = end - 1 if end == size else max(end - _BLOCK, 0)
            found = pread(file, end - start, start).rfind(b"\n")
            if found >= 0:
                return start + found + 1
            end = start
        return 0


_BLOCK = 1 << 16

JSON_LINES = _JSONLines()

_ESCAPES = {
    byte: b"\\u%04x" % byte for byte in (*range(32), *b"<>&") if byte not in b"\n\r"
} | {ord('"'): b'\\"', ord("\r"): b"\\r"}  # fmt: skip
_PLAIN = bytes([byte for byte in range(256) if byte not in _ESCAPES and byte != ord("\\")])


def escape(text: bytes) -> bytes:
    """As the inside of a JSON string, except for newlines (moby, ``jsonlog/jsonlogbytes.go``): bytes that are not
    UTF-8 become U+FFFD."""
    if not text.isascii():
        try:
            str(text, "utf-8")
        except UnicodeDecodeError:
            return _escape_broken(text)
        if b"\xe2\x80" in text:
            return _escape_ascii(text).replace(b"\xe2\x80\xa8", b"\\u2028").replace(b"\xe2\x80\xa9", b"\\u2029")
    return _escape_ascii(text)


def _quoted(text: str) -> str:
    return '"' + escape(text.encode("utf-8", "surrogateescape")).replace(b"\n", b"\\n").decode() + '"'


def _escape_ascii(text: bytes) -> bytes:
    special = text.translate(None, _PLAIN)
    if special:
        if b"\\" in special:
            text = text.replace(b"\\", b"\\\\")
        for byte in set(special):
            if byte in _ESCAPES:
                text = text.replace(bytes((byte,)), _ESCAPES[byte])
    return text


def _escape_broken(text: bytes) -> bytes:
    table: dict[int, str] = {byte: escaped.decode() for byte, escaped in _ESCAPES.items()}
    table |= {ord("\\"): "\\\\", 0x2028: "\\u2028", 0x2029: "\\u2029"}
    table |= dict.fromkeys(range(0xDC80, 0xDD00), "\\ufffd")  # what surrogateescape makes of a byte
    return str(text, "utf-8", "surrogateescape").translate(table).encode()


_second = -1
_prefix = ""


def rfc3339(now: int) -> str:
    """``2026-01-31T12:00:00.5Z``: without zeros at its end."""
    global _second, _prefix
    second, nanosecond = divmod(now, 1_000_000_000)
    if second != _second:
        _second, _prefix = second, time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
    if not nanosecond:
        return f"{_prefix}Z"
    return f"{_prefix}.{nanosecond:09d}".rstrip("0") + "Z"


def open_log(settings: dict[str, Any] | None, kept: dict[str, Any] | None = None) -> Log | None:
    """The log that `wherry.container.logging.settings` describes; None for no log.

    ``kept`` is what `Log.values` gave in a process with the same descriptors: then it goes on there.  Raises what keeps
    it from being opened.
    """
    if settings is None:
        return None
    if settings.get("buffer"):
        from wherry.monitor.log_buffer import BufferedLog

        return BufferedLog(settings, kept)
    log = open_driver(settings, kept)
    if kept is not None:
        log.resume(kept)
    return log


def open_driver(settings: dict[str, Any], kept: dict[str, Any] | None = None) -> LineLog:
    """The same without a buffer before it."""
    file = None if kept is None else kept.get("file")
    driver, path, attributes = settings["driver"], settings["path"], settings.get("attributes", {})
    if driver == "local":
        from wherry.monitor.log_local import LocalLog

        return LocalLog(path, attributes=attributes, kept=file, **settings["rotation"])
    if driver == "journald":
        from wherry.monitor.log_journald import JournaldLog

        return JournaldLog(settings["fields"], kept=-1 if kept is None else kept["socket"])
    return JSONFileLog(path, attributes=attributes, kept=file, **settings.get("rotation", {}))
