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
from _struct import pack, unpack

from wherry import precompiled
from wherry.errors import WherryError
from wherry.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any, Protocol, Self

    from wherry.monitor.supervise import Supervisor
    from wherry.runtime.create import Stdio
    from wherry.runtime.executed import ExecutedProcess
    from wherry.runtime.external import ExternalProcess
    from wherry.runtime.process import Process

    Attach = tuple[bool, bool, bool] | None
    AnyProcess = Process | ExternalProcess | ExecutedProcess

    class Owner(Protocol):
        """What the engine does when a container's life goes on; called in the monitor, in this order."""

        def create(self, stdio: Stdio) -> AnyProcess:
            """Make the container, up to its first instruction."""

        def started(self, pid: int) -> None:
            """Its command runs."""

        def failed(self, error: BaseException | None) -> None:
            """It could not be made or started, or (None) is not to be started again; nothing of it runs."""

        @property
        def is_paused(self) -> bool:
            """Whether it is frozen."""

        def paused(self, yes: bool, /) -> None:
            """It has been frozen, or goes on."""

        def note(self, action: str, /, **attributes: str) -> None:
            """Something was done to it that changes no state: "kill", "resize"."""

        def stopping(self, signal: int, *, keep: bool = False) -> bool:
            """Somebody sends a signal, or with 0 asks it to end, or -1: the machine goes down; whether it is not to be
            started again then.

            ``keep``: its end is no reason to remove it.
            """

        def exited(self, exit_code: int, oom_killed: bool) -> float | None:
            """It has ended; who waits is told when this returns.  Seconds until it is to be started again, or None."""

        def updated(self, record: str, /) -> None:
            """Its record is another one now."""

        def watch(self, pid: int, supervisor: Supervisor) -> None:
            """It is supervised now: what else there is to watch until it has `exited`."""

        def rest(self) -> None:
            """Its values are about to go to another process: let go of what cannot."""

        def cleanup(self) -> None:
            """Remove what is left; nobody waits for it."""

else:
    Protocol = object


SOCKET = "monitor.sock"
"""Its name in the container's directory of the run root."""

_ALL_DESCRIPTORS = 1 << 20
MOST_CLIENTS = 250  # that come along with a job: SCM_MAX_FD is 253


class Job(Record):
    """One container to look after.  ``details`` is for the `Owner`: plain values that marshal can write.

    ``directory`` is the container's in the run root, there from when the `Owner` has created it: clients find the
    socket in it.  ``attach`` says which of stdin, stdout and stderr the client at the other end of the channel gets;
    None: it only waits.
    """

    terminal: bool
    open_stdin: bool
    log: dict[str, Any] | None  # what `wherry.monitor.log.open_log` takes
    details: dict[str, Any]
    title: str  # what the monitor is called in a list of processes
    directory: str = ""  # "": no other clients
    stdin_once: bool = True  # input ends with the first client that was attached to it
    attach: tuple[bool, bool, bool] | None = (True, True, True)
    others: tuple[tuple[bool, bool, bool] | None, ...] = ()  # the same of the clients whose sockets come along


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
            leave_terminal([theirs.fileno(), *precompiled.descriptors()])
            _try(load)
            job, others = _receive(theirs)
            if job is not None:
                from wherry.monitor.keep import Keeper

                clients = [(theirs, job.attach), *zip(others, job.others, strict=True)]
                Keeper(job, own(job.details), clients).keep()
        finally:
            os._exit(0)

    def begin(self, job: Job, clients: Sequence[int] = ()) -> None:
        """Hand over the container; what becomes of it is told on ``channel`` (`wherry.monitor.protocol`), and to
        ``clients`` that are here already, descriptors of sockets."""
        body = marshal.dumps(job.as_dict())
        rights = [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, pack(f"={len(clients)}i", *clients))] if clients else []
        try:
            self.channel.sendmsg([pack("=I", len(body))], rights)
            self.channel.sendall(body)
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


def _receive(channel: _socket.socket) -> tuple[Job | None, list[_socket.socket]]:
    """The job, or None when the parent has gone without one; and the sockets of clients that came along."""
    space = _socket.CMSG_LEN(4 * MOST_CLIENTS)
    header, rights, _flags, _address = channel.recvmsg(4, space, _socket.MSG_WAITALL | _socket.MSG_CMSG_CLOEXEC)
    sent = [fd for _level, _kind, data in rights for fd in unpack(f"={len(data) // 4}i", data)]
    clients = [_socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM, 0, fd) for fd in sent]
    if len(header) < 4:
        return None, clients
    (size,) = unpack("=I", header)
    body = channel.recv(size, _socket.MSG_WAITALL)
    return Job(**marshal.loads(body)) if len(body) == size else None, clients


def leave_terminal(kept: list[int]) -> None:
    """Become a session of its own, with no terminal, and of the parent's descriptors only those in ``kept``."""
    os.setsid()
    for number in (_signal.SIGTERM, _signal.SIGHUP):
        _signal.signal(number, _signal.SIG_DFL)  # the parent's way of ending is not this process's
    null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
    for fd in (0, 1, 2):
        os.dup2(null, fd)
    keep_only(kept)
    os.chdir("/")


def keep_only(descriptors: list[int]) -> None:
    """Close every descriptor but the standard ones and these."""
    first = 3
    for fd in sorted(descriptors):
        os.closerange(first, fd)
        first = fd + 1
    os.closerange(first, _ALL_DESCRIPTORS)
