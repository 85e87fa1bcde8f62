"""A connection that stops being HTTP: the raw streams of attach and exec (Engine API, *Attach to a container*).

A client that asks for it is answered ``101 UPGRADED``, any other ``200 OK``; after that both sides send bytes as they
like, and each may end its half alone.  aiohttp would close the connection at the client's end-of-file, so the transport
is taken away from it.
"""

from __future__ import annotations

import asyncio
import select

from aiohttp import web

from wherry.errors import InvalidArgument

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

RAW = "application/vnd.docker.raw-stream"
MULTIPLEXED = "application/vnd.docker.multiplexed-stream"
_MOST_WAITING = 256 << 10
_MOST_BODY = 1 << 20


class HangUps:
    """Tells when a client that has said all, and may still be listening, goes away for good.

    After an end-of-file asyncio does not look at a socket any more; epoll(7) tells of a hang-up without being asked.
    """

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._callbacks: dict[int, Callable[[], None]] = {}
        asyncio.get_running_loop().add_reader(self._epoll.fileno(), self._look)

    def watch(self, fd: int, callback: Callable[[], None]) -> None:
        """Call ``callback`` once when the other end of ``fd`` is closed."""
        self._callbacks[fd] = callback
        self._epoll.register(fd, 0)

    def forget(self, fd: int) -> None:
        """No more of this descriptor, which is about to be closed."""
        if self._callbacks.pop(fd, None) is not None:
            self._epoll.unregister(fd)

    def close(self) -> None:
        """No more at all."""
        asyncio.get_running_loop().remove_reader(self._epoll.fileno())
        self._epoll.close()

    def _look(self) -> None:
        for fd, _event in self._epoll.poll(0):
            callback = self._callbacks.get(fd)
            self.forget(fd)
            if callback is not None:
                callback()


HANG_UPS = web.AppKey("hang_ups", HangUps)


class RawConnection(asyncio.Protocol):
    """The bytes of a connection that was taken from aiohttp.

    ``read`` waits for bytes and gives b"" at the client's end-of-file; ``write`` waits until the client keeps up and
    raises ConnectionResetError when it has gone.
    """

    def __init__(self, request: web.Request) -> None:
        transport = request.transport
        if transport is None:
            raise ConnectionResetError("the client has gone")
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._former: Any = request.protocol
        self._hang_ups = request.app[HANG_UPS]
        self._fd: int = transport.get_extra_info("socket").fileno()
        self._received = bytearray()
        self._news = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self._ended = self._lost = False
        collector: Any = _Collector(self._received)
        self._former.set_parser(collector)  # what came behind the request
        transport.set_protocol(self)
        transport.resume_reading()

    # -- asyncio's side

    def data_received(self, data: bytes) -> None:
        """Keep what came; stop the client when nobody takes it."""
        self._received += data
        if len(self._received) > _MOST_WAITING:
            self._transport.pause_reading()
        self._news.set()

    def eof_received(self) -> bool:
        """The client has said all; it may still listen."""
        self._ended = True
        self._hang_ups.watch(self._fd, self._transport.abort)
        self._news.set()
        return True

    def pause_writing(self) -> None:
        """The client does not keep up."""
        self._room.clear()

    def resume_writing(self) -> None:
        """It does again."""
        self._room.set()

    def connection_lost(self, exc: Exception | None) -> None:
        """The client has gone."""
        self._hang_ups.forget(self._fd)
        self._ended = self._lost = True
        self._news.set()
        self._room.set()
        self._former.connection_lost(exc)

    # -- ours

    async def read(self) -> bytes:
        """What has come; b"" at the end."""
        while not self._received and not self._ended:
            self._news.clear()
            await self._news.wait()
        data = bytes(self._received)
        self._received.clear()
        self._transport.resume_reading()
        return data

    async def read_exactly(self, size: int) -> bytes:
        """The body of a request that asked for an upgrade, which the HTTP parser leaves to us."""
        while len(self._received) < size and not self._ended:
            self._news.clear()
            await self._news.wait()
        data = bytes(self._received[:size])
        del self._received[:size]
        return data

    async def write(self, data: bytes) -> None:
        """Send, and wait while too much is under way."""
        if self._lost or self._transport.is_closing():
            raise ConnectionResetError("the client has gone")
        self._transport.write(data)
        await self._room.wait()

    async def gone(self) -> None:
        """Wait until the client has closed the connection both ways."""
        while not self._lost:
            self._news.clear()
            await self._news.wait()

    def finish(self) -> None:
        """Nothing more is sent."""
        if not self._transport.is_closing():
            self._transport.close()


class _Collector:
    """Takes what aiohttp has read beyond the request; nothing else comes this way."""

    def __init__(self, received: bytearray) -> None:
        self._received = received

    def feed_data(self, data: bytes) -> tuple[bool, bytes]:
        self._received += data
        return False, b""

    def feed_eof(self) -> None:
        """The connection says so too."""


class Taken(web.StreamResponse):
    """What a handler returns for a connection that is not aiohttp's any more: nothing is to be sent."""

    async def prepare(self, _request: web.BaseRequest) -> None:
        """Nothing."""

    async def write_eof(self, _data: bytes = b"") -> None:
        """Nothing."""


def upgrades(request: web.Request) -> bool:
    """Whether the client asks for raw bytes in so many words."""
    return request.headers.get("Upgrade", "").lower() == "tcp"


async def take(request: web.Request, *, body_read: bool = False) -> tuple[RawConnection, bytes]:
    """The connection, and the body of the request unless that was ``body_read``."""
    if body_read:
        return RawConnection(request), b""
    if request.can_read_body:
        body = await request.content.read(_MOST_BODY + 1)
        if len(body) > _MOST_BODY:
            raise InvalidArgument(f"the request body is longer than {_MOST_BODY} bytes")
        return RawConnection(request), body
    length = request.headers.get("Content-Length", "0")
    if not length.isdigit() or int(length) > _MOST_BODY:
        raise InvalidArgument("a request to upgrade has a body of known length")
    connection = RawConnection(request)
    return connection, await connection.read_exactly(int(length))  # not read by the parser of some versions


async def accept(request: web.Request, connection: RawConnection, media_type: str) -> None:
    """Tell the client that what follows is raw."""
    if upgrades(request):
        head = f"HTTP/1.1 101 UPGRADED\r\nContent-Type: {media_type}\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n"
    else:
        head = f"HTTP/1.1 200 OK\r\nContent-Type: {media_type}\r\n"
    await connection.write(f"{head}Api-Version: 1.50\r\n\r\n".encode())


async def refuse(connection: RawConnection, status: int, body: bytes) -> None:
    """Answer with an error after all."""
    head = f"HTTP/1.1 {status} {web.Response(status=status).reason}\r\nContent-Type: application/json\r\n"
    await connection.write(f"{head}Content-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode() + body)
    connection.finish()
