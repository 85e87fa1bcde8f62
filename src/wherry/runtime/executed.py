"""A process beside a container's first one, as its monitor sees it."""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]
import os
import select

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wherry.linux.cgroup import Cgroup
    from wherry.runtime.process import Process


class ExecutedProcess:
    """A process beside a container's first one, whose ``pidfd`` also becomes readable when that one has ended."""

    cgroup: Cgroup | None = None  # the container's is not this one's to remove

    def __init__(self, process: Process, container: int) -> None:
        self._process = process
        self._container = container
        self.pid = process.pid
        self.console = process.console
        self._either = select.epoll()
        for descriptor in (process.pidfd, container):
            self._either.register(descriptor, select.EPOLLIN)
        self.pidfd = self._either.fileno()
        self.start = process.start
        self.kill = process.kill

    def ended(self) -> None:
        """Reap it at once: a pid namespace does not end before every process that entered it has been reaped."""
        self.wait()

    def wait(self) -> int:
        """As `wherry.runtime.create.Process.wait`; when the container has ended, so does this process."""
        if self._process.pidfd >= 0 and has_ended(self._container):
            self._process.kill(_signal.SIGKILL)
        return self._process.wait()

    def delete(self) -> None:
        """As `wherry.runtime.create.Process.delete`."""
        self._process.delete()
        if not self._either.closed:
            self._either.close()
            os.close(self._container)


def has_ended(pidfd: int, seconds: float = 0) -> bool:
    """Whether the process of a descriptor has ended, or does within ``seconds``."""
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    return bool(poll.poll(seconds * 1000))
