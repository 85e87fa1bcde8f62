"""What the two sides of a creation say to each other, over one pair of sequenced-packet sockets.

The parent says MAPPED (with the child's pid on the host), TREES (with descriptors), HOOKED and START; the child says
NAMESPACES (with those asked for), CONSOLE (with the terminal), HOOKS, READY and FAILED.  The child's end closes at
execve(2): silence means success.  STUB comes from the shield (`wherry.runtime.shield`) and
holds one byte, the error of its execve(2).
"""

from __future__ import annotations

import _socket
import fcntl
import os
from _struct import pack, unpack

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

MAPPED = b"M"
TREES = b"T"
HOOKED = b"G"
START = b"S"
NAMESPACES = b"N"
CONSOLE = b"C"
HOOKS = b"H"
READY = b"R"
FAILED = b"E"
STUB = b"X"

_MOST_DESCRIPTORS = 250
_SIZE = 16384


class Closed(Exception):
    """The other side is gone."""


class Channel:
    """One end of the pair."""

    __slots__ = ("_socket", "descriptor")

    def __init__(self, end: _socket.socket) -> None:
        self._socket = end
        self.descriptor = end.fileno()

    def send(self, kind: bytes, body: bytes = b"", descriptors: Sequence[int] = ()) -> None:
        """Send one message.  Raises `Closed`."""
        rights = []
        if descriptors:
            rights = [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, pack(f"{len(descriptors)}i", *descriptors))]
        try:
            self._socket.sendmsg([kind + body], rights, _socket.MSG_NOSIGNAL)
        except (BrokenPipeError, ConnectionError):
            raise Closed from None

    def send_trees(self, descriptors: Sequence[int]) -> None:
        """Send any number of descriptors; the other side reads them with `receive_trees`."""
        for first in range(0, len(descriptors), _MOST_DESCRIPTORS):
            self.send(TREES, b"", descriptors[first : first + _MOST_DESCRIPTORS])

    def receive(self) -> tuple[bytes, bytes, list[int]]:
        """The next message: kind, body, descriptors (which close on exec).  Raises `Closed` at the end."""
        try:
            data, rights, _, _ = self._socket.recvmsg(
                _SIZE, _socket.CMSG_SPACE(4 * _MOST_DESCRIPTORS), _socket.MSG_CMSG_CLOEXEC
            )
        except ConnectionError:
            raise Closed from None
        descriptors: list[int] = []
        for level, kind, content in rights:
            if level == _socket.SOL_SOCKET and kind == _socket.SCM_RIGHTS:
                count = len(content) // 4
                descriptors += unpack(f"{count}i", content[: count * 4])
        if not data:
            raise Closed
        return data[:1], data[1:], descriptors

    def expect(self, kind: bytes) -> tuple[bytes, list[int]]:
        """The next message, which must be of this kind.  Raises `Closed` otherwise: the other side gave up."""
        found, body, descriptors = self.receive()
        if found != kind:
            for descriptor in descriptors:
                os.close(descriptor)
            raise Closed
        return body, descriptors

    def receive_trees(self, count: int) -> list[int]:
        """The descriptors of `send_trees`."""
        found: list[int] = []
        while len(found) < count:
            found += self.expect(TREES)[1]
        return found

    def move(self, above: int) -> None:
        """Get a descriptor of at least ``above``."""
        self._socket = _socket.socket(fileno=fcntl.fcntl(self.descriptor, fcntl.F_DUPFD_CLOEXEC, above))
        self.descriptor = self._socket.fileno()

    def close(self) -> None:
        """Close this end."""
        self._socket.close()


def pair() -> tuple[Channel, Channel]:
    """Two connected ends, both closed on exec."""
    left, right = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
    return Channel(left), Channel(right)


def encode_failure(operation: int, call: str, errno: int, words: str) -> bytes:
    """A failure as it travels."""
    return f"{operation}\0{call}\0{errno}\0{words}".encode("utf-8", "replace")[: _SIZE - 1]


def decode_failure(body: bytes) -> tuple[int, str, int, str]:
    """The inverse of `encode_failure`."""
    operation, call, errno, words = body.decode("utf-8", "replace").split("\0", 3)
    return int(operation), call, int(errno), words
