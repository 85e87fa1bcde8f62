"""``mode=non-blocking``: a log whose driver may be slow while the container goes on.

A process of its own, forked once, feeds the driver; what it has not taken yet waits here, and what does not fit into
the buffer is lost, counted, and told in the log as soon as there is room.
"""

from __future__ import annotations

import os
import select

from wherry.monitor.log import STREAMS, LineLog, open_driver
from wherry.monitor.protocol import MAX_PAYLOAD, Decoder, frame

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_LOST = 2  # kind of a frame that says how many lines are missing here
_END_MS = 10_000  # how long the end of a container waits for a driver that takes nothing
_ALL_DESCRIPTORS = 1 << 20


class BufferedLog:
    """The `wherry.monitor.log.Log` of ``settings`` behind a buffer of ``settings["buffer"]`` bytes.

    Raises what opening the log raises.
    """

    def __init__(self, settings: dict[str, Any], kept: dict[str, Any] | None = None) -> None:
        self._most = settings["buffer"]
        self._pending = bytearray()
        self._dropped = 0
        if kept is not None:
            self._pending += kept["pending"]
            self.fd, self._pid, self._pidfd, self._dropped = kept["process"]
            return
        driver = open_driver(settings)
        reader, self.fd = os.pipe2(os.O_CLOEXEC)
        pid = os.fork()
        if pid == 0:
            try:
                _feed(driver, reader)
            finally:
                os._exit(0)
        self._pid, self._pidfd = pid, os.pidfd_open(pid)
        os.close(reader)
        driver.release()
        os.set_blocking(self.fd, False)

    def values(self) -> dict[str, Any]:
        """What is ``kept`` for another process with the same descriptors and children."""
        return {"pending": bytes(self._pending), "process": (self.fd, self._pid, self._pidfd, self._dropped)}

    @property
    def waiting(self) -> bool:
        """Whether something is in the buffer."""
        return bool(self._pending)

    def write(self, stream: str, data: bytes) -> None:
        """Into the buffer, or lost."""
        if self._pending and len(self._pending) + len(data) > self._most:
            self.flush()
        if self._pending and len(self._pending) + len(data) > self._most:
            self._dropped += max(data.count(b"\n"), 1)
            return
        self._note_dropped()
        kind = STREAMS.index(stream)
        for start in range(0, len(data), MAX_PAYLOAD):
            self._pending += frame(kind, data[start : start + MAX_PAYLOAD])
        self.flush()

    def _note_dropped(self) -> None:
        if self._dropped:
            self._pending += frame(_LOST, b"%d" % self._dropped)
            self._dropped = 0

    def flush(self) -> None:
        """Give on what the driver's process takes now."""
        try:
            while self._pending:
                del self._pending[: os.write(self.fd, self._pending[:MAX_PAYLOAD])]
        except BlockingIOError:
            return
        except OSError:  # that process was killed
            self._pending.clear()

    def close(self) -> None:
        """Wait for the driver, but not for ever."""
        self._note_dropped()
        poll = select.poll()
        poll.register(self.fd, select.POLLOUT)
        self.flush()
        while self._pending and poll.poll(_END_MS):
            self.flush()
        os.close(self.fd)
        poll = select.poll()
        poll.register(self._pidfd, select.POLLIN)
        if poll.poll(_END_MS):
            os.waitpid(self._pid, 0)
        os.close(self._pidfd)


def _feed(driver: LineLog, reader: int) -> None:
    """Be the process that the driver may keep waiting."""
    first = 3
    for fd in sorted((reader, driver.descriptor)):  # the container's lock and its streams are not this process's
        os.closerange(first, fd)
        first = fd + 1
    os.closerange(first, _ALL_DESCRIPTORS)
    decoder = Decoder()
    while data := os.read(reader, MAX_PAYLOAD):
        for kind, payload in decoder.feed(data):
            if kind == _LOST:
                driver.lose(int(payload), "the buffer was full")
            else:
                driver.write(STREAMS[kind], payload)
    driver.close()
