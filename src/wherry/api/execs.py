"""``/containers/{id}/exec`` and ``/exec``: commands in running containers (Engine API, *Exec*)."""

from __future__ import annotations

import asyncio
import json
import socket
from contextlib import suppress

from aiohttp import web

from wherry.api import errors, raw
from wherry.api.container_request import console_size
from wherry.api.containers import name_of
from wherry.api.context import API, document, json_response, nothing, query
from wherry.api.fields import parse
from wherry.api.relay import MonitorChannel, relay
from wherry.api.streams import framing
from wherry.container.keys import detach_keys
from wherry.engine import execs
from wherry.engine.execs import Exec
from wherry.errors import Conflict, InvalidArgument, WherryError
from wherry.monitor.protocol import STDOUT, frame
from wherry.store.execs import KEPT_SECONDS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from wherry.api.again import Again
    from wherry.api.context import Api, Routes
    from wherry.api.fields import Fields


class Execs:
    """What the monitors of commands have told this server, a moment before it is in the database."""

    def __init__(self, again: Again) -> None:
        self._again = again
        self._told: dict[str, Exec] = {}

    def tell(self, one: Exec) -> None:
        """How it is now; for ever, once it has ended, so it need not be kept for long."""
        self._told[one.id] = one
        self._again.changed()
        if one.exit_code is not None:
            asyncio.get_running_loop().call_later(KEPT_SECONDS, self._told.pop, one.id, None)

    async def find(self, api: Api, identity: str) -> Exec:
        """Raises `NotFound`."""
        found = await api.read(execs.find, identity)
        return self._told.get(identity, found)

    def of(self, container_id: str, found: list[str]) -> list[str]:
        """A container's that have not ended, of which the database has ``found``."""
        told = {one.id: one for one in self._told.values() if one.container_id == container_id}
        known = [one for one in found if one not in told]
        return known + [one.id for one in told.values() if one.exit_code is None]


def _document(one: Exec) -> dict[str, Any]:
    """Docker's JSON (``GET /exec/{id}/json``)."""
    asked = one.asked
    entrypoint, *arguments = asked["cmd"]
    return {
        "ID": one.id,
        "Running": one.started and one.exit_code is None,
        "ExitCode": one.exit_code,
        "ProcessConfig": {
            "tty": asked["tty"],
            "entrypoint": entrypoint,
            "arguments": arguments,
            "privileged": asked["privileged"],
            **({"user": asked["user"]} if asked["user"] else {}),
        },
        "OpenStdin": asked["attach_stdin"],
        "OpenStderr": asked["attach_stderr"],
        "OpenStdout": asked["attach_stdout"],
        "CanRemove": one.exit_code is not None,
        "ContainerID": one.container_id,
        "DetachKeys": asked["detach_keys"],
        "Pid": one.pid,
    }


def _options(asked: Fields) -> dict[str, Any]:
    """`wherry.container.exec_options.ExecOptions` as plain values, and the keys to detach with."""
    cmd = asked.texts("Cmd")
    if not cmd:
        raise InvalidArgument("No exec command specified")
    detach_keys(asked.text("DetachKeys"))  # raises what is wrong with them
    return {
        "cmd": cmd,
        "attach_stdin": asked.boolean("AttachStdin"),
        "attach_stdout": asked.boolean("AttachStdout"),
        "attach_stderr": asked.boolean("AttachStderr"),
        "tty": asked.boolean("Tty"),
        "env": asked.texts("Env"),
        "user": asked.text("User"),
        "working_dir": asked.text("WorkingDir"),
        "privileged": asked.boolean("Privileged"),
        "console_size": console_size(asked),
        "detach_keys": asked.text("DetachKeys"),
    }


async def create(request: web.Request) -> web.Response:
    """``POST /containers/{name}/exec``."""
    options = _options(await document(request))
    return json_response({"Id": await request.app[API].read(execs.create, name_of(request), options)}, 201)


async def start(request: web.Request) -> web.StreamResponse:
    """``POST /exec/{id}/start``."""
    api = request.app[API]
    one = await api.execs.find(api, request.match_info["id"])
    if one.started:
        raise Conflict(f"exec command {one.id} {'is already running' if one.exit_code is None else 'has already run'}")
    if not raw.upgrades(request):
        asked = await document(request)
        if asked.boolean("Detach"):
            await _begin(api, one, asked, detach=True)
            return nothing(200)
        connection, _body = await raw.take(request, body_read=True)
    else:
        connection, content = await raw.take(request)
        try:
            asked = parse(content)
        except WherryError as error:
            await _refuse(connection, error)
            return raw.Taken()
    # what comes is in frames unless the client says that it expects a terminal, whatever the command has
    bare, stdin = asked.boolean("Tty"), one.asked["attach_stdin"]
    try:
        # before the command begins, as Docker does: some clients lose output that comes together with the answer
        await raw.accept(request, connection, framing(request, bare))
        detach = detach_keys(one.asked["detach_keys"]) if one.asked["tty"] and stdin else b""
        one, channel = await _begin(api, one, asked, detach=False)
        said = await relay(connection, channel, terminal=bare, stdin=stdin, detach=detach)
        if said is None:
            api.background(_await_end(api, one, channel))
        else:
            channel.close()
            api.execs.tell(one.replace(exit_code=said.get("exited", 126)))
    except WherryError as error:
        message = f"{errors.text(error)}\r\n".encode()
        with suppress(ConnectionError):
            await connection.write(message if bare else frame(STDOUT, message))
    except ConnectionError:
        pass  # it goes on without its client
    finally:
        connection.finish()
    return raw.Taken()


async def _refuse(connection: raw.RawConnection, error: WherryError) -> None:
    await raw.refuse(connection, errors.status(error), json.dumps({"message": errors.text(error)}).encode())


async def _begin(api: Api, one: Exec, asked: Fields, *, detach: bool) -> tuple[Exec, MonitorChannel]:
    """Have it started; returns when it runs.  Raises what keeps it from that."""
    from wherry.monitor.protocol import raise_error

    options = {name: value for name, value in one.asked.items() if name != "detach_keys"}
    if asked.has("ConsoleSize"):
        options["console_size"] = console_size(asked)
    if detach:
        options |= {"detach": True, "attach_stdin": False}
    api.execs.tell(one := one.replace(started=True))
    try:
        answer = await api.work("execute", one.container_id, options, one.id)
        channel = MonitorChannel(socket.socket(fileno=answer.descriptor))
        message = await channel.hear()
        if message is None:
            raise WherryError("the command's monitor ended unexpectedly")
        if "error" in message:
            raise_error(message)
        api.execs.tell(one := one.replace(pid=int(message.get("started", 0))))
    except WherryError as error:
        api.execs.tell(one.replace(exit_code=error.exit_code))
        raise
    if detach:
        api.background(_await_end(api, one, channel))
    return one, channel


async def _await_end(api: Api, one: Exec, channel: MonitorChannel) -> None:
    async with channel:
        while (message := await channel.hear()) is not None and "exited" not in message:
            continue
        api.execs.tell(one.replace(exit_code=message["exited"] if message else execs.KILLED))


async def inspect(request: web.Request) -> web.Response:
    """``GET /exec/{id}/json``."""
    api = request.app[API]
    return json_response(_document(await api.execs.find(api, request.match_info["id"])))


async def resize(request: web.Request) -> web.Response:
    """``POST /exec/{id}/resize``."""
    asked, identity = query(request), request.match_info["id"]
    await request.app[API].read(execs.resize, identity, asked.required("h"), asked.required("w"))
    return nothing(200)


ROUTES: Routes = (
    ("POST", "/containers/{name}/exec", create),
    ("POST", "/exec/{id}/start", start),
    ("GET", "/exec/{id}/json", inspect),
    ("POST", "/exec/{id}/resize", resize),
)
