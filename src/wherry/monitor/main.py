"""From a fork to an exit status: the life of a monitor.

A `Monitor` is forked early by a single-threaded process, so that it loads what makes containers while its parent looks
up the image and writes the container's record.  Then it is given a `Job`: it makes the container, reports on its
channel, relays the streams, and tells its `Owner` what happened.  It outlives its parent.  A parent that ends without
giving it a job ends it too.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]
import _socket
import marshal
import os
from errno import EADDRINUSE
from struct import pack, unpack

from wherry import precompiled
from wherry.errors import SystemFailure, WherryError
from wherry.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Protocol, Self

    from wherry.monitor.log import JSONFileLog
    from wherry.runtime.create import Process, Stdio
    from wherry.runtime.executed import ExecutedProcess
    from wherry.runtime.external import ExternalProcess

    AnyProcess = Process | ExternalProcess | ExecutedProcess

    class Owner(Protocol):
        """What the engine does when a container's life goes on; called in the monitor, in this order."""

        def create(self, stdio: Stdio) -> AnyProcess:
            """Make the container, up to its first instruction."""

        def started(self, pid: int) -> None:
            """Its command runs."""

        def failed(self, error: BaseException) -> None:
            """It could not be made or started; nothing of it runs."""

        @property
        def is_paused(self) -> bool:
            """Whether it is frozen."""

        def paused(self, yes: bool, /) -> None:
            """It has been frozen, or goes on."""

        def note(self, action: str, /, **attributes: str) -> None:
            """Something was done to it that changes no state: "kill", "resize"."""

        def stopping(self) -> None:
            """It has been told to end."""

        def keep(self) -> None:
            """It is going to be started again: its end is no reason to remove it."""

        def exited(self, exit_code: int, oom_killed: bool) -> None:
            """It has ended; who waits is told when this returns."""

        def cleanup(self) -> None:
            """Remove what is left; nobody waits for it."""

else:
    Protocol = object


SOCKET = "monitor.sock"
"""Its name in the container's directory of the run root."""

_ALL_DESCRIPTORS = 1 << 20
_BACKLOG = 128


class Job(Record):
    """One container to look after.  ``details`` is for the `Owner`: plain values that marshal can write.

    ``directory`` is the container's in the run root, there from when the `Owner` has created it: clients find the
    socket in it.  ``attach`` says which of stdin, stdout and stderr the client at the other end of the channel gets;
    None: it only waits.
    """

    terminal: bool
    open_stdin: bool
    log_path: str  # "": no log
    details: dict[str, Any]
    directory: str = ""  # "": no other clients
    stdin_once: bool = True  # input ends with the first client that was attached to it
    attach: tuple[bool, bool, bool] | None = (True, True, True)


class Monitor:
    """The parent's side.  ``own`` makes the `Owner` from a job's details, in the monitor; ``load`` is called there at
    once, to import what will be needed."""

    def __init__(self, own: Callable[[dict[str, Any]], Owner], load: Callable[[], None]) -> None:
        self.channel, theirs = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_STREAM | _socket.SOCK_CLOEXEC, 0)
        if os.fork():
            theirs.close()
            return
        try:
            self.channel.close()
            _leave_terminal([theirs.fileno(), *precompiled.descriptors()])
            _try(load)
            job = _receive(theirs)
            if job is not None:
                _monitor(job, own(job.details), theirs)
        finally:
            os._exit(0)

    def begin(self, job: Job) -> None:
        """Hand over the container; what becomes of it is told on ``channel`` (`wherry.monitor.protocol`)."""
        body = marshal.dumps(job.as_dict())
        try:
            self.channel.sendall(pack("=I", len(body)) + body)
        except OSError:
            raise WherryError("the container's monitor could not be started") from None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _kind: object, error: object, _trace: object) -> None:
        if error is not None:
            self.channel.close()


def _try(load: Callable[[], None]) -> None:
    """Getting ready saves time and decides nothing: what is wrong now is met again, and told, when it matters."""
    try:
        load()
    except Exception:
        return


def _receive(channel: _socket.socket) -> Job | None:
    """The job, or None when the parent has gone without one."""
    header = channel.recv(4, _socket.MSG_WAITALL)
    if len(header) < 4:
        return None
    (size,) = unpack("=I", header)
    body = channel.recv(size, _socket.MSG_WAITALL)
    return Job(**marshal.loads(body)) if len(body) == size else None


def _leave_terminal(kept: list[int]) -> None:
    """Become a session of its own, with no terminal, and of the parent's descriptors only those in ``kept``."""
    os.setsid()
    for number in (_signal.SIGTERM, _signal.SIGHUP):
        _signal.signal(number, _signal.SIG_DFL)  # the parent's way of ending is not this process's
    null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
    for fd in (0, 1, 2):
        os.dup2(null, fd)
    first = 3
    for fd in sorted(kept):
        os.closerange(first, fd)
        first = fd + 1
    os.closerange(first, _ALL_DESCRIPTORS)
    os.chdir("/")


def _monitor(job: Job, owner: Owner, channel: _socket.socket) -> None:
    from wherry.monitor.protocol import describe_error
    from wherry.monitor.supervise import Supervisor

    try:
        pipes = Pipes(job)
        process = owner.create(pipes.stdio())
        try:
            listener = _listen(job.directory) if job.directory else None
            process.start()
            pipes.started(process.console)
            owner.started(process.pid)
        except BaseException:
            process.delete()
            raise
    except BaseException as error:
        owner.failed(error)
        _tell(channel, describe_error(error))
        owner.cleanup()
        return
    held = _hold_mounts(process.pid)
    log = _open_log(job)

    def obey(message: dict[str, Any]) -> dict[str, Any]:
        from wherry.monitor.commands import obey

        return obey(message, process, owner, supervisor)

    supervisor = Supervisor(
        process.pidfd,
        pipes.outputs,
        pipes.stdin,
        log,
        obey,
        on_end=process.ended,
        listener=listener,
        stdin_once=job.stdin_once,
    )
    supervisor.welcome({"started": process.pid})
    supervisor.add(channel, job.attach)
    supervisor.run()
    exit_code = _exit_code(process)
    oom_killed = process.cgroup is not None and process.cgroup.oom_kills() > 0
    if log is not None:
        log.close()
    owner.exited(exit_code, oom_killed)
    supervisor.finish({"exited": exit_code, "oom_killed": oom_killed})
    os.close(held)
    process.delete()
    owner.cleanup()
    supervisor.linger()


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
        from wherry.monitor.protocol import STDERR, STDOUT
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
        from wherry.monitor.protocol import STDOUT

        for fd in self._inner:
            os.close(fd)
        self._inner.clear()
        if self._job.terminal:
            if console is None:
                raise SystemFailure("open the container's terminal", "recvmsg", 5)
            self.outputs[console] = STDOUT
            if self._job.open_stdin:
                self.stdin = console
