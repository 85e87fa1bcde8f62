"""A monitor's view of one of its clients."""

from __future__ import annotations

import _socket

from wherry.monitor.protocol import STDERR, STDOUT, Decoder

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class Peer:
    """One client: what it is attached to, and what waits to be sent to it."""

    __slots__ = ("attached", "decoder", "fd", "leaving", "pending", "socket", "stdin", "streams")

    def __init__(self, socket: _socket.socket) -> None:
        socket.setblocking(False)
        self.socket = socket
        self.fd = socket.fileno()
        self.decoder = Decoder()
        self.pending = bytearray()
        self.attached = self.stdin = False
        self.leaving = False  # it goes when it has been sent everything
        self.streams: tuple[int, ...] = ()

    def attach(self, stdin: bool, stdout: bool, stderr: bool) -> None:
        """Join these streams to the client."""
        self.attached, self.stdin = True, stdin
        self.streams = (STDOUT,) * stdout + (STDERR,) * stderr

    def values(self) -> tuple[Any, ...]:
        """For `resume` in another process."""
        pending = bytes(self.pending), bytes(self.decoder.pending)
        return self.fd, self.attached, self.stdin, self.streams, self.leaving, *pending

    @staticmethod
    def resume(values: tuple[Any, ...]) -> Peer:
        """The same client."""
        peer = Peer(_socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM, 0, values[0]))
        peer.attached, peer.stdin, peer.streams, peer.leaving, pending, heard = values[1:]
        peer.pending += pending
        peer.decoder.pending += heard
        return peer
