"""``wherry serve``: the server, from its sockets to its last request.

An event loop answers; what only reads the store is read in threads, and what changes it is done in workers that the
spawner forks (`wherry.api.spawner`).  Nothing of a container's life depends on the server: killed at any moment, it
leaves everything as it is, and the next one finds it.
"""

from __future__ import annotations

import asyncio
import signal
import socket
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from aiohttp import web

from wherry import __version__
from wherry.api import archives, containers, execs, hosts, images, networks, raw, streams, swarm, system, volumes
from wherry.api.again import Again, First
from wherry.api.context import API, Api, version
from wherry.api.errors import BEGUN, answer_errors
from wherry.api.pending import Pending
from wherry.api.tls import Tls
from wherry.engine.engine import Engine
from wherry.engine.execs import sweep
from wherry.errors import InvalidArgument
from wherry.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator, Callable, Sequence

    from wherry.api.context import Handler
    from wherry.api.spawner import Spawner
    from wherry.engine.paths import Paths

_OLDEST, _NEWEST = (1, 24), (1, 50)
_MOST_HEADER = 16 << 10
_THREADS = 16
_BACKLOG = 1024
_GRACE = 5.0  # seconds that requests under way have when the server is asked to end
_RESOURCES = (system, containers, archives, streams, execs, images, volumes, networks, swarm)


class Serving(Record):
    """How to serve: on which sockets, on TCP with TLS and for which hosts, until nobody has asked anything for
    ``idle_timeout`` seconds (0: for ever)."""

    listeners: Sequence[socket.socket]
    ssl_context: ssl.SSLContext | None = None
    names: frozenset[str] = frozenset()
    idle_timeout: float = 0.0


def serve(paths: Paths, spawner: Spawner, serving: Serving, ready: Callable[[], None] = lambda: None) -> None:
    """Answer until SIGTERM, SIGINT or idleness.  ``ready`` is called when clients may connect."""
    asyncio.run(_serve(Engine(paths), spawner, serving, ready))


async def _serve(engine: Engine, spawner: Spawner, serving: Serving, ready: Callable[[], None]) -> None:
    loop = asyncio.get_running_loop()
    ending = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ending.set)
    with ThreadPoolExecutor(_THREADS, thread_name_prefix="read") as pool:
        again = Again(engine.layout.db)
        api = Api(engine, spawner, pool, Pending(), again, execs.Execs(again))
        await api.read(sweep)
        runner = web.AppRunner(
            application(api, serving.names),
            access_log=None,
            shutdown_timeout=_GRACE,
            max_field_size=_MOST_HEADER,
            max_line_size=_MOST_HEADER,
        )
        await runner.setup()
        listening = [await _listen(api, runner, listener, serving.ssl_context) for listener in serving.listeners]
        ready()
        try:
            await _until_idle(api, ending, serving.idle_timeout)
        finally:
            for one in listening:
                one.close()
            await runner.cleanup()


async def _listen(
    api: Api, runner: web.AppRunner, listener: socket.socket, context: ssl.SSLContext | None
) -> asyncio.Server:
    """Answer on a socket; on TCP, where certificates are there, with TLS."""
    factory = runner.server
    assert factory is not None
    made: Callable[[], asyncio.Protocol] = factory
    if listener.family == socket.AF_UNIX:
        made = lambda: First(api, factory())  # noqa: E731
    elif context is not None:
        made = partial(Tls, context, factory)
    return await asyncio.get_running_loop().create_server(made, sock=listener, backlog=_BACKLOG)


async def _until_idle(api: Api, ending: asyncio.Event, idle_timeout: float) -> None:
    """Wait for a signal, or for a time without requests."""
    loop = asyncio.get_running_loop()
    while not ending.is_set():
        left = api.last_used + idle_timeout - loop.time() if not api.requests else idle_timeout
        if idle_timeout and left <= 0:
            return
        try:
            await asyncio.wait_for(ending.wait(), left if idle_timeout else None)
        except TimeoutError:
            continue


def application(api: Api, names: frozenset[str]) -> web.Application:
    """Every route, with and without a version in front, and what is done for all of them; ``names`` are the hosts that
    requests over TCP may name."""
    app = web.Application(middlewares=[_use, answer_errors, hosts.check, _check_version])
    app[API] = api
    app[hosts.NAMES] = names
    for resource in _RESOURCES:
        for method, path, handler in resource.ROUTES:
            app.router.add_route(method, path, handler)
            app.router.add_route(method, r"/v{version:[0-9]+\.[0-9]+}" + path, handler)
    app.on_response_prepare.append(_sign)
    app.cleanup_ctx.append(_hang_ups)
    return app


@web.middleware
async def _use(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Know when nobody wants anything."""
    api = request.app[API]
    api.requests += 1
    try:
        return await handler(request)
    finally:
        api.requests -= 1
        api.used()


@web.middleware
async def _check_version(request: web.Request, handler: Handler) -> web.StreamResponse:
    text = request.match_info.get("version", system.API_VERSION)
    if version(request) < _OLDEST:
        raise InvalidArgument(
            f"client version {text} is too old. Minimum supported API version is {system.MIN_API_VERSION}, "
            "please upgrade your client to a newer version"
        )
    if version(request) > _NEWEST:
        raise InvalidArgument(
            f"client version {text} is too new. Maximum supported API version is {system.API_VERSION}"
        )
    return await handler(request)


async def _sign(request: web.Request, response: web.StreamResponse) -> None:
    """What every answer of Docker's says of its server."""
    request[BEGUN] = True
    response.headers["Server"] = f"Wherry/{__version__} (linux)"
    response.headers["Api-Version"] = system.API_VERSION
    response.headers["Docker-Experimental"] = "false"
    response.headers["Ostype"] = "linux"
    request.app[API].again.keep(request, response)


async def _hang_ups(app: web.Application) -> AsyncIterator[None]:
    app[raw.HANG_UPS] = watched = raw.HangUps()
    yield
    watched.close()
