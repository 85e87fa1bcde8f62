"""The network namespace of a store whose owner is not root: bridges, their rules and their way out are in there.

A process of its own holds it, and the pasta(1) or slirp4netns(1) that joins it to the host.  Whoever uses the namespace
is connected to a socket of the holder's, and is given a descriptor of the namespace; when nobody is connected any more,
however they have ended, the holder ends, and everything with it (docs/decisions/0114-rootless-bridges.md).
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]
import _socket
import os
import select
from struct import pack, unpack_from

from wherry.errors import SystemFailure, WherryError
from wherry.linux import links, namespaces, netns, prctl
from wherry.linux.ids import IdMap
from wherry.linux.netlink import Socket
from wherry.network import usermode
from wherry.store.locks import Lock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Self

    from wherry.engine.engine import Engine
    from wherry.network.usermode import Program, Running

_SOCKET = "holder.sock"
_PAUSE = 1.0  # seconds: before a program that was killed is started again, and before the end, as somebody may come
_SECONDS = 30.0  # for the holder to answer
_TRIES = 5


class Netns:
    """A use of the namespace, until `close`.  ``with netns:`` network code works in there.

    ``fd`` is a descriptor of the namespace; ``connection`` becomes readable when the holder has been killed.
    """

    def __init__(self, engine: Engine, connection: _socket.socket, fd: int) -> None:
        self._engine = engine
        self._agent: netns.Agent | None = None
        self.connection = connection
        self.fd = fd

    def __enter__(self) -> Self:
        self._agent = netns.Agent(self.fd, self._engine.will_fork)
        return self

    def __exit__(self, *_error: object) -> None:
        if self._agent is not None:
            self._agent.close()
            self._agent = None

    def again(self) -> None:
        """Its holder was killed: have another one hold the same namespace.  Raises what `join` does."""
        other = join(self._engine, self.fd)
        self.connection.close()
        self.connection = other.connection
        os.close(other.fd)

    def close(self) -> None:
        """Use it no more; nothing twice."""
        if self.fd >= 0:
            self.connection.close()
            os.close(self.fd)
            self.fd = -1


def reach(engine: Engine) -> Netns | None:
    """The namespace, if it is there."""
    connection = _socket.socket(_socket.AF_UNIX, _socket.SOCK_SEQPACKET | _socket.SOCK_CLOEXEC)
    connection.settimeout(_SECONDS)
    at = os.open(engine.layout.netns, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        connection.connect(f"/proc/self/fd/{at}/{_SOCKET}")  # the path of a socket has 107 bytes
        _data, passed, _flags, _address = connection.recvmsg(1, _socket.CMSG_SPACE(4), _socket.MSG_CMSG_CLOEXEC)
    except OSError:
        passed = []
    finally:
        os.close(at)
    if passed:
        return Netns(engine, connection, int(unpack_from("=i", passed[0][2])[0]))
    connection.close()
    return None


def join(engine: Engine, fd: int = -1) -> Netns:
    """The namespace, made if need be; with ``fd``, it is that one.

    Raises `NotSupported` without a program for its way out, or what that says.
    """
    for _ in range(_TRIES):
        found = reach(engine)
        if found is not None:
            return found
        with _lock(engine):
            if reach_and_close(engine):
                continue
            _start(engine, fd)
    raise SystemFailure("join the network namespace of the store", "connect", 111)


def reach_and_close(engine: Engine) -> bool:
    """Whether the namespace is there."""
    found = reach(engine)
    if found is not None:
        found.close()
    return found is not None


def _lock(engine: Engine) -> Lock:
    return Lock(f"{engine.layout.locks}/netns")


def tidy(engine: Engine) -> None:
    """End a program that has outlived a holder which was killed, and everybody who could have replaced it."""
    link = f"{engine.layout.netns}/{usermode.NAMESPACE}"
    if os.path.lexists(link):
        with _lock(engine):
            if not reach_and_close(engine) and os.path.lexists(link):
                os.unlink(link)


def _start(engine: Engine, fd: int) -> None:
    """Fork the holder, and wait until it is ready or has failed."""
    from wherry.engine.worker import answer_in, outcome_to

    program = usermode.find()
    if program is None:
        raise usermode.needed()
    directory, lock = engine.layout.netns, _lock(engine)
    answer = os.memfd_create("answer", os.MFD_CLOEXEC)
    read, write = os.pipe2(os.O_CLOEXEC)
    engine.will_fork()
    pid = os.fork()
    if pid == 0:
        try:
            _detach([answer, write, fd], directory)
            holder = Holder(program, directory, lock)
            outcome_to(answer, lambda: holder.begin(fd))
            os.close(write)
            if holder.running is not None:
                holder.run()
        finally:
            os._exit(0)
    os.close(write)
    try:
        os.waitpid(pid, 0)
        os.read(read, 1)
        if not os.fstat(answer).st_size:
            raise WherryError("the holder of the store's network namespace ended unexpectedly")
        answer_in(answer)
    finally:
        os.close(read)
        os.close(answer)


def _detach(kept: list[int], title: str) -> None:
    """Become a process that has nothing of its parent's but these descriptors."""
    from wherry import precompiled
    from wherry.monitor.main import keep_only

    os.setsid()
    if os.fork():
        os._exit(0)
    keep_only([fd for fd in (*kept, *precompiled.descriptors()) if fd >= 0])
    null = os.open("/dev/null", os.O_RDWR)
    for standard in range(3):
        os.dup2(null, standard)
    os.close(null)
    _signal.pthread_sigmask(_signal.SIG_SETMASK, [])
    for signal in (_signal.SIGTERM, _signal.SIGHUP, _signal.SIGINT):
        _signal.signal(signal, _signal.SIG_DFL)
    prctl.set_arguments(title.encode())


class Holder:
    """The process: ``directory`` is where its socket is and what the program needs, ``lock`` whoever starts one has."""

    def __init__(self, program: Program, directory: str, lock: Lock) -> None:
        self._program = program
        self._directory = directory
        self._lock = lock
        self._user = self._net = -1
        self._listener = _socket.socket(_socket.AF_UNIX, _socket.SOCK_SEQPACKET | _socket.SOCK_CLOEXEC)
        self._users: dict[int, _socket.socket] = {}
        self._poll = select.poll()
        self._pidfd = -1
        self.running: Running | None = None

    def begin(self, fd: int) -> None:
        """Make the namespace, or hold ``fd``; start the program, and listen."""
        if fd >= 0:
            self._user, self._net = namespaces.owner(fd), fd
        else:
            own = (IdMap(0, os.geteuid(), 1),), (IdMap(0, os.getegid(), 1),)
            self._user, self._net = namespaces.held(*own, "net")
        agent = netns.Agent(self._net, _nothing)
        try:
            with Socket() as there:
                there.do(links.up("lo"))
        finally:
            agent.close()
        os.chdir(self._directory)
        if os.path.lexists(_SOCKET):
            os.unlink(_SOCKET)
        self._listener.bind(_SOCKET)
        self._listener.listen(64)
        self._listener.setblocking(False)
        self._poll.register(self._listener.fileno(), select.POLLIN)
        self._connect()

    def _connect(self) -> None:
        own = f"/proc/{os.getpid()}/fd"
        self.running = usermode.start(self._program, f"{own}/{self._user}", f"{own}/{self._net}", self._directory, ())
        self._pidfd = os.pidfd_open(self.running.pid)
        self._poll.register(self._pidfd, select.POLLIN)

    def run(self) -> None:
        """Until nobody has used the namespace for a while."""
        while True:
            waits = self.running is None or not self._users
            events = self._poll.poll(_PAUSE * 1000 if waits else None)
            for fd, _event in events:
                if fd == self._pidfd:
                    self._disconnected()
                elif fd in self._users:
                    self._left(fd)
                else:
                    self._welcome()
            if not events and not self._users:
                if self._end():
                    return
            elif not events:
                self._try()

    def _welcome(self) -> None:
        try:
            fd, _address = self._listener._accept()  # type: ignore[attr-defined]
        except OSError:
            return
        user = _socket.socket(fileno=fd)
        passed = [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, pack("=i", self._net))]
        try:
            user.sendmsg([b"n"], passed)
        except OSError:  # it has gone again
            user.close()
            return
        self._users[fd] = user
        self._poll.register(fd, select.POLLIN)

    def _left(self, fd: int) -> None:
        self._poll.unregister(fd)
        self._users.pop(fd).close()

    def _disconnected(self) -> None:
        """The program has ended."""
        self._poll.unregister(self._pidfd)
        os.close(self._pidfd)
        self._pidfd = -1
        if self.running is not None:
            self.running.close()
            self.running = None

    def _try(self) -> None:
        try:
            self._connect()
        except WherryError:  # what it needs is not there now
            return

    def _end(self) -> bool:
        """Whether nobody has come while others were kept from starting a holder; then nothing is left."""
        if not self._lock.try_acquire():
            return False
        try:
            self._welcome()
            if self._users:
                return False
            os.unlink(_SOCKET)
            self._listener.close()
            if self.running is not None:
                self.running.close()
            for name in usermode.FILES:
                if os.path.lexists(name):
                    os.unlink(name)
            return True
        finally:
            self._lock.release(remove=True)


def _nothing() -> None:
    return
