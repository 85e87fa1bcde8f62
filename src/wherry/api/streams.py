"""The streams of a container: attach (raw and by web socket), wait and logs (Engine API, *Containers*)."""

from __future__ import annotations

import asyncio
import json

from aiohttp import WSMsgType, web

from wherry.api import raw
from wherry.api.containers import name_of
from wherry.api.context import API, query, version
from wherry.api.relay import MonitorChannel, relay
from wherry.container.keys import detach_keys
from wherry.engine import containers
from wherry.errors import Conflict, InvalidArgument, WherryError
from wherry.monitor import call
from wherry.monitor.protocol import STDERR, STDOUT, exit_code, frame

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from wherry.api.context import Api, Routes
    from wherry.api.pending import Attach
    from wherry.engine.engine import Engine
    from wherry.store.containers import ContainerRow

_PIECE = 60 << 10
_NAP = 0.01
_CONDITIONS = ("", "not-running", "next-exit", "removed")


def _look(engine: Engine, name: str) -> tuple[ContainerRow, bool, bool]:
    """A container, whether it has a terminal, and whether it takes input."""
    row = containers.find(engine, name)
    options = containers.load(row).options
    return row, options.tty, options.open_stdin


async def _join(api: Api, row: ContainerRow, attach: Attach) -> MonitorChannel:
    """A connection to the container's monitor, or to the one that it will have when it is started."""
    return await _live(api, row, attach) or MonitorChannel(api.pending.add(row.id, attach))


async def _live(api: Api, row: ContainerRow, attach: Attach) -> MonitorChannel | None:
    """A connection to the monitor of a container that runs; None when it does not, or not any more.

    Raises `NotFound` when it has been removed meanwhile.
    """
    while row.status in containers.ALIVE:
        channel = await api.read(_connect, row.id)
        if channel is not None:
            joined = MonitorChannel(channel)
            wanted = dict(zip(("stdin", "stdout", "stderr"), attach, strict=True)) if attach else None
            await joined.say({"attach": wanted} if wanted else {"wait": True})
            return joined
        await asyncio.sleep(_NAP)  # its monitor has told all clients of the end, and is noting it
        row = await api.read(containers.find, row.id)
    return None


def _connect(engine: Engine, identity: str) -> Any:
    return call.connect(engine.layout.run_container(identity))


async def attach(request: web.Request) -> web.StreamResponse:
    """``POST /containers/{name}/attach``."""
    api, asked = request.app[API], query(request)
    row, terminal, open_stdin = await api.read(_look, name_of(request))
    if row.status == "paused":
        raise Conflict(f"container {name_of(request)} is paused, unpause the container before attach")
    wanted = (asked.flag("stdin") and open_stdin, asked.flag("stdout"), asked.flag("stderr"))
    keys = detach_keys(asked.text("detachKeys"))
    channel = await _join(api, row, wanted) if asked.flag("stream") else None
    detach = keys if terminal and wanted[0] else b""
    connection, _body = await raw.take(request)
    try:
        await raw.accept(request, connection, framing(request, terminal))
        if asked.flag("logs"):
            await _send_log(api, connection, row.id, terminal, wanted)
        if channel is not None:
            async with channel:
                await relay(connection, channel, terminal=terminal, stdin=wanted[0], detach=detach)
    except ConnectionError:
        pass  # the client's to decide
    finally:
        connection.finish()
        api.pending.leave(row.id)
    return raw.Taken()


def framing(request: web.Request, terminal: bool) -> str:
    """The media type of a stream: since API 1.42 it tells whether there are frames."""
    return raw.RAW if terminal or version(request) < (1, 42) else raw.MULTIPLEXED


async def _send_log(
    api: Api, connection: raw.RawConnection, identity: str, terminal: bool, wanted: tuple[bool, bool, bool]
) -> None:
    async for entries in api.follow("logs", identity, {}):
        for stream, _time, text, _details in entries:
            if wanted[2 if stream == "stderr" else 1]:
                for piece in _framed(stream, text, terminal):
                    await connection.write(piece)


def _framed(stream: str, data: bytes, terminal: bool) -> list[bytes]:
    if terminal:
        return [data]
    kind = STDERR if stream == "stderr" else STDOUT
    return [frame(kind, data[start : start + _PIECE]) for start in range(0, len(data), _PIECE)]


class _WebSocket:
    """A web socket as `relay` wants its clients."""

    def __init__(self, socket: web.WebSocketResponse) -> None:
        self._socket = socket
        self._closed = asyncio.Event()

    async def read(self) -> bytes:
        """The next message, b"" when the client has closed."""
        while True:
            message = await self._socket.receive()
            if message.type == WSMsgType.BINARY and message.data:
                return bytes(message.data)
            if message.type == WSMsgType.TEXT and message.data:
                return str(message.data).encode()
            if message.type in (WSMsgType.CLOSE, WSMsgType.CLOSING, WSMsgType.CLOSED, WSMsgType.ERROR):
                self._closed.set()
                return b""

    async def write(self, data: bytes) -> None:
        """One message."""
        await self._socket.send_bytes(data)

    async def gone(self) -> None:
        """Wait until the client has closed."""
        await self._closed.wait()


async def attach_websocket(request: web.Request) -> web.StreamResponse:
    """``GET /containers/{name}/attach/ws``: output without frames, in binary messages."""
    api, asked = request.app[API], query(request)
    row, terminal, open_stdin = await api.read(_look, name_of(request))
    wanted = (asked.flag("stdin") and open_stdin, asked.flag("stdout"), asked.flag("stderr"))
    keys = detach_keys(asked.text("detachKeys"))
    detach = keys if terminal and wanted[0] else b""
    socket = web.WebSocketResponse(max_msg_size=1 << 20)
    await socket.prepare(request)
    client = _WebSocket(socket)
    try:
        async with await _join(api, row, wanted) as channel:
            await relay(client, channel, terminal=True, stdin=wanted[0], detach=detach)
    finally:
        api.pending.leave(row.id)
        await socket.close()
    return socket


async def wait(request: web.Request) -> web.StreamResponse:
    """``POST /containers/{name}/wait``: the head of the answer at once, its body when the condition is met."""
    api, condition = request.app[API], query(request).text("condition")
    if condition not in _CONDITIONS:
        raise InvalidArgument(f'invalid condition: "{condition}"')
    row, _terminal, _stdin = await api.read(_look, name_of(request))
    response = web.StreamResponse(headers={"Content-Type": "application/json"})
    channel = await _live(api, row, None)
    if channel is None and condition in ("next-exit", "removed"):
        channel = MonitorChannel(api.pending.add(row.id, None))
    if channel is not None:
        try:
            async with channel:
                await response.prepare(request)  # a client starts the container when it has this
                found = await _outcome(api, row.id, channel)
        finally:
            api.pending.leave(row.id)
    else:
        found = {"StatusCode": (await api.read(containers.find, row.id)).exit_code}
        await response.prepare(request)
    await response.write(json.dumps(found).encode() + b"\n")
    return response


async def _outcome(api: Api, identity: str, channel: MonitorChannel) -> dict[str, Any]:
    while (message := await channel.hear()) is not None:
        if "exited" in message:
            return {"StatusCode": message["exited"]}
        if "error" in message:
            return {"StatusCode": exit_code(message)}
    try:
        row = await api.read(containers.find, identity)
    except WherryError as error:
        return {"StatusCode": 0, "Error": {"Message": error.message}}
    return {"StatusCode": row.exit_code} | ({"Error": {"Message": row.error}} if row.error else {})


async def logs(request: web.Request) -> web.StreamResponse:
    """``GET /containers/{name}/logs``."""
    from wherry.engine.logs import timestamp

    api, asked = request.app[API], query(request)
    if not asked.flag("stdout") and not asked.flag("stderr"):
        raise InvalidArgument("Bad parameters: you must choose at least one stream")
    row, terminal, _stdin = await api.read(_look, name_of(request))
    tail = asked.text("tail", "all")
    wanted = {
        "since": timestamp(asked.text("since"), "since"),
        "until": timestamp(asked.text("until"), "until"),
        "tail": int(tail) if tail.isascii() and tail.isdigit() else -1,
        "follow": asked.flag("follow"),
    }
    response = web.StreamResponse(headers={"Content-Type": framing(request, terminal)})
    async for entries in api.follow("logs", row.id, wanted):
        if not response.prepared:  # from now on it does not matter when the container is removed
            await response.prepare(request)
        pieces = []
        for stream, moment, text, details in entries:
            if asked.flag(stream):
                line = details.encode() + b" " + text if asked.flag("details") else text
                line = moment.encode() + b" " + line if asked.flag("timestamps") else line
                pieces += _framed(stream, line, terminal)
        if pieces:
            await response.write(b"".join(pieces))
    return response


ROUTES: Routes = (
    ("POST", "/containers/{name}/attach", attach),
    ("GET", "/containers/{name}/attach/ws", attach_websocket),
    ("POST", "/containers/{name}/wait", wait),
    ("GET", "/containers/{name}/logs", logs),
)
