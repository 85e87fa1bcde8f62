"""The lives of one container under its monitor: made, watched until it ends, started again when its owner says so."""

from __future__ import annotations

import _socket
import os
from errno import EADDRINUSE

from wherry.errors import SystemFailure
from wherry.monitor.main import SOCKET
from wherry.monitor.protocol import STDERR, STDOUT, control, describe_error
from wherry.monitor.supervise import Supervisor

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from wherry.monitor.log import Log
    from wherry.monitor.main import AnyProcess, Attach, Job, Owner
    from wherry.runtime.create import Stdio

_BACKLOG = 128


class Keeper:
    """``clients`` are there from the first life's start: whoever asked for the container, and others that waited."""

    def __init__(self, job: Job, owner: Owner, clients: list[tuple[_socket.socket, Attach]]) -> None:
        self._job = job
        self._owner = owner
        self._clients = clients
        self._listener: _socket.socket | None = None
        self._last: Supervisor  # of the life that goes on or has just ended
        self._lives = 0
        self._exit_code = 0
        self._log: Log | None = None

    def keep(self) -> None:
        """Returns when the container has ended for good and its clients have everything."""
        try:
            process, pipes = self._make()
        except BaseException as error:
            self._owner.failed(error)
            for channel, _attach in self._clients:
                _tell(channel, describe_error(error))
            self._owner.cleanup()
            return
        while (delay := self._live(process, pipes)) is not None:
            try:
                again = self._wait(delay)
                if again:
                    process, pipes = self._make()
                else:
                    self._owner.failed(None)
            except BaseException as error:
                again = False
                self._owner.failed(error)
            if not again:
                self._last.finish({"exited": self._exit_code})
                break
        self._owner.cleanup()
        self._last.linger()

    def _make(self) -> tuple[AnyProcess, Pipes]:
        """Make the container and start its command; whatever fails, nothing of it is left."""
        pipes = Pipes(self._job)
        process = self._owner.create(pipes.stdio())
        try:
            self._log = _open_log(self._job)
            if self._listener is None and self._job.directory:
                self._listener = _listen(self._job.directory)
            process.start()
            pipes.started(process.console)
            self._owner.started(process.pid)
        except BaseException:
            process.delete()
            raise
        return process, pipes

    def _live(self, process: AnyProcess, pipes: Pipes) -> float | None:
        """Until it has ended and its clients know; seconds until it is to be started again, or None."""
        held = _hold_mounts(process.pid)
        log = self._log

        def obey(message: dict[str, Any]) -> dict[str, Any]:
            from wherry.monitor.commands import obey

            return obey(message, process, self._owner, supervisor)

        supervisor = Supervisor(
            process.pidfd,
            pipes.outputs,
            pipes.stdin,
            log,
            obey,
            on_end=process.ended,
            listener=self._listener,
            stdin_once=self._job.stdin_once,
        )
        supervisor.welcome({"started": process.pid})
        if not self._lives:
            for channel, attach in self._clients:
                supervisor.add(channel, attach)
            self._clients.clear()
        else:
            supervisor.take_over(self._last)
        self._last = supervisor
        self._lives += 1
        self._owner.watch(process.pid, supervisor)
        supervisor.run()
        self._exit_code = _exit_code(process)
        oom_killed = process.cgroup is not None and process.cgroup.oom_kills() > 0
        if log is not None:
            log.close()
        delay = self._owner.exited(self._exit_code, oom_killed)
        message = {"exited": self._exit_code, "oom_killed": oom_killed, "restarting": delay is not None}
        supervisor.finish(message, again=delay is not None)
        os.close(held)
        process.delete()
        return delay

    def _wait(self, seconds: float) -> bool:
        """Let time pass before the next start; False when somebody does not want it any more."""
        from wherry.monitor.commands import obey_waiting

        over = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        wanted = [True]

        def give_up() -> None:
            wanted[0] = False
            os.eventfd_write(over, 1)

        supervisor = Supervisor(
            over, {}, None, None, lambda message: obey_waiting(message, self._owner, give_up), listener=self._listener
        )
        supervisor.welcome({"started": 0})
        supervisor.take_over(self._last)
        self._last = supervisor
        supervisor.later(seconds, lambda: os.eventfd_write(over, 1))
        supervisor.run()
        os.close(over)
        return wanted[0]


def _listen(directory: str) -> _socket.socket:
    """The socket that clients connect to, for the container's owner alone.

    It is bound through a descriptor: the path of a unix socket has 107 bytes at most (unix(7)).
    """
    at = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    listener = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM | _socket.SOCK_NONBLOCK | _socket.SOCK_CLOEXEC, 0)
    try:
        os.fchmod(listener.fileno(), 0o600)  # becomes the mode of the file
        path = f"/proc/self/fd/{at}/{SOCKET}"
        try:
            listener.bind(path)
        except OSError as error:
            if error.errno != EADDRINUSE:
                raise
            os.unlink(path)  # a monitor that was killed left it: its successor holds the lock
            listener.bind(path)
        listener.listen(_BACKLOG)
        return listener
    except OSError as error:
        listener.close()
        raise SystemFailure("listen for clients", "bind", error.errno or 0) from None
    finally:
        os.close(at)


def _hold_mounts(pid: int) -> int:
    """Keep the container's mount namespace until the client has been told of the end: unmounting everything takes the
    kernel milliseconds, which the exiting process would spend first."""
    try:
        return os.open(f"/proc/{pid}/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:  # it has ended already
        return os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC)


def _open_log(job: Job) -> Log | None:
    if job.log is None:
        return None
    from wherry.monitor.log import open_log

    try:
        return open_log(job.log)
    except OSError as error:
        raise SystemFailure(f"open the log {job.log['path']}", "open", error.errno or 0) from None


def _tell(channel: _socket.socket, message: dict[str, Any]) -> None:
    try:
        channel.sendall(control(message))
        channel.close()
    except OSError:
        pass  # nobody listens any more; the database has it


def _exit_code(process: AnyProcess) -> int:
    """Docker's: the status, or 128 plus the signal that ended it."""
    code = os.waitstatus_to_exitcode(process.wait())
    return 128 - code if code < 0 else code


class Pipes:
    """The container's standard streams: pipes, or a pty that the runtime opens inside the container."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._inner: list[int] = []
        self.outputs: dict[int, int] = {}
        self.stdin: int | None = None

    def stdio(self) -> Stdio:
        """The container's ends, owned by this object until `started`."""
        from wherry.runtime.create import Stdio

        if self._job.terminal:
            return Stdio(-1, -1, -1)
        if self._job.open_stdin:
            inner, self.stdin = os.pipe2(os.O_CLOEXEC)
        else:
            inner = os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC)
        self._inner.append(inner)
        for stream in (STDOUT, STDERR):
            reader, writer = os.pipe2(os.O_CLOEXEC)
            self.outputs[reader] = stream
            self._inner.append(writer)
        return Stdio(*self._inner)

    def started(self, console: int | None) -> None:
        """Close the container's ends, so that its exit is an end-of-file here; take over its terminal."""
        for fd in self._inner:
            os.close(fd)
        self._inner.clear()
        if self._job.terminal:
            if console is None:
                raise SystemFailure("open the container's terminal", "recvmsg", 5)
            self.outputs[console] = STDOUT
            if self._job.open_stdin:
                self.stdin = console
