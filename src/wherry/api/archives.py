"""``/containers/{id}/archive`` and ``/export``: a container's files as tar (Engine API, *Containers*)."""

from __future__ import annotations

import base64
import json
import os
import stat

from aiohttp import web

from wherry.api import pipes
from wherry.api.containers import name_of
from wherry.api.context import API, nothing, query
from wherry.container.inspect import rfc3339
from wherry.errors import InvalidArgument

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from wherry.api.context import Routes

_TAR = "application/x-tar"
_STAT = "X-Docker-Container-Path-Stat"
_GO_MODES = ((stat.S_ISUID, 1 << 23), (stat.S_ISGID, 1 << 22), (stat.S_ISVTX, 1 << 20))
_GO_TYPES = {
    stat.S_IFDIR: 1 << 31,
    stat.S_IFLNK: 1 << 27,
    stat.S_IFBLK: 1 << 26,
    stat.S_IFIFO: 1 << 25,
    stat.S_IFSOCK: 1 << 24,
    stat.S_IFCHR: 1 << 26 | 1 << 21,
}


def _path(request: web.Request) -> str:
    path = query(request).text("path")
    if not path:
        raise InvalidArgument("bad parameter: path cannot be empty")
    return path


def _header(found: dict[str, Any]) -> str:
    """base64 of Docker's ``ContainerPathStat``."""
    document = {
        "name": found["name"],
        "size": found["size"],
        "mode": go_mode(found["mode"]),
        "mtime": rfc3339(found["mtime"]),
        "linkTarget": found["link_target"],
    }
    return base64.b64encode(json.dumps(document).encode()).decode()


def go_mode(mode: int) -> int:
    """A mode of stat(2) as Go's ``fs.FileMode``."""
    found = mode & 0o777 | _GO_TYPES.get(stat.S_IFMT(mode), 0)
    for bit, theirs in _GO_MODES:
        if mode & bit:
            found |= theirs
    return found


async def look(request: web.Request) -> web.Response:
    """``HEAD /containers/{name}/archive``."""
    found = (await request.app[API].work("archive_stat", name_of(request), _path(request))).value
    return web.Response(headers={_STAT: _header(found)})


async def get(request: web.Request) -> web.StreamResponse:
    """``GET /containers/{name}/archive``."""
    path = _path(request)
    response = web.StreamResponse(headers={"Content-Type": _TAR})
    reading, writing = os.pipe2(os.O_CLOEXEC)

    async def work() -> None:
        async for told in request.app[API].follow("archive_get", name_of(request), path, give=[writing]):
            response.headers[_STAT] = _header(told)

    return await pipes.send(request, response, reading, work())


async def put(request: web.Request) -> web.Response:
    """``PUT /containers/{name}/archive``."""
    asked, api = query(request), request.app[API]
    path, keep, as_user = _path(request), asked.flag("noOverwriteDirNonDir"), asked.flag("copyUIDGID")
    async with pipes.Upload(request) as upload:
        await api.work("archive_put", name_of(request), path, keep, as_user, give=[upload.reading])
    return nothing(200)


async def export(request: web.Request) -> web.StreamResponse:
    """``GET /containers/{name}/export``."""
    response = web.StreamResponse(headers={"Content-Type": "application/octet-stream"})
    reading, writing = os.pipe2(os.O_CLOEXEC)
    work = request.app[API].work("export", name_of(request), give=[writing])
    return await pipes.send(request, response, reading, work)


ROUTES: Routes = (
    ("HEAD", "/containers/{name}/archive", look),
    ("GET", "/containers/{name}/archive", get),
    ("PUT", "/containers/{name}/archive", put),
    ("GET", "/containers/{name}/export", export),
)
