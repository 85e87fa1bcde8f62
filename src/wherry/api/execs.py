"""``/containers/{id}/exec`` and ``/exec``: commands in running containers (Engine API, *Exec*).

What was made here is known here: a command goes on when the server ends, but the next server does not know its id.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import socket
from contextlib import suppress

from aiohttp import web

from wherry.api import errors, raw
from wherry.api.containers import name_of
from wherry.api.context import API, document, json_response, nothing, query
from wherry.api.fields import parse
from wherry.api.relay import MonitorChannel, relay
from wherry.api.streams import framing
from wherry.container.keys import detach_keys
from wherry.errors import Conflict, InvalidArgument, NotFound, WherryError
from wherry.monitor.protocol import STDOUT, frame

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from wherry.api.context import Api, Routes
    from wherry.api.fields import Fields

_KEPT_SECONDS = 300.0  # how long one can ask for the exit status of a command that has ended (moby, daemon/exec.go)
_MOST = 10_000


class Exec:
    """One command: what was asked, and how far it is."""

    def __init__(self, container: str, options: dict[str, Any], detach_keys: str) -> None:
        self.id = secrets.token_hex(32)
        self.container = container
        self.options = options
        self.detach_keys = detach_keys
        self.pid = 0
        self.started = False
        self.exit_code: int | None = None
        self.channel: MonitorChannel | None = None

    def describe(self) -> dict[str, Any]:
        """Docker's JSON (``GET /exec/{id}/json``)."""
        options = self.options
        entrypoint, *arguments = options["cmd"]
        return {
            "ID": self.id,
            "Running": self.started and self.exit_code is None,
            "ExitCode": self.exit_code,
            "ProcessConfig": {
                "tty": options["tty"],
                "entrypoint": entrypoint,
                "arguments": arguments,
                "privileged": options["privileged"],
                **({"user": options["user"]} if options["user"] else {}),
            },
            "OpenStdin": options["attach_stdin"],
            "OpenStderr": options["attach_stderr"],
            "OpenStdout": options["attach_stdout"],
            "CanRemove": self.exit_code is not None,
            "ContainerID": self.container,
            "DetachKeys": self.detach_keys,
            "Pid": self.pid,
        }


class Execs:
    """All of them, by id."""

    def __init__(self) -> None:
        self._known: dict[str, Exec] = {}

    def add(self, one: Exec) -> None:
        """Keep it until some time after its end."""
        if len(self._known) >= _MOST:
            raise Conflict("too many commands were made and not started")
        self._known[one.id] = one

    def get(self, identity: str) -> Exec:
        """Raises `NotFound`."""
        found = self._known.get(identity)
        if found is None:
            raise NotFound("exec instance", identity)
        return found

    def of(self, container: str) -> list[str]:
        """The ids of a container's commands that have not ended."""
        return [one.id for one in self._known.values() if one.container == container and one.exit_code is None]

    def ended(self, one: Exec, exit_code: int) -> None:
        """It is forgotten after a while."""
        one.exit_code = exit_code
        one.channel = None
        asyncio.get_running_loop().call_later(_KEPT_SECONDS, self._known.pop, one.id, None)


def _options(asked: Fields) -> dict[str, Any]:
    """`wherry.container.exec_options.ExecOptions` as plain values."""
    cmd = asked.texts("Cmd")
    if not cmd:
        raise InvalidArgument("No exec command specified")
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
        "console_size": _console_size(asked),
    }


def _console_size(asked: Fields) -> tuple[int, int]:
    given = asked.value("ConsoleSize") or [0, 0]
    if (
        not isinstance(given, list)
        or len(given) != 2
        or not all(type(one) is int and 0 <= one < 1 << 16 for one in given)
    ):
        raise InvalidArgument("invalid JSON: ConsoleSize must be two numbers: rows and columns")
    return given[0], given[1]


async def create(request: web.Request) -> web.Response:
    """``POST /containers/{name}/exec``."""
    from wherry.engine.exec import find_running

    api, asked = request.app[API], await document(request)
    options = _options(asked)
    row = await api.read(find_running, name_of(request))
    detach_keys(asked.text("DetachKeys"))  # raises what is wrong with them
    one = Exec(row.id, options, asked.text("DetachKeys"))
    api.execs.add(one)
    return json_response({"Id": one.id}, 201)


async def start(request: web.Request) -> web.StreamResponse:
    """``POST /exec/{id}/start``."""
    api, one = request.app[API], request.app[API].execs.get(request.match_info["id"])
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
    bare, stdin = asked.boolean("Tty"), one.options["attach_stdin"]
    try:
        # before the command begins, as Docker does: some clients lose output that comes together with the answer
        await raw.accept(request, connection, framing(request, bare))
        detach = detach_keys(one.detach_keys) if one.options["tty"] and stdin else b""
        channel = await _begin(api, one, asked, detach=False)
        said = await relay(connection, channel, terminal=bare, stdin=stdin, detach=detach)
        if said is None:
            api.background(_await_end(api, one, channel))
        else:
            channel.close()
            api.execs.ended(one, said.get("exited", 126))
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


async def _begin(api: Api, one: Exec, asked: Fields, *, detach: bool) -> MonitorChannel:
    """Have it started; returns when it runs.  Raises what keeps it from that."""
    from wherry.monitor.protocol import raise_error

    options = dict(one.options)
    if asked.has("ConsoleSize"):
        options["console_size"] = _console_size(asked)
    if detach:
        options |= {"detach": True, "attach_stdin": False}
    one.started = True
    try:
        answer = await api.work("execute", one.container, options)
        one.channel = channel = MonitorChannel(socket.socket(fileno=answer.descriptor))
        message = await channel.hear()
        if message is None:
            raise WherryError("the command's monitor ended unexpectedly")
        if "error" in message:
            raise_error(message)
        one.pid = int(message.get("started", 0))
    except WherryError as error:
        api.execs.ended(one, error.exit_code)
        raise
    if detach:
        api.background(_await_end(api, one, channel))
    return channel


async def _await_end(api: Api, one: Exec, channel: MonitorChannel) -> None:
    async with channel:
        while (message := await channel.hear()) is not None and "exited" not in message:
            continue
        api.execs.ended(one, message["exited"] if message else 137)


async def inspect(request: web.Request) -> web.Response:
    """``GET /exec/{id}/json``."""
    return json_response(request.app[API].execs.get(request.match_info["id"]).describe())


async def resize(request: web.Request) -> web.Response:
    """``POST /exec/{id}/resize``."""
    asked, one = query(request), request.app[API].execs.get(request.match_info["id"])
    if one.channel is None:
        raise Conflict(f"exec command {one.id} is not running")
    await one.channel.say({"resize": [asked.integer("h"), asked.integer("w")]})
    return nothing(200)


ROUTES: Routes = (
    ("POST", "/containers/{name}/exec", create),
    ("POST", "/exec/{id}/start", start),
    ("GET", "/exec/{id}/json", inspect),
    ("POST", "/exec/{id}/resize", resize),
)
