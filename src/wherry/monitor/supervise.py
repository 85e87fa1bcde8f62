"""The loop of a monitor: bytes between a container and its client, until the container ends."""

from __future__ import annotations

import os
import select
from _socket import SHUT_RD

from wherry.monitor.protocol import CONTROL, MAX_PAYLOAD, STDERR, STDIN, Decoder, control, frame, parse_control

TYPE_CHECKING = False
if TYPE_CHECKING:
    from _socket import socket
    from collections.abc import Callable
    from typing import Any

    from wherry.monitor.log import JSONFileLog

HIGH_WATER = 1 << 20  # bytes waiting for a reader before its writer is made to wait
DRAIN_MS = 1000  # how long output is awaited from processes that outlive the container's first one
_READ = select.POLLIN
_GONE = select.POLLHUP | select.POLLERR | select.POLLNVAL


class Supervisor:
    """Relays streams and commands; ``run`` returns when the container has ended and its output is relayed.

    ``outputs`` maps a readable descriptor to its stream (STDOUT or STDERR); with a terminal it is the pty's master,
    which is then ``stdin`` as well.  ``on_end`` is called as soon as ``pidfd`` says that it has ended.  A reader that
    does not keep up makes the container wait, as a pipe would.
    """

    def __init__(
        self,
        pidfd: int,
        outputs: dict[int, int],
        stdin: int | None,
        client: socket | None,
        log: JSONFileLog | None,
        on_control: Callable[[dict[str, Any]], None],
        on_end: Callable[[], object] = lambda: None,
    ) -> None:
        self._pidfd = pidfd
        self._outputs = outputs
        self._stdin = stdin
        self._client = client
        self._log = log
        self._on_control = on_control
        self._on_end = on_end
        self._decoder = Decoder()
        self._to_client = bytearray()
        self._to_stdin = bytearray()
        self._stdin_ended = False
        self._terminal = stdin is not None and stdin in outputs
        self._poll = select.poll()
        self._interest: dict[int, int] = {}

    def run(self) -> None:
        """Relay until the container's first process has ended and no output is left."""
        for fd in (*self._outputs, *([self._stdin] if self._stdin is not None else [])):
            os.set_blocking(fd, False)
        if self._client is not None:
            self._client.setblocking(False)
        ended = False
        while not ended or self._outputs:
            self._watch(ended)
            events = self._poll.poll(DRAIN_MS if ended else None)
            if ended and not events and not self._to_client:
                break
            for fd, event in events:
                if fd == self._pidfd:
                    ended = True
                    self._on_end()
                else:
                    self._handle(fd, event)

    def send(self, message: dict[str, Any]) -> None:
        """Queue an event for the client, behind the output that came before it."""
        if self._client is not None:
            self._to_client += control(message)

    def flush(self) -> None:
        """Wait until the client has everything or is gone; what it still sends is not for anybody."""
        self._close_stdin()
        while self._client is not None and self._to_client:
            fd = self._client.fileno()
            waiting = select.poll()
            waiting.register(fd, _READ | select.POLLOUT)
            waiting.poll()
            self._write_client()
            self._read_client()
        if self._client is not None:
            self._client.shutdown(SHUT_RD)  # wakes a client that is still writing
            self._client.close()
            self._client = None

    def _watch(self, ended: bool) -> None:
        wanted: dict[int, int] = {}
        if not ended:
            wanted[self._pidfd] = _READ
        if len(self._to_client) < HIGH_WATER:
            for fd in self._outputs:
                wanted[fd] = _READ
        if self._stdin is not None and self._to_stdin:
            wanted[self._stdin] = wanted.get(self._stdin, 0) | select.POLLOUT
        if self._client is not None:
            fd = self._client.fileno()
            wanted[fd] = (_READ if len(self._to_stdin) < HIGH_WATER else 0) | (select.POLLOUT if self._to_client else 0)
        if wanted == self._interest:
            return
        for fd in self._interest.keys() - wanted.keys():
            self._poll.unregister(fd)
        for fd, events in wanted.items():
            if self._interest.get(fd) != events:
                self._poll.register(fd, events)
        self._interest = wanted

    def _handle(self, fd: int, event: int) -> None:
        if fd == self._stdin and event & select.POLLOUT:
            self._feed_stdin()
        if fd in self._outputs and event & (_READ | _GONE):
            self._read_output(fd)
        elif fd == self._stdin and event & _GONE:
            self._close_stdin()
        elif self._client is not None and fd == self._client.fileno():
            if event & select.POLLOUT:
                self._write_client()
            if event & (_READ | _GONE):
                self._read_client()

    def _read_output(self, fd: int) -> None:
        stream = self._outputs[fd]
        try:
            data = os.read(fd, MAX_PAYLOAD)
        except BlockingIOError:
            return
        except OSError:  # EIO: the last process of a pty's slave side has gone
            data = b""
        if not data:
            del self._outputs[fd]
            self._forget(fd)
            if fd == self._stdin:
                self._stdin = None
            os.close(fd)
            return
        if self._log is not None:
            self._log.write("stderr" if stream == STDERR else "stdout", data)
        if self._client is not None:
            self._to_client += frame(stream, data)
            self._write_client()

    def _write_client(self) -> None:
        if self._client is None or not self._to_client:
            return
        try:
            sent = self._client.send(self._to_client)
        except BlockingIOError:
            return
        except OSError:
            self._drop_client()
            return
        del self._to_client[:sent]

    def _read_client(self) -> None:
        if self._client is None:
            return
        try:
            data = self._client.recv(MAX_PAYLOAD)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._drop_client()
            return
        try:
            for kind, payload in self._decoder.feed(data):
                if kind == STDIN:
                    self._take_stdin(payload)
                elif kind == CONTROL:
                    self._on_control(parse_control(payload))
        except ValueError:
            self._drop_client()

    def _take_stdin(self, payload: bytes) -> None:
        if payload:
            if self._stdin is not None and not self._stdin_ended:
                self._to_stdin += payload
                self._feed_stdin()
        else:
            self._end_stdin()

    def _feed_stdin(self) -> None:
        if self._stdin is None:
            self._to_stdin.clear()
            return
        try:
            while self._to_stdin:
                del self._to_stdin[: os.write(self._stdin, self._to_stdin)]
        except BlockingIOError:
            return
        except OSError:
            self._close_stdin()
            return
        if self._stdin_ended:
            self._close_stdin()

    def _end_stdin(self) -> None:
        self._stdin_ended = True
        if not self._to_stdin:
            self._close_stdin()

    def _close_stdin(self) -> None:
        self._to_stdin.clear()
        if self._stdin is not None and not self._terminal:
            self._forget(self._stdin)
            os.close(self._stdin)
            self._stdin = None

    def _drop_client(self) -> None:
        """The client is gone: its standard input ends, the container goes on."""
        if self._client is None:
            return
        self._forget(self._client.fileno())
        self._client.close()
        self._client = None
        self._to_client.clear()
        self._end_stdin()

    def _forget(self, fd: int) -> None:
        if self._interest.pop(fd, None) is not None:
            self._poll.unregister(fd)
