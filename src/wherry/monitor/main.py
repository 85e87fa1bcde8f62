"""From a fork to an exit status: the life of a monitor.

`spawn` is called by a single-threaded process and returns at once with a channel; the new process makes the
container, reports on the channel, relays its streams, and tells its `Owner` what happened.  It outlives its caller.
"""

from __future__ import annotations

import _socket
import os

from wherry.errors import SystemFailure
from wherry.monitor.protocol import STDERR, STDOUT, describe_error
from wherry.monitor.supervise import Supervisor
from wherry.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Protocol

    from wherry.monitor.log import JSONFileLog
    from wherry.runtime.create import Process, Stdio
    from wherry.runtime.external import ExternalProcess

    AnyProcess = Process | ExternalProcess

    class Owner(Protocol):
        """What the engine does when a container's life goes on; called in the monitor, in this order."""

        def forked(self) -> None:
            """Before anything else: drop what cannot be shared with the parent process."""

        def create(self, stdio: Stdio) -> AnyProcess:
            """Make the container, up to its first instruction."""

        def started(self, pid: int) -> None:
            """Its command runs."""

        def failed(self, error: BaseException) -> None:
            """It could not be made or started; nothing of it runs."""

        def exited(self, exit_code: int, oom_killed: bool) -> None:
            """It has ended; who waits is told when this returns."""

        def cleanup(self) -> None:
            """Remove what is left; nobody waits for it."""

else:
    Protocol = object


class Job(Record):
    """How a container's streams are to be kept."""

    terminal: bool
    open_stdin: bool
    log_path: str  # "": no log


def spawn(job: Job, owner: Owner) -> _socket.socket:
    """Start a monitor; gives the first client's end of its channel (`wherry.monitor.protocol`)."""
    ours, theirs = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_STREAM | _socket.SOCK_CLOEXEC, 0)
    if os.fork():
        theirs.close()
        return ours
    try:
        ours.close()
        _leave_terminal()
        owner.forked()
        _monitor(job, owner, theirs)
    finally:
        os._exit(0)


def _leave_terminal() -> None:
    """Become a session of its own, with no terminal and no standard streams."""
    os.setsid()
    null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
    for fd in (0, 1, 2):
        os.dup2(null, fd)
    os.close(null)
    os.chdir("/")


def _monitor(job: Job, owner: Owner, channel: _socket.socket) -> None:
    try:
        pipes = Pipes(job)
        process = owner.create(pipes.stdio())
        try:
            process.start()
        except BaseException:
            process.delete()
            raise
        pipes.started(process.console)
    except BaseException as error:
        owner.failed(error)
        _tell(channel, describe_error(error))
        owner.cleanup()
        return
    owner.started(process.pid)
    log = _open_log(job)
    supervisor = Supervisor(
        process.pidfd, pipes.outputs, pipes.stdin, channel, log, lambda message: _obey(message, process)
    )
    supervisor.send({"started": process.pid})
    supervisor.run()
    exit_code = _exit_code(process)
    oom_killed = process.cgroup is not None and process.cgroup.oom_kills() > 0
    if log is not None:
        log.close()
    owner.exited(exit_code, oom_killed)
    supervisor.send({"exited": exit_code, "oom_killed": oom_killed})
    supervisor.flush()
    process.delete()
    owner.cleanup()


def _open_log(job: Job) -> JSONFileLog | None:
    if not job.log_path:
        return None
    from wherry.monitor.log import JSONFileLog

    return JSONFileLog(job.log_path)


def _tell(channel: _socket.socket, message: dict[str, Any]) -> None:
    from wherry.monitor.protocol import control

    try:
        channel.sendall(control(message))
        channel.close()
    except OSError:
        pass  # nobody listens any more; the database has it


def _obey(message: dict[str, Any], process: AnyProcess) -> None:
    """Carry out a client's CONTROL frame; what it does not know comes from a client of another version."""
    if "signal" in message:
        process.kill(int(message["signal"]))
    elif "resize" in message and process.console is not None:
        import fcntl
        import struct
        import termios

        rows, columns = message["resize"]
        try:
            fcntl.ioctl(process.console, termios.TIOCSWINSZ, struct.pack("HHHH", int(rows), int(columns), 0, 0))
        except OSError:
            pass  # the terminal has gone with its last process


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
