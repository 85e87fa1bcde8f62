"""The monitor of a container to which nothing happens: relays its streams, and waits.

`main` is where `wherry.monitor.rest` leads.  Whatever the loop cannot do itself, a command, an end, an alarm, loads the
rest of the monitor, which goes on as if it had been there all the time.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]
import _socket
import posix

from wherry.monitor.supervise import Supervisor

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from wherry.monitor.keep import Keeper
    from wherry.monitor.log import Log

_STANDARD = 3
_SIGKILL = 9


def main(values: dict[str, Any], memory: int) -> None:
    """Until the container has ended for good; does not return."""
    try:
        for name in posix.listdir("/proc/self/fd"):
            if int(name) >= _STANDARD:
                _close_on_exec(int(name))
        Resting(memory, values).run()
    finally:
        posix._exit(0)


def _close_on_exec(fd: int) -> None:
    try:
        posix.set_inheritable(fd, False)
    except OSError:
        return  # the directory's own


class Resting:
    """``values`` are what the loop needs, ``memory`` the file that has everything else."""

    def __init__(self, memory: int, values: dict[str, Any]) -> None:
        self._memory = memory
        self._keeper: Keeper | None = None
        self._log: Log | None = None
        if values["log"] is not None:
            from wherry.monitor.log import open_log

            self._log = open_log(values["settings"], values["log"])
        self._listener: _socket.socket | None = None
        if values["listener"] >= 0:
            self._listener = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM, 0, values["listener"])
        watched = values["supervisor"]
        self._pidfd = watched["pidfd"]
        self._supervisor = Supervisor.resume(watched, self._log, self._listener, self._obey, self._ended)
        for fd in watched["others"]:
            self._supervisor.others[fd] = self._waking(fd)
        self._supervisor.alarms += [(when, self.wake) for when in watched["alarms"]]

    def run(self) -> None:
        """Rest, and then whatever there is to do."""
        self._supervisor.run()
        self.wake().go_on()

    def wake(self) -> Keeper:
        """Load the monitor; from now on it is as it was before."""
        if self._keeper is None:
            from wherry.monitor.wake import load

            live = {"supervisor": self._supervisor, "log": self._log, "listener": self._listener}
            self._keeper = load(self._memory, live)
        return self._keeper

    def _obey(self, message: dict[str, Any]) -> dict[str, Any]:
        if message.get("signal") == _SIGKILL:  # it dies while the monitor is loaded
            try:
                _signal.pidfd_send_signal(self._pidfd, _SIGKILL)
            except OSError:
                pass  # it has ended, or is watched in another way
        return self.wake().obey(message)

    def _ended(self) -> None:
        self.wake().process.ended()

    def _waking(self, fd: int) -> Callable[[], object]:
        def look() -> None:
            self.wake()
            if fd in self._supervisor.others:
                self._supervisor.others[fd]()

        return look
