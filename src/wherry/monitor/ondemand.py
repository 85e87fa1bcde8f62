"""A process that runs while it is needed: forked by the monitor when something comes in at its sockets.

While it runs the monitor does not look at the sockets; when it ends, for want of anything to do or because somebody
killed it, the monitor does again.  What has not been taken from a socket is there for the next one.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]
import os

from wherry.linux import prctl

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from wherry.monitor.supervise import Supervisor

_PAUSE = 1.0  # seconds without one after it failed


class OnDemand:
    """``serve`` is called in the process with ``given``; ``sockets`` are descriptors that this object closes at the
    end; ``will_fork`` is called here before the process is forked."""

    def __init__(
        self,
        name: str,
        sockets: Sequence[int],
        serve: Callable[..., None],
        given: tuple[object, ...],
        will_fork: Callable[[], None],
    ) -> None:
        self._name = name
        self._sockets = sockets
        self._serve = serve
        self._given = given
        self._will_fork = will_fork
        self._pid = 0
        self._pidfd = -1
        self._supervisor: Supervisor | None = None

    def attach(self, supervisor: Supervisor) -> None:
        """Begin to look at the sockets."""
        self._supervisor = supervisor
        self._look()

    def _look(self) -> None:
        supervisor = self._supervisor
        assert supervisor is not None
        for fd in self._sockets:
            supervisor.watch(fd, self._start)

    def _start(self) -> None:
        supervisor = self._supervisor
        if self._pid or supervisor is None:
            return  # both sockets had something
        for fd in self._sockets:
            supervisor.unwatch(fd)
        parent = os.getpid()
        self._will_fork()
        self._pid = os.fork()
        if self._pid == 0:
            self._run(parent)
        self._pidfd = os.pidfd_open(self._pid)
        supervisor.watch(self._pidfd, self._ended)

    def _run(self, parent: int) -> None:
        from wherry import precompiled
        from wherry.monitor.main import keep_only

        code = 1
        try:
            prctl.set_parent_death_signal(_signal.SIGKILL)
            if os.getppid() == parent:
                prctl.set_arguments(self._name.encode())
                keep_only([*self._sockets, *precompiled.descriptors()])
                self._serve(*self._given)
                code = 0
        finally:
            os._exit(code)

    def _ended(self) -> None:
        supervisor = self._supervisor
        assert supervisor is not None
        supervisor.unwatch(self._pidfd)
        if self._wait():
            supervisor.later(_PAUSE, self._look)
        else:
            self._look()

    def _wait(self) -> int:
        os.close(self._pidfd)
        _pid, status = os.waitpid(self._pid, 0)
        self._pid, self._pidfd = 0, -1
        return status

    def close(self) -> None:
        """End the process, if there is one, and close the sockets; nothing twice."""
        if self._supervisor is not None:
            for fd in (*self._sockets, self._pidfd):
                self._supervisor.unwatch(fd)
        if self._pid:
            _signal.pidfd_send_signal(self._pidfd, _signal.SIGKILL)
            self._wait()
        for fd in self._sockets:
            os.close(fd)
        self._sockets = ()
