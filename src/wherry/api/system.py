"""``/_ping``, ``/version``, ``/info``: who answers (Engine API, *System*)."""

from __future__ import annotations

from aiohttp import web

from wherry.api.again import Truth
from wherry.api.context import API, json_response, query, version
from wherry.api.images import older
from wherry.api.progress import respond
from wherry.api.volumes import described
from wherry.engine.info import API_VERSION, MIN_API_VERSION, info, versions
from wherry.errors import InvalidArgument, NotSupported

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wherry.api.context import Routes

__all__ = ["API_VERSION", "MIN_API_VERSION", "ROUTES"]


async def ping(request: web.Request) -> web.Response:
    """``GET`` and ``HEAD /_ping``.  Builder-Version 1: the client is not to ask for BuildKit."""
    headers = {"Builder-Version": "1", "Swarm": "inactive"}
    headers |= {"Cache-Control": "no-cache, no-store, must-revalidate", "Pragma": "no-cache"}
    again = request.app[API].again
    again.remember(request, again.now(), Truth())
    return web.Response(body=b"OK", content_type="text/plain", charset="utf-8", headers=headers)


async def show_version(_request: web.Request) -> web.Response:
    """``GET /version``."""
    return json_response(versions() | {"GoVersion": "none", "GitCommit": "none"})


async def show_info(request: web.Request) -> web.Response:
    """``GET /info``."""
    return json_response(await request.app[API].read(info))


async def events(request: web.Request) -> web.StreamResponse:
    """``GET /events``: each on a line of its own, for ever or until a time."""
    asked, api = query(request), request.app[API]
    told = api.follow("events", asked.text("since"), asked.text("until"), asked.filters())
    return await respond(request, told)


async def disk_usage(request: web.Request) -> web.Response:
    """``GET /system/df``."""
    found = (await request.app[API].work("disk_usage")).value
    names = {"image": "Images", "container": "Containers", "volume": "Volumes", "build-cache": "BuildCache"}
    wanted = query(request).texts("type")
    for name in wanted:
        if name not in names:
            raise InvalidArgument(f"unknown object type: {name}")
    left_out = [field for name, field in names.items() if wanted and name not in wanted]
    found["Volumes"] = [described(volume) for volume in found["Volumes"] or ()]
    found["Images"] = [older(image, version(request)) for image in found["Images"] or ()]
    return json_response({name: value for name, value in found.items() if name not in left_out})


async def no_builder(_request: web.Request) -> web.Response:
    """There is none yet."""
    raise NotSupported(
        "wherry does not build images from Dockerfiles",
        hint="'wherry env build' makes images of Python environments, 'docker commit' of containers; "
        "'docker load' takes what other builders save",
    )


async def prune_builds(_request: web.Request) -> web.Response:
    """``POST /build/prune``: builds leave nothing here."""
    return json_response({"CachesDeleted": None, "SpaceReclaimed": 0})


ROUTES: Routes = (
    ("GET", "/events", events),
    ("GET", "/system/df", disk_usage),
    ("POST", "/build", no_builder),
    ("POST", "/build/cancel", no_builder),
    ("POST", "/build/prune", prune_builds),
    ("POST", "/session", no_builder),
    ("GET", "/_ping", ping),
    ("HEAD", "/_ping", ping),
    ("GET", "/version", show_version),
    ("GET", "/info", show_info),
)
