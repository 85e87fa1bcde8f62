"""Working in a network namespace from outside, for its owner who is not root.

Entering it takes its user namespace, which nobody leaves again, and who has entered one has no rights in another: no
process of the owner's could connect two.  But a process that has entered none has the owner's rights in all of them
(user_namespaces(7)), and lacks nothing but sockets that were made there.  An `Agent` is a child that makes them.
"""

from __future__ import annotations

import _socket
import marshal
import os
from struct import pack, unpack_from

from wherry.errors import SystemFailure
from wherry.linux import namespaces, netlink, prctl

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_LARGEST = 4096
_EPIPE = 32
_SIGKILL = 9


class Agent:
    """Opens sockets and kernel parameters in a network namespace, a descriptor of which is ``net``, until `close`.

    From when it is made until then it is what `wherry.linux.netlink` opens by.  The caller has a single thread;
    ``will_fork`` is called before there is another process.  Raises `SystemFailure`.
    """

    def __init__(self, net: int, will_fork: Callable[[], None]) -> None:
        self.net, self.will_fork = net, will_fork
        self._before = netlink.elsewhere
        self._channel, theirs = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
        will_fork()
        self._pid = os.fork()
        if self._pid == 0:
            try:
                _serve(theirs, net)
            finally:
                os._exit(0)
        theirs.close()
        try:
            self._answer()
        except OSError as error:
            self._end()
            raise SystemFailure("enter a network namespace", "setns", error.errno or 0) from None
        netlink.elsewhere = self

    def socket(self, family: int, kind: int, protocol: int) -> _socket.socket:
        """A socket that was made there.  Raises OSError."""
        return _socket.socket(family, kind, protocol, self._ask((family, kind & ~_socket.SOCK_CLOEXEC, protocol)))

    def open(self, path: str, flags: int) -> int:
        """A descriptor of a file, as it is there.  Raises OSError."""
        return self._ask((path, flags, 0))

    def _ask(self, what: tuple[Any, int, int]) -> int:
        self._channel.send(marshal.dumps(what))
        return self._answer()

    def _answer(self) -> int:
        answer, passed, _flags, _address = self._channel.recvmsg(
            _LARGEST, _socket.CMSG_SPACE(4), _socket.MSG_CMSG_CLOEXEC
        )
        errno = marshal.loads(answer) if answer else _EPIPE
        if errno:
            raise OSError(errno, os.strerror(errno))
        return int(unpack_from("=i", passed[0][2])[0]) if passed else -1

    def close(self) -> None:
        """End it."""
        netlink.elsewhere = self._before
        self._end()

    def _end(self) -> None:
        self._channel.close()
        os.waitpid(self._pid, 0)


def further(net: int) -> tuple[Agent, int]:
    """From where an agent works, go on to another namespace: an agent of that one, and a descriptor of the first."""
    first = netlink.elsewhere
    assert isinstance(first, Agent)
    return Agent(net, first.will_fork), os.dup(first.net)


def enter(net: int) -> None:
    """Enter a network namespace of the caller's own, and its user namespace first, for good.

    The caller has a single thread, and ends with its parent: the kernel forgets that it was to (prctl(2)).
    """
    parent = os.getppid()
    user = namespaces.owner(net)
    namespaces.enter(user, namespaces.CLONE_NEWUSER)
    os.close(user)
    namespaces.enter(net, namespaces.CLONE_NEWNET)
    prctl.set_parent_death_signal(_SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def _serve(channel: _socket.socket, net: int) -> None:
    """The child: it keeps no descriptor of its parent's, whose locks it would hold."""
    kept = sorted((channel.fileno(), net))
    os.closerange(3, kept[0])
    os.closerange(kept[0] + 1, kept[1])
    prctl.close_from(kept[1] + 1)
    try:
        enter(net)
        channel.send(_said(0))
    except OSError as error:
        channel.send(_said(error.errno or 5))
        return
    while request := channel.recv(_LARGEST):
        try:
            opened = _open(*marshal.loads(request))
        except OSError as error:
            channel.send(_said(error.errno or 5))
            continue
        channel.sendmsg([_said(0)], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, pack("=i", opened))])
        os.close(opened)


def _said(errno: int) -> bytes:
    return marshal.dumps(errno)


def _open(what: Any, more: int, protocol: int) -> int:
    if isinstance(what, str):
        return os.open(what, more)
    return _socket.socket(what, more, protocol).detach()
