"""The ``journald`` driver: one datagram of systemd's native protocol a line, with Docker's fields.

systemd.io/JOURNAL_NATIVE_PROTOCOL; moby, ``daemon/logger/journald``.  A datagram that is too large for the socket
travels as a sealed memory file.
"""

from __future__ import annotations

import _socket
import os
import time
from _struct import pack, unpack
from errno import ECONNREFUSED, EMSGSIZE, ENOBUFS, ENOTCONN

from wherry.errors import WherryError
from wherry.monitor.log import LineLog, rfc3339

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from wherry.monitor.log import Part

SOCKET = "/run/systemd/journal/socket"
_PRIORITIES = {"stdout": b"6", "stderr": b"3"}  # informational, error: syslog(3)
_SOL_RIGHTS = 1  # SCM_RIGHTS
_ADD_SEALS = 1033
_SEALS = 0x1 | 0x2 | 0x4 | 0x8  # seal, shrink, grow, write
_CLOSED = (ECONNREFUSED, ENOTCONN)  # it has been started anew
_SIOCOUTQ = 0x5411
_NAP = 0.002
_SEND_SECONDS = 5.0  # a journal that takes nothing for so long is as one that is not there


class JournaldLog(LineLog):
    """``fields`` go with every line; ``kept`` is another process's socket.  Raises `WherryError` without a journal."""

    def __init__(self, fields: dict[str, str], path: str = SOCKET, kept: int = -1) -> None:
        super().__init__()
        self._path = path
        self._socket = _connected(path) if kept < 0 else _socket.socket(_socket.AF_UNIX, _socket.SOCK_DGRAM, 0, kept)
        self._socket.settimeout(_SEND_SECONDS)
        self._fields = b"".join([field(name, value.encode()) for name, value in fields.items()])
        self._epoch = field("CONTAINER_LOG_EPOCH", os.urandom(32).hex().encode())
        self._ordinal = 0
        self._untold = 0
        self._reason = ""

    def values(self) -> dict[str, Any]:
        """With where it is in its numbering, and what is missing."""
        return super().values() | {
            "socket": self.descriptor,
            "journal": (self._epoch, self._ordinal, self._untold, self._reason),
        }

    def resume(self, values: dict[str, Any]) -> None:
        """Go on with that numbering."""
        super().resume(values)
        self._epoch, self._ordinal, self._untold, self._reason = values["journal"]

    def put_lines(self, stream: str, lines: bytes, now: int) -> None:
        """One entry a line."""
        for line in lines[:-1].split(b"\n"):
            self._send(stream, line, now, b"")

    def put_piece(self, stream: str, piece: bytes, part: Part) -> None:
        """An entry that says which piece of its line it is."""
        extra = b"" if part.last else b"CONTAINER_PARTIAL_MESSAGE=true\n"
        extra += field("CONTAINER_PARTIAL_ID", part.identity.encode())
        extra += b"CONTAINER_PARTIAL_ORDINAL=%d\n" % part.ordinal
        extra += b"CONTAINER_PARTIAL_LAST=" + (b"true\n" if part.last else b"false\n")
        self._send(stream, piece.removesuffix(b"\n"), part.time, extra)

    def _send(self, stream: str, line: bytes, now: int, extra: bytes) -> None:
        if self._untold:
            text = f"wherry: {self._untold} lines were not logged: {self._reason}"
            if self._enter("stderr", text.encode(), now, b""):
                self._untold = 0
        if not self._enter(stream, line, now, extra):
            self.lose(1, self._reason)

    def _enter(self, stream: str, line: bytes, now: int, extra: bytes) -> bool:
        self._ordinal += 1
        message = b"PRIORITY=" + _PRIORITIES[stream] + b"\n" + field("MESSAGE", line) + self._fields + self._epoch
        message += b"CONTAINER_LOG_ORDINAL=%d\nSYSLOG_TIMESTAMP=%s\n" % (self._ordinal, rfc3339(now).encode()) + extra
        try:
            try:
                self._datagram(message)
            except OSError as error:
                if error.errno not in _CLOSED:
                    raise
                self._socket.connect(self._path)
                self._datagram(message)
        except OSError as error:
            self._reason = (error.strerror or str(error) or "the journal takes nothing").lower()
            self._patience(0)
            return False
        self._patience(_SEND_SECONDS)
        return True

    def _patience(self, seconds: float) -> None:
        """Wait once for a journal that takes nothing, not for every line."""
        if self._socket.gettimeout() != seconds:
            self._socket.settimeout(seconds)

    def _datagram(self, message: bytes) -> None:
        try:
            self._socket.send(message)
            return
        except OSError as error:
            if error.errno not in (EMSGSIZE, ENOBUFS):
                raise
        import fcntl

        memory = os.memfd_create("journal-message", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        try:
            with open(memory, "wb", closefd=False) as file:
                file.write(message)
            fcntl.fcntl(memory, _ADD_SEALS, _SEALS)
            self._socket.sendmsg([b""], [(_socket.SOL_SOCKET, _SOL_RIGHTS, pack("i", memory))])
        finally:
            os.close(memory)

    def lose(self, count: int, reason: str) -> None:
        """To be told before the next line."""
        self._untold += count
        self._reason = reason

    @property
    def descriptor(self) -> int:
        """Of the socket."""
        return int(self._socket.fileno())

    def release(self) -> None:
        """Close the socket."""
        self._socket.close()

    def close(self) -> None:
        """And let go of the journal, as soon as it has taken all: whoever knows of the end can read the last line."""
        super().close()
        end = time.monotonic() + _SEND_SECONDS
        while self._untaken() and time.monotonic() < end:
            time.sleep(_NAP)
        self._socket.close()

    def _untaken(self) -> int:
        """Bytes that were sent, and that the journal has not received yet (unix(7), SIOCOUTQ)."""
        import fcntl

        return int(unpack("i", fcntl.ioctl(self._socket, _SIOCOUTQ, bytes(4)))[0])


def _connected(path: str) -> _socket.socket:
    socket = _socket.socket(_socket.AF_UNIX, _socket.SOCK_DGRAM | _socket.SOCK_CLOEXEC, 0)
    try:
        socket.connect(path)
    except OSError:
        socket.close()
        raise WherryError(
            "failed to initialize logging driver: journald is not enabled on this host",
            hint="the journal of systemd listens at /run/systemd/journal/socket; use --log-driver json-file",
        ) from None
    return socket


def field(name: str, value: bytes) -> bytes:
    """One field; a value of several lines has its length before it."""
    if b"\n" in value:
        return name.encode() + b"\n" + pack("<Q", len(value)) + value + b"\n"
    return name.encode() + b"=" + value + b"\n"
