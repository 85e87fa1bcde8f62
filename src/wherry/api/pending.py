"""Clients of containers that do not run: whoever attached, or waits, before the start.

Docker's client attaches first and starts then, so that nothing of the output is missed.  Each such client is one end of
a socket pair here; the other end goes to the monitor together with the container, before its first instruction.
"""

from __future__ import annotations

import select
import socket

TYPE_CHECKING = False
if TYPE_CHECKING:
    Attach = tuple[bool, bool, bool] | None


class Pending:
    """The waiting clients by container id."""

    def __init__(self) -> None:
        self._waiting: dict[str, list[tuple[socket.socket, Attach]]] = {}

    def add(self, identity: str, attach: Attach) -> socket.socket:
        """A client that will be attached to stdin, stdout and stderr as ``attach`` says, or (None) waits; its end."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        self._waiting.setdefault(identity, []).append((theirs, attach))
        return ours

    def take(self, identity: str) -> list[tuple[socket.socket, Attach]]:
        """The monitor's ends; the caller closes them."""
        return self._waiting.pop(identity, [])

    def drop(self, identity: str) -> None:
        """The container will not be started: its clients see the end of the connection."""
        for theirs, _attach in self.take(identity):
            theirs.close()

    def leave(self, identity: str) -> None:
        """Forget those of a container's clients that have closed their ends."""
        waiting = self._waiting.get(identity, [])
        for one in [one for one in waiting if _peer_gone(one[0])]:
            waiting.remove(one)
            one[0].close()
        if not waiting:
            self._waiting.pop(identity, None)


def _peer_gone(end: socket.socket) -> bool:
    poll = select.poll()
    poll.register(end, 0)
    return any(event & select.POLLHUP for _fd, event in poll.poll(0))
