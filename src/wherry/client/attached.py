"""A person's terminal, or a script's pipes, joined to a container or a command over an API (Engine API, *Attach*).

The bytes go over a connection that was HTTP; signals and the size of the window are requests of their own, and how it
ended is asked for afterwards.
"""

from __future__ import annotations

import socket as sockets

from wherry.errors import Unavailable, WherryError
from wherry.monitor.client import Client, Outcome, terminal_size
from wherry.monitor.protocol import STDERR, STDOUT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from wherry.monitor.streams import Streams

    Size = tuple[int, int]

_HEADER = 8


class Demultiplexer:
    """Cuts multiplexed output into pieces of the two streams, as it comes: a frame may be of any length."""

    def __init__(self) -> None:
        self._pending = b""
        self._kind = STDOUT
        self._left = 0

    def feed(self, data: bytes) -> Iterator[tuple[int, bytes]]:
        """Kind and bytes of what ``data`` holds.  Raises `WherryError` for what are no frames."""
        data = self._pending + data
        while data:
            if not self._left:
                if len(data) < _HEADER:
                    break
                self._kind, self._left = data[0], int.from_bytes(data[4:_HEADER], "big")
                if self._kind > STDERR + 1 or data[1:4] != b"\0\0\0":
                    raise WherryError("the engine's stream is not what it should be: it has no frames")
                data = data[_HEADER:]
                continue
            piece, data = data[: self._left], data[self._left :]
            self._left -= len(piece)
            if self._kind == STDERR + 1:
                raise WherryError(piece.decode(errors="replace"))  # an error of the engine's, in the stream
            yield self._kind, piece
        self._pending = data


class Attached(Client):
    """Relays until the other side has ended its half, or the person has detached."""

    def __init__(
        self,
        connection: tuple[sockets.socket, bytes],
        streams: Streams,
        *,
        resize: Callable[[Size], None],
        signal: Callable[[int], None],
    ) -> None:
        super().__init__(connection[0], streams)
        self._first = connection[1]
        self._demultiplexer = Demultiplexer()
        self._asked_to_resize, self._asked_to_signal = resize, signal
        self._input_ended = False

    def attend(self, *, redraw: bool = False) -> bool:
        """Relay; whether the person left.  ``redraw``: have programs on the terminal draw anew, which they do when its
        size changes."""
        size = terminal_size(self._streams.stdout, self._streams.stdin) if redraw and self._streams.terminal else None
        if size is not None:
            self._resize((size[0] + 1, size[1]))  # another than the true one, which follows
        self._take(self._first)
        return self.relay() is not _END

    def _take(self, data: bytes) -> Outcome | None:
        if self._streams.terminal:
            self._show(STDOUT, data)
        else:
            for kind, piece in self._demultiplexer.feed(data):
                self._show(kind, piece)
        return None

    def _ended(self) -> Outcome:
        return _END

    def _give(self, data: bytes) -> None:
        if not data:
            self._input_ended = True
        self._send(data)

    def _flush(self) -> None:
        super()._flush()
        if self._input_ended and not self._pending:
            self._input_ended = False
            try:
                self._channel.shutdown(sockets.SHUT_WR)
            except OSError:
                pass  # it has ended already

    def _signal(self, number: int) -> None:
        self._ask(lambda: self._asked_to_signal(number))

    def _resize(self, size: Size) -> None:
        self._ask(lambda: self._asked_to_resize(size))

    @staticmethod
    def _ask(do: Callable[[], None]) -> None:
        try:
            do()
        except Unavailable:
            raise
        except WherryError:
            pass  # it has ended meanwhile


_END = Outcome(0)


def detach_keys(keys: bytes) -> str:
    """The keys as the API has them: ``ctrl-p,ctrl-q``."""
    letters = [chr(key + 96) if 1 <= key <= 26 else chr(key + 64) for key in keys]
    return ",".join([f"ctrl-{letter}" if key < 32 else chr(key) for key, letter in zip(keys, letters, strict=True)])
