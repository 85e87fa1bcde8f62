"""A conversation with a monitor that is not about streams: commands, and waiting for the end."""

from __future__ import annotations

import _socket
import os

from wherry.monitor.main import SOCKET
from wherry.monitor.protocol import CONTROL, MAX_PAYLOAD, Decoder, control, parse_control

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Self


def connect(directory: str) -> _socket.socket | None:
    """A connection to the monitor of the container with this directory in the run root; None when it has none."""
    try:
        at = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    channel = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM | _socket.SOCK_CLOEXEC, 0)
    try:
        channel.connect(f"/proc/self/fd/{at}/{SOCKET}")
        return channel
    except (FileNotFoundError, ConnectionRefusedError):
        channel.close()
        return None
    finally:
        os.close(at)


class Call:
    """``with Call(channel) as call``: say something, hear what the monitor says."""

    def __init__(self, channel: _socket.socket) -> None:
        self.channel = channel
        self._decoder = Decoder()
        self._heard: list[dict[str, Any]] = []

    def say(self, message: dict[str, Any]) -> None:
        """Send a message; a monitor that has just ended is heard of next."""
        try:
            self.channel.sendall(control(message))
        except OSError:
            pass

    def hear(self) -> dict[str, Any] | None:
        """The next message, or None when the monitor has gone."""
        while not self._heard:
            try:
                data = self.channel.recv(MAX_PAYLOAD)
            except ConnectionResetError:
                data = b""
            if not data:
                return None
            self._heard = [parse_control(payload) for kind, payload in self._decoder.feed(data) if kind == CONTROL]
        return self._heard.pop(0)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.channel.close()
