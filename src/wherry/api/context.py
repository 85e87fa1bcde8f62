"""What every route has at hand: the engine for reading, workers for everything else."""

from __future__ import annotations

import asyncio
import json
import os
from concurrent.futures import ThreadPoolExecutor

from aiohttp import web

from wherry.api.fields import Query, parse
from wherry.engine.info import API_VERSION
from wherry.errors import InvalidArgument

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TypeVar

    T = TypeVar("T")

    from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
    from typing import Any

    from wherry.api.again import Again
    from wherry.api.execs import Execs
    from wherry.api.fields import Fields
    from wherry.api.pending import Pending
    from wherry.api.spawner import Answer, Spawner
    from wherry.engine.engine import Engine

    Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
    Routes = tuple[tuple[str, str, Handler], ...]

_MOST_BODY = 8 << 20  # bytes of a JSON document; archives are streams and have no bound


class Api:
    """One server's.  ``engine`` is read from threads; ``pending`` are the clients of containers that do not run yet,
    ``again`` has the answers that are still true, ``execs`` what commands in containers came to just now."""

    def __init__(
        self, engine: Engine, spawner: Spawner, pool: ThreadPoolExecutor, pending: Pending, again: Again, execs: Execs
    ) -> None:
        self.engine = engine
        self.pending = pending
        self.execs = execs
        self.requests = 0
        self.again = again
        self.used()
        self._spawner = spawner
        self._pool = pool
        self._tasks: set[asyncio.Task[None]] = set()

    def used(self) -> None:
        """Somebody has asked for something."""
        self.last_used = asyncio.get_running_loop().time()

    async def read(self, function: Callable[..., T], *arguments: Any) -> T:
        """``function(engine, *arguments)``, in a thread: for what only looks."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, function, self.engine, *arguments)

    def background(self, work: Coroutine[Any, Any, None]) -> None:
        """Do something that no request waits for."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def work(self, task: str, *arguments: Any, give: Sequence[int] = ()) -> Answer:
        """What a worker answers.  It goes on when the client has gone.  The descriptors ``give`` are the worker's."""
        async for _told, answer in self._hear(task, arguments, give):
            if answer is not None:
                return answer
        raise AssertionError("a worker ends with an answer or an error")

    async def follow(self, task: str, *arguments: Any, give: Sequence[int] = ()) -> AsyncIterator[Any]:
        """What a worker tells until it is done.  Leaving the loop ends the worker, if that is how it is written."""
        async for told, answer in self._hear(task, arguments, give):
            if answer is None:
                yield told

    async def _hear(
        self, task: str, arguments: tuple[Any, ...], give: Sequence[int]
    ) -> AsyncIterator[tuple[Any, Answer | None]]:
        try:
            call = self._spawner.call(task, *arguments, descriptors=give)
        finally:
            for fd in give:
                os.close(fd)
        try:
            while True:
                await _readable(call.socket.fileno())
                told, answer = call.hear()
                yield told, answer
                if answer is not None:
                    return
        finally:
            call.close()


async def _readable(fd: int) -> None:
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[None] = loop.create_future()
    loop.add_reader(fd, _resolve, ready)
    try:
        await ready
    finally:
        loop.remove_reader(fd)


def _resolve(ready: asyncio.Future[None]) -> None:
    if not ready.done():
        ready.set_result(None)


API = web.AppKey("api", Api)


def query(request: web.Request) -> Query:
    """The parameters of a request."""
    return Query(request.query, {name: request.query.getall(name) for name in request.query})


def version(request: web.Request) -> tuple[int, ...]:
    """The version of the API that a request speaks."""
    return tuple([int(part[:9]) for part in request.match_info.get("version", API_VERSION).split(".")])


async def document(request: web.Request) -> Fields:
    """The JSON object that a request carries."""
    return parse(await body(request))


async def body(request: web.Request) -> bytes:
    """The body of a request that has a short one.  Raises `InvalidArgument` when it is too long."""
    found = bytearray()
    async for chunk in request.content.iter_chunked(64 << 10):
        found += chunk
        if len(found) > _MOST_BODY:
            raise InvalidArgument(f"the request body is longer than {_MOST_BODY} bytes")
    return bytes(found)


def json_response(value: object, status: int = 200) -> web.Response:
    """A JSON document as Docker sends it."""
    return web.Response(body=json.dumps(value).encode() + b"\n", status=status, content_type="application/json")


def nothing(status: int = 204) -> web.Response:
    """An answer without a body."""
    return web.Response(status=status)
