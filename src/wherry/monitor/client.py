"""The other end of a monitor: a person's terminal, or the pipes of a script, joined to a container.

Used by ``run``, and by whatever attaches later.  Terminal handling is Docker's: raw mode while attached with a
terminal, window size on start and at SIGWINCH, detach keys, signals forwarded (docker-run(1), *--sig-proxy*).
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]
import os
import select

from wherry.errors import Cancelled, WherryError
from wherry.monitor.protocol import CONTROL, MAX_PAYLOAD, STDERR, STDIN, Decoder, control, frame, parse_control
from wherry.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from _socket import socket
    from typing import Any, Self

    from wherry.monitor.streams import Streams

NOT_FORWARDED = {_signal.SIGKILL, _signal.SIGSTOP, _signal.SIGCHLD, _signal.SIGPIPE, _signal.SIGURG, _signal.SIGWINCH}
FORCED_AFTER = 3  # SIGINT or SIGTERM this often ends the client itself, as the docker command does
_TERMINATION = (_signal.SIGINT, _signal.SIGTERM)


class Outcome(Record):
    """How an attachment ended: the container's exit status, or None when the person detached."""

    exit_code: int | None
    error: dict[str, Any] | None = None


class Client:
    """Relays until the container exits, the person detaches, or the monitor is gone.

    Entered as a context manager: the terminal's mode and the signal handlers are put back whatever happens.  What goes
    over the channel is decided in the last methods, which `wherry.client.attached` has otherwise.
    """

    def __init__(self, channel: socket, streams: Streams) -> None:
        self._channel = channel
        self._streams = streams
        self._outcome: Outcome | None = None
        self._stdin = streams.stdin
        self._saved_mode: list[Any] | None = None
        self._saved_handlers: dict[int, Any] = {}
        self._saved_wakeup = -1
        self._wakeup = (-1, -1)
        self._terminations = 0
        self._decoder = Decoder()
        self._pending = bytearray()
        self._poll = select.poll()
        self._keys_seen = 0

    def __enter__(self) -> Self:
        self._wakeup = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._saved_wakeup = _signal.set_wakeup_fd(self._wakeup[1], warn_on_full_buffer=False)
        wanted = set(_signal.valid_signals()) - NOT_FORWARDED if self._streams.sig_proxy else set()
        if self._streams.terminal:
            wanted.add(_signal.SIGWINCH)
        for number in wanted:
            if 32 <= number < _signal.SIGRTMIN:
                continue
            self._saved_handlers[number] = _signal.signal(number, _ignore)
        if self._streams.terminal and self._stdin is not None and os.isatty(self._stdin):
            self._saved_mode = _make_raw(self._stdin)
        return self

    def __exit__(self, *_exc: object) -> None:
        if self._saved_mode is not None and self._streams.stdin is not None:
            import termios

            termios.tcsetattr(self._streams.stdin, termios.TCSADRAIN, self._saved_mode)
        _signal.set_wakeup_fd(self._saved_wakeup)
        for number, handler in self._saved_handlers.items():
            _signal.signal(number, handler if handler is not None else _signal.SIG_DFL)
        for fd in self._wakeup:
            os.close(fd)

    def relay(self) -> Outcome:
        """Raises `Cancelled` when a person insists (three times SIGINT or SIGTERM), `WherryError` when the monitor
        ends without saying how the container did."""
        channel = self._channel.fileno()
        self._channel.setblocking(False)
        self._poll.register(self._wakeup[0], select.POLLIN)
        if self._streams.terminal:
            self._send_size()
        while self._outcome is None:
            self._watch()
            for fd, event in self._poll.poll():
                if fd == self._wakeup[0]:
                    for number in os.read(fd, 256):
                        self._forward(number)
                elif fd == channel and event & select.POLLOUT:
                    self._flush()
                if fd == channel and event & ~select.POLLOUT:
                    self._read_channel()
                elif fd == self._stdin:
                    self._read_stdin()
        return self._outcome

    def _watch(self) -> None:
        """Wait for what can be handled now: a container that does not read makes whoever types wait, but its own
        output is always taken."""
        self._poll.register(self._channel.fileno(), select.POLLIN | (select.POLLOUT if self._pending else 0))
        if self._stdin is not None:
            self._poll.register(self._stdin, select.POLLIN if len(self._pending) < MAX_PAYLOAD else 0)

    def _read_channel(self) -> None:
        try:
            data = self._channel.recv(MAX_PAYLOAD)
        except BlockingIOError:
            return
        except ConnectionResetError:
            data = b""
        self._outcome = (self._take(data) if data else self._ended()) or self._outcome

    def _show(self, kind: int, payload: bytes) -> None:
        _write_all(self._streams.stderr if kind == STDERR else self._streams.stdout, payload)

    def _read_stdin(self) -> None:
        """Pass on what was typed, end-of-file included."""
        assert self._stdin is not None
        try:
            data = os.read(self._stdin, MAX_PAYLOAD)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._poll.unregister(self._stdin)
            self._stdin = None
            self._give(b"")
        elif self._streams.terminal:
            from wherry.container.keys import strip

            data, self._keys_seen, detached = strip(self._streams.detach_keys, self._keys_seen, data)
            if data:
                self._give(data)
            if detached:
                self._outcome = Outcome(None)
        else:
            self._give(data)

    def _forward(self, number: int) -> None:
        if number == _signal.SIGWINCH and self._streams.terminal:
            self._send_size()
            return
        if number not in self._saved_handlers:
            return
        if number in _TERMINATION:
            self._terminations += 1
            if self._terminations >= FORCED_AFTER:
                raise Cancelled(f"got {FORCED_AFTER} SIGTERM/SIGINTs, forcefully exiting")
        self._signal(number)

    def _send_size(self) -> None:
        size = terminal_size(self._streams.stdout, self._streams.stdin)
        if size is not None:
            self._resize(size)

    def _send(self, data: bytes) -> None:
        self._pending += data
        self._flush()

    def _flush(self) -> None:
        try:
            while self._pending:
                del self._pending[: self._channel.send(self._pending)]
        except BlockingIOError:
            pass
        except OSError:  # the monitor is ending: what it said last is still to be read
            self._pending.clear()

    def _take(self, data: bytes) -> Outcome | None:
        """What came over the channel; how it ended, if that was said."""
        for kind, payload in self._decoder.feed(data):
            if kind != CONTROL:
                self._show(kind, payload)
                continue
            message = parse_control(payload)
            if "exited" in message:
                return Outcome(message["exited"])
            if "error" in message:
                return Outcome(None, message)
        return None

    def _ended(self) -> Outcome:
        """The channel is closed, and how the container did was not said."""
        raise WherryError("the container's monitor ended unexpectedly", hint="see `wherry ps -a`")

    def _give(self, data: bytes) -> None:
        """Send input; b"" is its end."""
        self._send(frame(STDIN, data))

    def _signal(self, number: int) -> None:
        self._send(control({"signal": number}))

    def _resize(self, size: tuple[int, int]) -> None:
        self._send(control({"resize": size}))


def terminal_size(*descriptors: int | None) -> tuple[int, int] | None:
    """(rows, columns) of the first descriptor that is a terminal, or None."""
    for fd in descriptors:
        if fd is not None:
            try:
                columns, rows = os.get_terminal_size(fd)
            except OSError:
                continue
            return rows, columns
    return None


def _ignore(_number: int, _frame: object) -> None:
    """Signals arrive through the wake-up descriptor."""


def _write_all(fd: int | None, data: bytes) -> None:
    """Write to a descriptor that may be non-blocking, shared with whoever started us."""
    if fd is None:
        return
    while data:
        try:
            data = data[os.write(fd, data) :]
        except BlockingIOError:
            select.select([], [fd], [])
        except BrokenPipeError:
            return


def _make_raw(fd: int) -> list[Any]:
    """Put a terminal into raw mode (cfmakeraw(3)); gives the mode to go back to."""
    import termios

    saved = termios.tcgetattr(fd)
    mode = termios.tcgetattr(fd)
    mode[0] &= ~(
        termios.IGNBRK
        | termios.BRKINT
        | termios.PARMRK
        | termios.ISTRIP
        | termios.INLCR
        | termios.IGNCR
        | termios.ICRNL
        | termios.IXON
    )
    mode[1] &= ~termios.OPOST
    mode[2] = mode[2] & ~(termios.CSIZE | termios.PARENB) | termios.CS8
    mode[3] &= ~(termios.ECHO | termios.ECHONL | termios.ICANON | termios.ISIG | termios.IEXTEN)
    mode[6][termios.VMIN] = 1
    mode[6][termios.VTIME] = 0
    termios.tcsetattr(fd, termios.TCSANOW, mode)
    return saved
