"""What a monitor waits for: descriptors and moments, each with a function to call.

Resting monitors hold this module (docs/decisions/0084-resting-monitors.md): it imports nothing that the interpreter
does not have built in.
"""

from __future__ import annotations

import select
from time import monotonic

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

READ, WRITE, GONE = select.EPOLLIN, select.EPOLLOUT, select.EPOLLHUP | select.EPOLLERR


class Loop:
    """``alarms`` are (when by the monotonic clock, function), ``others`` the functions of descriptors that are not of
    the container's streams, ``changes`` what somebody else may change and who is to be told, ``holder`` the client with
    whose going the container's pause ends, or -1."""

    def __init__(self) -> None:
        self.alarms: list[tuple[float, Callable[[], object]]] = []
        self.others: dict[int, Callable[[], object]] = {}
        self.changes: dict[str, Callable[[], object]] = {}
        self.holder = -1
        self._epoll = select.epoll()
        self._interest: dict[int, int] = {}  # what is watched for
        self._fixed: dict[int, int] = {}  # the part of it that is not of clients

    @property
    def descriptor(self) -> int:
        """Its own."""
        return self._epoll.fileno()

    def later(self, seconds: float, function: Callable[[], object]) -> None:
        """Call ``function`` unless the container has ended by then."""
        self.alarms.append((monotonic() + seconds, function))

    def watch(self, fd: int, function: Callable[[], object]) -> None:
        """Call ``function`` whenever there is something to read, until `unwatch`, or the container has ended."""
        self.others[fd] = function

    def unwatch(self, fd: int) -> None:
        """Look no more at ``fd``, which the caller then may close."""
        self.others.pop(fd, None)
        self._forget(fd)

    def _ring(self) -> float | None:
        """Call what is due; seconds to the next.

        What is not called yet is still among the alarms: the function before it may keep them for another process.
        """
        now = monotonic()
        for alarm in [alarm for alarm in self.alarms if alarm[0] <= now]:
            if alarm in self.alarms:
                self.alarms.remove(alarm)
                alarm[1]()
        return max(min([when for when, _ in self.alarms]) - now, 0) if self.alarms else None

    def _want(self, fd: int, events: int) -> None:
        before = self._interest.get(fd)
        if before is None:
            self._epoll.register(fd, events)
        elif before != events:
            self._epoll.modify(fd, events)
        self._interest[fd] = events

    def _forget(self, fd: int) -> None:
        if self._interest.pop(fd, None) is not None:
            self._fixed.pop(fd, None)
            try:
                self._epoll.unregister(fd)
            except OSError:
                pass  # whoever had us watch it has closed it
