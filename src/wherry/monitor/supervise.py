"""The loop of a monitor: bytes between a container and its clients, until the container ends.

Clients come and go (`wherry.monitor.protocol` says what they may ask).  One that is attached makes the container wait
when it does not keep up, as a pipe would; one that only waits for the end, or gives a command, never does.
"""

from __future__ import annotations

import _socket
from posix import close, read, set_blocking, write
from time import monotonic

from wherry.monitor.loop import GONE, READ, WRITE, Loop
from wherry.monitor.peer import Peer
from wherry.monitor.protocol import CONTROL, MAX_PAYLOAD, STDERR, STDIN, control, frame, parse_control

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from wherry.monitor.log import Log

HIGH_WATER, END_WATER = 1 << 20, 8 << 20  # bytes that wait for a reader before its writer has to; after the end
DRAIN_SECONDS, DRAIN_MOST = 1.0, 10.0  # of silence, and at all: awaiting output of processes that outlive the first
MOST_CLIENTS = 1000


class Supervisor(Loop):
    """Relays streams and commands; ``run`` returns when the container has ended and its output is relayed.

    ``outputs`` maps a readable descriptor to its stream (STDOUT or STDERR); with a terminal it is the pty's master,
    which is then ``stdin`` as well.  ``on_control`` carries out a command and gives the answer; ``on_end`` is called
    as soon as ``pidfd`` says that it has ended.  With ``stdin_once`` its input ends with its first attached client.
    """

    def __init__(
        self,
        pidfd: int,
        outputs: dict[int, int],
        stdin: int | None,
        log: Log | None,
        on_control: Callable[[dict[str, Any]], dict[str, Any] | None],
        *,
        on_end: Callable[[], object] = lambda: None,
        listener: _socket.socket | None = None,
        stdin_once: bool = True,
    ) -> None:
        super().__init__()
        self._pidfd = pidfd
        self._outputs = outputs
        self._stdin = stdin
        self._log = log
        self._on_control = on_control
        self._on_end = on_end
        self._listener = listener
        self._stdin_once = stdin_once
        self._peers: dict[int, Peer] = {}
        self._welcome: dict[str, Any] = {}
        self._to_stdin, self._stdin_ended = bytearray(), False
        self._terminal = stdin is not None and stdin in outputs
        self._changed: set[Peer] = set()  # what is to be watched of them may be other than it was
        self._behind: set[Peer] = set()  # with too much that waits to be sent
        self._held = False  # what clients type is not read: the container does not read it either
        self._crowded = False  # there was no descriptor for one more client

    def welcome(self, message: dict[str, Any]) -> None:
        """What every client is told when it says what it wants."""
        self._welcome = message

    def add(self, socket: _socket.socket, attach: tuple[bool, bool, bool] | None) -> None:
        """A client that is here from the start, attached or waiting."""
        peer = self._peers[socket.fileno()] = Peer(socket)
        if attach is not None:
            peer.attach(*attach)
        self._tell(peer, self._welcome)

    def take_over(self, other: Supervisor) -> None:
        """The clients of one whose loop has returned; those that it has told of the end are sent the rest, and go."""
        self._peers, other._peers = other._peers, {}
        self._changed.update(self._peers.values())

    def values(self) -> dict[str, Any]:
        """What `resume` needs in another process that has the same descriptors; of the others only that they are."""
        return {
            "pidfd": self._pidfd,
            "outputs": self._outputs,
            "stdin": self._stdin,
            "stdin_once": self._stdin_once,
            "stdin_ended": self._stdin_ended,
            "to_stdin": bytes(self._to_stdin),
            "welcome": self._welcome,
            "peers": [peer.values() for peer in self._peers.values()],
            "others": list(self.others),
            "alarms": [when for when, _function in self.alarms],
            "holder": self.holder,
        }

    @classmethod
    def resume(
        cls,
        values: dict[str, Any],
        log: Log | None,
        listener: _socket.socket | None,
        on_control: Callable[[dict[str, Any]], dict[str, Any] | None],
        on_end: Callable[[], object],
    ) -> Supervisor:
        """The same as it was in another process; its ``alarms`` and ``others`` are the caller's to add."""
        made = cls(
            values["pidfd"],
            values["outputs"],
            values["stdin"],
            log,
            on_control,
            on_end=on_end,
            listener=listener,
            stdin_once=values["stdin_once"],
        )
        made._stdin_ended, made.holder = values["stdin_ended"], values["holder"]
        made._to_stdin += values["to_stdin"]
        made._welcome = values["welcome"]
        for one in values["peers"]:
            peer = Peer.resume(one)
            made._peers[peer.fd] = peer
        made._changed.update(made._peers.values())
        return made

    def run(self) -> None:
        """Relay until the container's first process has ended and no output is left."""
        for fd in (*self._outputs, *([self._stdin] if self._stdin is not None else [])):
            set_blocking(fd, False)
        ended, last = False, 0.0
        while not ended or self._outputs:
            timeout = DRAIN_SECONDS if ended else self._ring() if self.alarms else None
            self._watch(ended)
            events = self._epoll.poll(timeout)
            if ended and (not events or monotonic() > last):
                break
            for fd, event in events:
                if fd == self._pidfd:
                    ended, last = True, monotonic() + DRAIN_MOST
                    self._changed |= self._behind  # what the pipes still hold is read now, however slow a client is
                    self._on_end()
                else:
                    self._handle(fd, event)

    def finish(self, message: dict[str, Any], *, again: bool = False) -> None:
        """Tell every client how it ended; returns when those that keep up have been told.

        What clients still send is not for anybody; one that comes later finds nobody, unless the container is going to
        be started ``again``: then it waits for whoever takes over.
        """
        self._on_control = lambda _message: None
        self._close_stdin()
        for fd in [*self._outputs]:
            self._close_output(fd)
        if self._listener is not None and not again:
            self._accept()
            self._forget(self._listener.fileno())
            self._listener.close()
            self._listener = None
        for peer in self._peers.values():
            if not peer.leaving:
                peer.pending += control(message)
            peer.leaving, peer.streams, peer.stdin = True, (), False
        self._push(DRAIN_SECONDS)

    def linger(self) -> None:
        """Wait for the clients that `finish` left behind, until they have everything or are gone."""
        self._push(None)

    def _push(self, timeout: float | None) -> None:
        for peer in [*self._peers.values()]:
            self._write(peer)
            if peer.fd in self._peers:
                self._want(peer.fd, READ | WRITE)
        for fd in self._interest.keys() - self._peers.keys():
            self._forget(fd)
        while self._peers:
            events = self._epoll.poll(timeout)
            if not events:
                return
            for fd, event in events:
                if event & (READ | GONE) and fd in self._peers:
                    self._read(self._peers[fd])
                if event & WRITE and fd in self._peers:
                    self._write(self._peers[fd])

    def _watch(self, ended: bool) -> None:
        """Wait for what can be handled now, and for nothing else."""
        if self._held != (len(self._to_stdin) >= HIGH_WATER):
            self._held = not self._held
            self._changed.update([peer for peer in self._peers.values() if peer.stdin])
        while self._changed:
            self._watch_peer(self._changed.pop(), END_WATER if ended else HIGH_WATER)
        wanted = {} if ended else dict.fromkeys((self._pidfd, *self.others), READ)
        if not self._behind:
            for fd in self._outputs:
                wanted[fd] = READ
        if self._stdin is not None and self._to_stdin:
            wanted[self._stdin] = wanted.get(self._stdin, 0) | WRITE
        if self._log is not None and self._log.waiting:
            wanted[self._log.fd] = WRITE
        if self._listener is not None and len(self._peers) < MOST_CLIENTS and not self._crowded:
            wanted[self._listener.fileno()] = READ
        for fd in self._fixed.keys() - wanted.keys():
            self._forget(fd)
        for fd, events in wanted.items():
            self._want(fd, events)
        self._fixed = wanted

    def _watch_peer(self, peer: Peer, water: int) -> None:
        if self._peers.get(peer.fd) is not peer:  # gone meanwhile
            return
        self._want(peer.fd, (0 if self._held and peer.stdin else READ) | (WRITE if peer.pending else 0))
        if len(peer.pending) >= water and not peer.leaving:
            self._behind.add(peer)
        else:
            self._behind.discard(peer)

    def _handle(self, fd: int, event: int) -> None:
        if fd == self._stdin and event & WRITE:
            self._feed_stdin()
        if fd in self._outputs:
            if event & (READ | GONE):
                self._read_output(fd)
        elif fd == self._stdin:
            if event & GONE:
                self._close_stdin()
        elif fd in self._peers:
            peer = self._peers[fd]
            if event & WRITE:
                self._write(peer)
            if event & (READ | GONE) and fd in self._peers:
                self._read(peer)
        elif self._listener is not None and fd == self._listener.fileno():
            self._accept()
        elif self._log is not None and fd == self._log.fd:
            self._log.flush()
        elif fd in self.others:
            self.others[fd]()

    def _accept(self) -> None:
        assert self._listener is not None
        while len(self._peers) < MOST_CLIENTS:
            try:
                fd, _address = self._listener._accept()  # type: ignore[attr-defined]
            except BlockingIOError:
                return
            except OSError:  # too many files are open: asked again when somebody goes
                self._crowded = True
                return
            peer = self._peers[fd] = Peer(_socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM, 0, fd))
            self._changed.add(peer)

    def _read_output(self, fd: int) -> None:
        stream = self._outputs[fd]
        try:
            data = read(fd, MAX_PAYLOAD)
        except BlockingIOError:
            return
        except OSError:  # EIO: the last process of a pty's slave side has gone
            data = b""
        if not data:
            self._close_output(fd)
            return
        if self._log is not None:
            self._log.write("stderr" if stream == STDERR else "stdout", data)
        if self._peers:
            framed = frame(stream, data)
            for peer in list(self._peers.values()):
                if stream in peer.streams:
                    self._send(peer, framed)

    def _close_output(self, fd: int) -> None:
        del self._outputs[fd]
        self._forget(fd)
        if fd == self._stdin:
            self._stdin = None
        close(fd)

    def _tell(self, peer: Peer, message: dict[str, Any]) -> None:
        peer.pending += control(message)
        self._changed.add(peer)

    def _send(self, peer: Peer, data: bytes) -> None:
        """Send it now, or as much of it as goes, if nothing waits before it."""
        if not peer.pending:
            try:
                sent = peer.socket.send(data)
            except BlockingIOError:
                sent = 0
            except OSError:
                self._drop(peer)
                return
            if sent == len(data):
                return
            data = data[sent:]
        peer.pending += data
        self._changed.add(peer)

    def _write(self, peer: Peer) -> None:
        if peer.pending:
            try:
                del peer.pending[: peer.socket.send(peer.pending)]
            except BlockingIOError:
                return
            except OSError:
                self._drop(peer)
                return
            self._changed.add(peer)
        if peer.leaving and not peer.pending:
            try:
                peer.socket.shutdown(_socket.SHUT_RD)  # wakes a client that is still writing
            except OSError:
                pass  # it has gone already
            self._drop(peer)

    def _read(self, peer: Peer) -> None:
        try:
            data = peer.socket.recv(MAX_PAYLOAD)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._drop(peer)
            return
        try:
            for kind, payload in peer.decoder.feed(data):
                if kind == CONTROL:
                    self._take_control(peer, parse_control(payload))
                elif kind == STDIN and peer.stdin:
                    self._take_stdin(payload)
        except (ValueError, TypeError, KeyError, OverflowError):  # not a client of ours
            self._drop(peer)

    def _take_control(self, peer: Peer, message: dict[str, Any]) -> None:
        if "attach" in message:
            wanted = message["attach"]
            peer.attach(bool(wanted["stdin"]), bool(wanted["stdout"]), bool(wanted["stderr"]))
            self._tell(peer, self._welcome)
        elif "wait" in message:
            self._tell(peer, self._welcome)
        else:
            answer = self._on_control({**message, "client": peer.fd} if "hold" in message else message)
            if answer is not None and not peer.attached:
                self._tell(peer, answer)

    def _take_stdin(self, payload: bytes) -> None:
        if not payload:
            self._end_stdin()
        elif self._stdin is not None and not self._stdin_ended:
            self._to_stdin += payload
            self._feed_stdin()

    def _feed_stdin(self) -> None:
        if self._stdin is None:
            self._to_stdin.clear()
            return
        try:
            while self._to_stdin:
                del self._to_stdin[: write(self._stdin, self._to_stdin)]
        except BlockingIOError:
            return
        except OSError:
            self._close_stdin()
            return
        if self._stdin_ended:
            self._close_stdin()

    def _end_stdin(self) -> None:
        """The end of one client's input: the container's too, except for a terminal, which others may type at."""
        if self._terminal or not self._stdin_once:
            return
        self._stdin_ended = True
        if not self._to_stdin:
            self._close_stdin()

    def _close_stdin(self) -> None:
        self._to_stdin.clear()
        if self._stdin is not None and not self._terminal:
            self._forget(self._stdin)
            close(self._stdin)
            self._stdin = None

    def _drop(self, peer: Peer) -> None:
        """The client is gone: the container goes on."""
        if self._peers.pop(peer.fd, None) is None:
            return
        self._forget(peer.fd)
        self._behind.discard(peer)
        self._crowded = False
        peer.socket.close()
        peer.pending.clear()
        if peer.stdin:
            self._end_stdin()
        if peer.fd == self.holder:
            self._on_control({"unpause": True})
