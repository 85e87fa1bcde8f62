"""A child process that is a container's first one, whichever runtime made it."""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]
import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wherry.linux.cgroup import Cgroup


class Child:
    """``pid`` is its pid here, ``pidfd`` a descriptor of it (readable when it has ended), ``console`` the master of its
    terminal or None, the caller's to close; ``cgroup`` its control group where it has one; ``kept`` are descriptors of
    those of its namespaces that were asked for."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.pidfd = os.pidfd_open(pid)
        self.console: int | None = None
        self.cgroup: Cgroup | None = None
        self.kept: dict[str, int] = {}
        self._status: int | None = None

    def kill(self, signal: int) -> None:
        """Send a signal; no error when the process has ended."""
        try:
            _signal.pidfd_send_signal(self.pidfd, signal)
        except ProcessLookupError:
            pass

    def ended(self) -> None:
        """Called when ``pidfd`` has become readable: the process is waited for later, so that its pid stays its own."""

    def wait(self) -> int:
        """Wait for the process to end; its status as waitpid(2) gives it, the same when asked again.

        A caller that has waited by other means gets 0.
        """
        if self._status is None:
            try:
                self._status = os.waitpid(self.pid, 0)[1]
            except ChildProcessError:
                self._status = 0
        return self._status
