"""Bytes between an API client and a container's monitor, in the event loop: no thread waits for either.

Both speak the same frames (`wherry.monitor.protocol`), so output without a terminal is passed on as it is.  Whoever is
slower makes the other wait.
"""

from __future__ import annotations

import asyncio
import socket

from wherry.container.keys import strip
from wherry.monitor.protocol import CONTROL, STDIN, Decoder, control, frame, parse_control

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from typing import Any, Protocol, Self

    class Client(Protocol):
        """A raw connection or a web socket; ``read`` gives b"" at the end, ``write`` raises when it has gone."""

        async def read(self) -> bytes: ...

        async def write(self, data: bytes) -> None: ...

        async def gone(self) -> None: ...

else:
    Protocol = object

_CHUNK = 64 << 10
_FIRST = asyncio.FIRST_COMPLETED


class MonitorChannel:
    """A connection to a monitor, as a client of which ``socket`` was added or accepted.

    Used as an asynchronous context: the connection is closed at its end.
    """

    def __init__(self, channel: socket.socket) -> None:
        channel.setblocking(False)
        self._socket = channel
        self._decoder = Decoder()
        self._messages: list[tuple[int, bytes]] = []
        self._loop = asyncio.get_running_loop()
        self._sending = asyncio.Lock()

    async def say(self, message: dict[str, Any]) -> None:
        """Send a message; of a monitor that has gone one hears next."""
        await self.send(control(message))

    async def send(self, data: bytes) -> None:
        """Send whole frames; several may be sending."""
        async with self._sending:
            try:
                await self._loop.sock_sendall(self._socket, data)
            except OSError:
                return

    async def frames(self) -> AsyncIterator[tuple[int, bytes]]:
        """Kind and payload of each frame until the monitor has gone."""
        while True:
            while self._messages:
                yield self._messages.pop(0)
            data = await self._receive()
            if not data:
                return
            self._messages = list(self._decoder.feed(data))

    async def _receive(self) -> bytes:
        try:
            return await self._loop.sock_recv(self._socket, _CHUNK)
        except OSError:
            return b""

    async def hear(self) -> dict[str, Any] | None:
        """The next message, output before it left out; None when the monitor has gone."""
        async for kind, payload in self.frames():
            if kind == CONTROL:
                return parse_control(payload)
        return None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_error: object) -> None:
        self.close()

    def close(self) -> None:
        """The monitor goes on without us."""
        self._socket.close()


async def relay(
    client: Client, channel: MonitorChannel, *, terminal: bool, stdin: bool, detach: bytes = b""
) -> dict[str, Any] | None:
    """Until the container has ended, the client has gone or the monitor has; what the monitor said last.  ``detach`` is
    what the client types to be let go while the container goes on.

    With ``terminal`` output is sent bare, else in frames.  The end of the client's input is passed on, and the client
    goes on getting output.
    """
    feeding = asyncio.ensure_future(_feed(client, channel, stdin, detach))
    listening = asyncio.ensure_future(_listen(client, channel, terminal))
    leaving = asyncio.ensure_future(client.gone())
    try:
        while not listening.done() and not leaving.done():
            await asyncio.wait((listening, leaving, *(() if feeding.done() else (feeding,))), return_when=_FIRST)
            if feeding.done() and not feeding.exception() and feeding.result():
                return None
        return listening.result() if listening.done() else None
    except ConnectionError:
        return None
    finally:
        for task in (feeding, listening, leaving):
            task.cancel()
        await asyncio.gather(feeding, listening, leaving, return_exceptions=True)


async def _feed(client: Client, channel: MonitorChannel, stdin: bool, detach: bytes) -> bool:
    """Pass on what the client says; whether it has typed ``detach``."""
    seen, detached = 0, False
    while data := await client.read():
        if detach:
            data, seen, detached = strip(detach, seen, data)
        if stdin:
            for start in range(0, len(data), _CHUNK):
                await channel.send(frame(STDIN, data[start : start + _CHUNK]))
        if detached:
            return True
    if stdin:
        await channel.send(frame(STDIN, b""))
    return False


async def _listen(client: Client, channel: MonitorChannel, terminal: bool) -> dict[str, Any] | None:
    async for kind, payload in channel.frames():
        if kind == CONTROL:
            message = parse_control(payload)
            if "exited" in message or "error" in message:
                return message
        else:
            await client.write(payload if terminal else frame(kind, payload))
    return None
