"""The process that forks for the server (docs/decisions/0140-spawner.md).

A server with threads must not fork: a child of it has every lock as it was at that moment.  And much of what a command
does, such as entering a user namespace, is for a process with one thread.  So a process is forked before there is any
thread or event loop, and forks a *worker* for each use case that changes something or goes on for long.  A worker does
one thing as a command would, tells how it goes, answers, and is gone; what it has made lives on, whatever becomes of
the server.
"""

from __future__ import annotations

import marshal
import os
import signal
import socket
from struct import pack, unpack

from wherry.errors import Unavailable, WherryError
from wherry.monitor.protocol import describe_error, raise_error
from wherry.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    Task = Callable[..., Any]

_MOST_DESCRIPTORS = 250  # of a message: SCM_MAX_FD is 253
_TELL, _DONE, _FAILED = "tell", "done", "failed"


class Answer(Record):
    """What a task came to: a plain value, and a descriptor that is the receiver's to close, or -1."""

    value: Any = None
    descriptor: int = -1


class Worker:
    """The worker's side of a call: the first argument of every task."""

    def __init__(self, channel: socket.socket, descriptors: Sequence[int]) -> None:
        self._channel = channel
        self.descriptors = tuple(descriptors)

    def tell(self, value: Any) -> None:
        """Say something before the end; waits while the server's client does not keep up."""
        self._send(_TELL, value)

    def end_with_client(self) -> None:
        """From now on nothing is worth finishing when nobody listens: the process ends with the connection."""
        import threading

        def watch() -> None:
            while self._channel.recv(1):
                pass
            os._exit(0)

        threading.Thread(target=watch, daemon=True).start()

    def _send(self, kind: str, value: Any, descriptor: int = -1) -> None:
        body = marshal.dumps((kind, value))
        header = pack("=I", len(body))
        if descriptor >= 0:
            socket.send_fds(self._channel, [header], [descriptor])
        else:
            self._channel.sendall(header)
        self._channel.sendall(body)


class Call:
    """The server's side: a task that is being done.  ``socket`` is readable when there is something to `hear`."""

    def __init__(self, channel: socket.socket) -> None:
        self.socket = channel

    def hear(self) -> tuple[Any, Answer | None]:
        """Waits for what is told next, or for the answer.  Raises what the task raised, `Unavailable` when it was
        killed."""
        try:
            header, descriptors, _flags, _address = socket.recv_fds(self.socket, 4, 1)
            size = unpack("=I", header)[0] if len(header) == 4 else 0
            body = self.socket.recv(size, socket.MSG_WAITALL) if size else b""
        except OSError:
            size, body = 0, b""
        if not size or len(body) < size:
            raise Unavailable("the process that was doing this ended unexpectedly")
        kind, value = marshal.loads(body)
        if kind == _TELL:
            return value, None
        if kind == _FAILED:
            raise_error(value)
        return None, Answer(value, descriptors[0] if descriptors else -1)

    def close(self) -> None:
        """Nobody listens any more."""
        self.socket.close()


class Spawner:
    """Made before the server has threads; ``call`` may then be used from any of them.

    ``tasks`` are functions by name, of a `Worker` and plain values, that give a plain value or an `Answer`.
    """

    def __init__(self, tasks: dict[str, Task]) -> None:
        self._channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._pid = os.fork()
        if self._pid == 0:
            try:
                self._channel.close()
                _serve(theirs, tasks)
            finally:
                os._exit(0)
        theirs.close()

    def call(self, name: str, *arguments: Any, descriptors: Sequence[int] = ()) -> Call:
        """Begin a task in a worker.  Raises `Unavailable`.  ``descriptors`` stay the caller's."""
        if len(descriptors) > _MOST_DESCRIPTORS:
            raise Unavailable(f"more than {_MOST_DESCRIPTORS} clients wait for one container to start")
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            with theirs:
                socket.send_fds(self._channel, [b"!"], [theirs.fileno()])
            body = marshal.dumps((name, arguments, len(descriptors)))
            socket.send_fds(ours, [pack("=I", len(body))], list(descriptors))
            ours.sendall(body)
        except OSError as error:
            ours.close()
            raise Unavailable(f"the process that makes others does not answer: {error}") from None
        return Call(ours)

    def close(self) -> None:
        """End it; workers finish what they do."""
        self._channel.close()
        os.waitpid(self._pid, 0)


def _serve(channel: socket.socket, tasks: dict[str, Task]) -> None:
    """Fork a worker for each request until the server has gone."""
    os.setsid()  # what a terminal sends to the server is not for us
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # workers are not waited for
    while True:
        header, descriptors, _flags, _address = socket.recv_fds(channel, 1, 1)
        if not header:
            return
        client = socket.socket(fileno=descriptors[0])
        if os.fork() == 0:
            channel.close()
            _work(client, tasks)
            os._exit(0)
        client.close()


def _work(client: socket.socket, tasks: dict[str, Task]) -> None:
    for number in (signal.SIGCHLD, signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    header, descriptors, _flags, _address = socket.recv_fds(client, 4, _MOST_DESCRIPTORS)
    size = unpack("=I", header)[0] if len(header) == 4 else 0
    body = client.recv(size, socket.MSG_WAITALL) if size else b""
    if not size or len(body) < size:
        return
    name, arguments, count = marshal.loads(body)
    worker = Worker(client, descriptors)
    try:
        if len(descriptors) != count:
            raise WherryError("the worker has too many files open")
        answer = tasks[name](worker, *arguments)
        if not isinstance(answer, Answer):
            answer = Answer(answer)
        worker._send(_DONE, answer.value, answer.descriptor)
    except BrokenPipeError:
        return
    except Exception as error:
        worker._send(_FAILED, describe_error(error))
