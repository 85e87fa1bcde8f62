"""Streams between a request and a worker: archives of any length, in little memory."""

from __future__ import annotations

import asyncio
import os

from aiohttp import web

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Coroutine
    from typing import Any, Self

_CHUNK = 256 << 10


async def reader(fd: int) -> tuple[asyncio.StreamReader, asyncio.BaseTransport]:
    """The reading end of a pipe, which is closed with the transport."""
    loop = asyncio.get_running_loop()
    stream = asyncio.StreamReader(limit=_CHUNK)
    transport, _protocol = await loop.connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(stream), os.fdopen(fd, "rb", buffering=0)
    )
    return stream, transport


class Upload:
    """The body of a request, to be read from ``reading``, which is the worker's to close; fed while in context."""

    def __init__(self, request: web.Request) -> None:
        self.reading, self._writing = os.pipe2(os.O_CLOEXEC)
        self._feeding = asyncio.ensure_future(self._feed(request))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_error: object) -> None:
        self._feeding.cancel()
        await asyncio.gather(self._feeding, return_exceptions=True)

    async def _feed(self, request: web.Request) -> None:
        loop = asyncio.get_running_loop()
        with open(self._writing, "wb", buffering=0) as pipe:
            try:
                async for chunk in request.content.iter_chunked(_CHUNK):
                    rest = memoryview(chunk)
                    while rest:
                        written = await loop.run_in_executor(None, pipe.write, rest)
                        rest = rest[written or 0 :]
            except BrokenPipeError:
                return  # the worker has read all that it wants, or says what is wrong


async def send(
    request: web.Request, response: web.StreamResponse, fd: int, work: Coroutine[Any, Any, Any]
) -> web.StreamResponse:
    """What ``work`` has written into the pipe whose reading end is ``fd``; it must give away the other end at once.

    What goes wrong before its first byte is raised; later the connection is broken off, because an archive that ends
    early must not look whole.
    """
    working = asyncio.ensure_future(work)
    stream, transport = await reader(fd)
    try:
        first = await stream.read(_CHUNK)
        if not first:
            await working
        await response.prepare(request)
        while first:
            await response.write(first)
            first = await stream.read(_CHUNK)
        await working
    except BaseException:
        if response.prepared and request.transport is not None:
            request.transport.abort()
        raise
    finally:
        transport.close()
        working.cancel()
    return response
