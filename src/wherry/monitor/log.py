"""The ``json-file`` log of a container, in the format Docker writes.

One JSON object a line: ``{"log":"text\\n","stream":"stdout","time":"2026-01-31T12:00:00.123456789Z"}``.  A line of
output longer than 16 KiB is written in pieces without a newline at the end of all but the last
(docs.docker.com/engine/logging/drivers/json-file).
"""

from __future__ import annotations

import os
import time

try:
    from _json import encode_basestring
except ImportError:  # not CPython
    from json.encoder import encode_basestring

LINE_LIMIT = 16 * 1024


class JSONFileLog:
    """Appends output to one file; pieces of a line wait until the line is whole or too long."""

    def __init__(self, path: str) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o640)
        self._rest = {"stdout": b"", "stderr": b""}
        self._second = -1
        self._prefix = ""
        self.failed = 0

    def write(self, stream: str, data: bytes) -> None:
        """Add a piece of ``stream``.  A disk that takes no more is counted in ``failed``, never raised: the
        container goes on."""
        data = self._rest[stream] + data
        lines = data.split(b"\n")
        rest = lines.pop()
        pieces: list[bytes] = []
        for line in lines:
            line += b"\n"
            while len(line) > LINE_LIMIT:
                pieces.append(line[:LINE_LIMIT])
                line = line[LINE_LIMIT:]
            pieces.append(line)
        while len(rest) >= LINE_LIMIT:
            pieces.append(rest[:LINE_LIMIT])
            rest = rest[LINE_LIMIT:]
        self._rest[stream] = rest
        if pieces:
            self._append(stream, pieces)

    def close(self) -> None:
        """Write what is left of the last lines."""
        for stream, rest in self._rest.items():
            if rest:
                self._append(stream, [rest])
        os.close(self._file)

    def _append(self, stream: str, pieces: list[bytes]) -> None:
        tail = f',"stream":"{stream}","time":"{self._now()}"}}\n'
        text = "".join(
            ['{"log":' + encode_basestring(piece.decode("utf-8", "replace")) + tail for piece in pieces]
        ).encode()
        try:
            while text:
                text = text[os.write(self._file, text) :]
        except OSError:
            self.failed += len(pieces)

    def _now(self) -> str:
        second, nanosecond = divmod(time.time_ns(), 1_000_000_000)
        if second != self._second:
            self._second = second
            self._prefix = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
        return f"{self._prefix}.{nanosecond:09d}Z"
