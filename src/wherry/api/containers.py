"""``/containers``: the life of containers (Engine API, *Containers*).  Their streams are in `streams`."""

from __future__ import annotations

import os
import time
from functools import partial

from aiohttp import web

from wherry.api.again import Truth
from wherry.api.context import API, body, json_response, nothing, query, version
from wherry.api.progress import respond
from wherry.engine import containers, execs
from wherry.errors import InvalidArgument
from wherry.store.locks import is_held

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from wherry.api.context import Routes
    from wherry.engine.engine import Engine

_EMPTY = 7  # bytes of a body that says nothing, such as "{}" (moby, postContainersStart)


def name_of(request: web.Request) -> str:
    """The container in the request's path."""
    return request.match_info["name"].removeprefix("/")


async def list_all(request: web.Request) -> web.Response:
    """``GET /containers/json``."""
    api, asked = request.app[API], query(request)
    filters, size = asked.filters(), asked.flag("size")

    def look(engine: Engine) -> tuple[list[dict[str, Any]], Truth]:
        from wherry.container.state import same_until
        from wherry.engine.container_list import select

        found = select(engine, filters, everything=asked.flag("all"), last=asked.integer("limit"))
        checks = [
            (is_held, engine.layout.lock(one.row.id), True) for one in found if one.row.status in containers.ALIVE
        ]
        truth = Truth(tuple(checks), min([same_until(one.state, time.time_ns()) for one in found], default=0))
        return [one.document(size=size) for one in found], truth

    stamp = api.again.now()
    shown, truth = await api.read(look)
    if not size and not filters:
        api.again.remember(request, stamp, truth)
    return json_response(shown)


async def create(request: web.Request) -> web.Response:
    """``POST /containers/create``."""
    asked = query(request)
    name = asked.text("name")
    answer = await request.app[API].work("create", await body(request), name, asked.text("platform"))
    return json_response(answer.value, 201)


async def inspect(request: web.Request) -> web.Response:
    """``GET /containers/{name}/json``."""
    api, size = request.app[API], query(request).flag("size")
    stamp = api.again.now()
    found, truth = await api.read(_look, name_of(request), size)
    found["ExecIDs"] = api.execs.of(found["Id"], found["ExecIDs"] or []) or None
    if version(request) < (1, 45):
        _name_by_id(found)
    if not size:
        api.again.remember(request, stamp, truth)
    return json_response(found)


def _name_by_id(document: dict[str, Any]) -> None:
    """Until API 1.44 a running container's aliases in networks that people made had its other names in them."""
    for place in document["NetworkSettings"]["Networks"].values():
        if place["DNSNames"] is not None and place["EndpointID"]:
            names = [*(place["Aliases"] or ()), document["Id"][:12], document["Config"]["Hostname"]]
            place["Aliases"] = list(dict.fromkeys(names))


def _look(engine: Engine, name: str, size: bool) -> tuple[dict[str, Any], Truth]:
    from wherry.monitor.log_file import lost_lines

    found = containers.inspect(engine, name, size=size)
    checks: list[Any] = [(_node_name, None, os.uname().nodename)]
    if found["State"]["Status"] in containers.ALIVE:
        checks.append((is_held, engine.layout.lock(found["Id"]), True))
    if execs.any_of(engine, found["Id"]):
        checks.append((partial(execs.unended, engine), found["Id"], found["ExecIDs"] or []))
    if found["LogPath"]:
        checks.append((lost_lines, found["LogPath"], found["Wherry"]["LogLost"]))
    return found, Truth(tuple(checks))


def _node_name(_nothing: None) -> str:
    return os.uname().nodename


async def start(request: web.Request) -> web.Response:
    """``POST /containers/{name}/start``."""
    api, length = request.app[API], request.content_length
    if request.body_exists and (length is None or length > _EMPTY):
        raise InvalidArgument(
            "starting container with non-empty request body was deprecated since API v1.22 and removed in v1.24"
        )
    row = await api.read(containers.find, name_of(request))
    if row.status == "running":
        return nothing(304)
    waiting = api.pending.take(row.id)
    attached = [attach for _end, attach in waiting]
    await api.work("start", row.id, attached, give=[end.detach() for end, _attach in waiting])
    return nothing()


def _timeout(request: web.Request) -> int | None:
    return query(request).integer("t") if query(request).has("t") else None


def _signal(request: web.Request, default: int) -> int:
    from wherry.container.parse import signal

    text = query(request).text("signal")
    return signal(text) if text else default


async def stop(request: web.Request) -> web.Response:
    """``POST /containers/{name}/stop``."""
    api = request.app[API]
    row = await api.read(containers.find, name_of(request))
    if row.status not in containers.ALIVE:
        return nothing(304)
    await api.work("stop", row.id, _timeout(request), _signal(request, 0))
    return nothing()


async def restart(request: web.Request) -> web.Response:
    """``POST /containers/{name}/restart``."""
    await request.app[API].work("restart", name_of(request), _timeout(request), _signal(request, 0))
    return nothing()


async def kill(request: web.Request) -> web.Response:
    """``POST /containers/{name}/kill``."""
    await request.app[API].work("kill", name_of(request), _signal(request, 9))
    return nothing()


async def pause(request: web.Request) -> web.Response:
    """``POST /containers/{name}/pause``."""
    await request.app[API].work("pause", name_of(request))
    return nothing()


async def unpause(request: web.Request) -> web.Response:
    """``POST /containers/{name}/unpause``."""
    await request.app[API].work("unpause", name_of(request))
    return nothing()


async def rename(request: web.Request) -> web.Response:
    """``POST /containers/{name}/rename``."""
    await request.app[API].work("rename", name_of(request), query(request).text("name"))
    return nothing()


async def remove(request: web.Request) -> web.Response:
    """``DELETE /containers/{name}``."""
    asked, api = query(request), request.app[API]
    if asked.flag("link"):
        await api.work("unlink", name_of(request))
        return nothing()
    row = await api.read(containers.find, name_of(request))
    await api.work("remove", name_of(request), asked.flag("force"), asked.flag("v"))
    api.pending.drop(row.id)
    return nothing()


async def resize(request: web.Request) -> web.Response:
    """``POST /containers/{name}/resize``."""
    asked = query(request)
    size = (asked.required("h"), asked.required("w"))

    def change(engine: Engine) -> None:
        from wherry.engine.attach import resize

        resize(engine, name_of(request), size)

    await request.app[API].read(change)
    return nothing(200)


async def top(request: web.Request) -> web.Response:
    """``GET /containers/{name}/top``."""
    options = query(request).text("ps_args").split()

    def look(engine: Engine) -> tuple[list[str], list[list[str]]]:
        from wherry.engine.top import top

        return top(engine, name_of(request), options)

    titles, lines = await request.app[API].read(look)
    return json_response({"Titles": titles, "Processes": lines})


async def changes(request: web.Request) -> web.Response:
    """``GET /containers/{name}/changes``."""
    answer = await request.app[API].work("changes", name_of(request))
    return json_response(answer.value)


async def update(request: web.Request) -> web.Response:
    """``POST /containers/{name}/update``."""
    await request.app[API].work("update", name_of(request), await body(request))
    return json_response({"Warnings": []})


async def prune(request: web.Request) -> web.Response:
    """``POST /containers/prune``."""
    answer = await request.app[API].work("prune_containers", query(request).filters())
    removed, freed = answer.value
    return json_response({"ContainersDeleted": removed or None, "SpaceReclaimed": freed})


async def stats(request: web.Request) -> web.StreamResponse:
    """``GET /containers/{name}/stats``: one document, or one a second."""
    api, asked = request.app[API], query(request)
    if not asked.flag("stream", True):
        answer = await api.work("stats_once", name_of(request), asked.flag("one-shot"))
        return json_response(answer.value)
    return await respond(request, api.follow("stats", name_of(request)))


ROUTES: Routes = (
    ("GET", "/containers/json", list_all),
    ("POST", "/containers/prune", prune),
    ("GET", "/containers/{name}/changes", changes),
    ("POST", "/containers/{name}/update", update),
    ("GET", "/containers/{name}/stats", stats),
    ("POST", "/containers/create", create),
    ("GET", "/containers/{name}/json", inspect),
    ("POST", "/containers/{name}/start", start),
    ("POST", "/containers/{name}/stop", stop),
    ("POST", "/containers/{name}/restart", restart),
    ("POST", "/containers/{name}/kill", kill),
    ("POST", "/containers/{name}/pause", pause),
    ("POST", "/containers/{name}/unpause", unpause),
    ("POST", "/containers/{name}/rename", rename),
    ("POST", "/containers/{name}/resize", resize),
    ("GET", "/containers/{name}/top", top),
    ("DELETE", "/containers/{name:.+}", remove),
)
