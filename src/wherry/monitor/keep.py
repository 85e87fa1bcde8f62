"""The lives of one container under its monitor: made, watched until it ends, started again when its owner says so."""

from __future__ import annotations

import _socket
import os
from errno import EADDRINUSE

from wherry.errors import SystemFailure
from wherry.monitor.main import SOCKET
from wherry.monitor.protocol import STDERR, STDOUT, control, describe_error

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from wherry.monitor.log import Log
    from wherry.monitor.main import AnyProcess, Attach, Job, Owner
    from wherry.monitor.supervise import Supervisor
    from wherry.runtime.create import Stdio

REST_AFTER, REST_AGAIN = 2.0, 60.0
"""Seconds after which a container is one that stays; from an interruption of its monitor's rest to the next rest, which
with the waking takes 30 ms of a processor."""

_BACKLOG = 128
_PIPE = 1 << 18


class Keeper:
    """``clients`` are there from the first life's start: whoever asked for the container, and others that waited.

    While a container lives ``process`` is its first process and ``supervisor`` the loop that watches it.
    """

    supervisor: Supervisor  # of the life that goes on or has just ended
    process: AnyProcess

    def __init__(self, job: Job, owner: Owner, clients: list[tuple[_socket.socket, Attach]]) -> None:
        self.job = job
        self.owner = owner
        self.listener: _socket.socket | None = None
        self.log: Log | None = None
        self.prepared = False  # what resting needs has been seen to
        self.restless = ""  # what has kept it from resting, as it was told
        self._clients = clients
        self._lives = 0
        self._exit_code = 0
        self._held = -1

    def keep(self) -> None:
        """Returns when the container has ended for good and its clients have everything.

        Whatever fails on the way, the owner cleans up.
        """
        try:
            pipes = self._make()
        except BaseException as error:
            try:
                self.owner.failed(error)
            finally:
                for channel, _attach in self._clients:
                    _tell(channel, describe_error(error))
                self.owner.cleanup()
            return
        self._lives_of(pipes)

    def go_on(self) -> None:
        """The same from the end of the life's loop on."""
        self._lives_of(None)

    def _lives_of(self, pipes: Pipes | None) -> None:
        """``pipes`` are those of a life that begins."""
        try:
            if pipes is not None:
                self._live(pipes)
            while (delay := self._end()) is not None:
                try:
                    again = self._wait(delay)
                    if again:
                        pipes = self._make()
                    else:
                        self.owner.failed(None)
                except BaseException as error:
                    again = False
                    self.owner.failed(error)
                if not again or pipes is None:
                    self.supervisor.finish({"exited": self._exit_code})
                    break
                self._live(pipes)
        finally:
            self.owner.cleanup()
        self.supervisor.linger()

    def _make(self) -> Pipes:
        """Make the container and start its command; whatever fails, nothing of it is left."""
        pipes = Pipes(self.job)
        process = self.process = self.owner.create(pipes.stdio())
        try:
            self.log = _open_log(self.job)
            if self.listener is None and self.job.directory:
                self.listener = _listen(self.job.directory)
            process.start()
            pipes.started(process.console)
            self.owner.started(process.pid)
        except BaseException:
            process.delete()
            raise
        return pipes

    def _live(self, pipes: Pipes) -> None:
        """Until it has ended."""
        from wherry.monitor.supervise import Supervisor

        process = self.process
        self._held = _hold_mounts(process.pid)
        supervisor = Supervisor(
            process.pidfd,
            pipes.outputs,
            pipes.stdin,
            self.log,
            self.obey,
            on_end=process.ended,
            listener=self.listener,
            stdin_once=self.job.stdin_once,
        )
        supervisor.welcome({"started": process.pid})
        if not self._lives:
            for channel, attach in self._clients:
                supervisor.add(channel, attach)
            self._clients.clear()
        else:
            supervisor.take_over(self.supervisor)
        self.supervisor = supervisor
        self._lives += 1
        self.owner.watch(process.pid, supervisor)
        supervisor.later(REST_AFTER, self.rest)
        supervisor.run()

    def obey(self, message: dict[str, Any]) -> dict[str, Any]:
        """Carry out a client's command."""
        from wherry.monitor.commands import obey

        return obey(message, self.process, self.owner, self.supervisor)

    def awake(self) -> None:
        """Loaded again, into the process that rested."""
        self.supervisor.later(REST_AGAIN, self.rest)

    def rest(self) -> None:
        """Become a small process, now or later."""
        from wherry.monitor.rest import rest_if_possible

        rest_if_possible(self)
        self.awake()

    def _end(self) -> float | None:
        """Its clients are told; seconds until it is to be started again, or None."""
        process = self.process
        self._exit_code = _exit_code(process)
        oom_killed = process.cgroup is not None and process.cgroup.oom_kills() > 0
        if self.log is not None:
            self.log.close()
        delay = self.owner.exited(self._exit_code, oom_killed)
        message = {"exited": self._exit_code, "oom_killed": oom_killed, "restarting": delay is not None}
        self.supervisor.finish(message, again=delay is not None)
        os.close(self._held)
        process.delete()
        return delay

    def _wait(self, seconds: float) -> bool:
        """Let time pass before the next start; False when somebody does not want it any more."""
        from wherry.monitor.commands import obey_waiting
        from wherry.monitor.supervise import Supervisor

        over = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        wanted = [True]

        def give_up() -> None:
            wanted[0] = False
            os.eventfd_write(over, 1)

        supervisor = Supervisor(
            over, {}, None, None, lambda message: obey_waiting(message, self.owner, give_up), listener=self.listener
        )
        supervisor.welcome({"started": 0})
        supervisor.take_over(self.supervisor)
        self.supervisor = supervisor
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


def _widen(pipe: int) -> None:
    """Let a container write more before it has to wait for its monitor: a fifth less of a processor for much output.

    Not for others than root, whose pipes' memory is limited in all (pipe(7), pipe-user-pages-soft).
    """
    if os.geteuid() != 0:
        return
    import fcntl

    try:
        fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, _PIPE)
    except OSError:
        pass  # it does as it is


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
            _widen(reader)
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
