"""``/images`` (Engine API, *Images*), and what goes with registries: ``/auth``, ``/distribution``."""

from __future__ import annotations

import os

from aiohttp import web

from wherry.api import pipes
from wherry.api.auth import HEADER
from wherry.api.context import API, body, json_response, nothing, query, version
from wherry.api.progress import respond
from wherry.engine import images
from wherry.errors import InvalidArgument

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from wherry.api.context import Routes
    from wherry.engine.engine import Engine

_TAR = "application/x-tar"
_OF_CONTAINERS = ("Hostname", "Domainname", "AttachStdin", "AttachStdout", "AttachStderr", "Tty", "OpenStdin",
                  "StdinOnce", "Image", "NetworkDisabled", "MacAddress", "StopTimeout")  # fmt: skip
"""Fields that the configuration of an image has in the API until 1.49."""


def name_of(request: web.Request) -> str:
    """The image in the request's path."""
    return request.match_info["name"]


async def list_all(request: web.Request) -> web.Response:
    """``GET /images/json``."""
    asked = query(request)
    filters = asked.filters()

    def look(engine: Engine) -> list[dict[str, Any]]:
        from wherry.engine.disk_usage import image_document, shared_sizes

        shared = shared_sizes(engine) if asked.flag("shared-size") else {}
        found = images.list_images(engine, filters=filters)
        return [image_document(one, shared.get(one.id, -1)) for one in found]

    return json_response([older(one, version(request)) for one in await request.app[API].read(look)])


def older(document: dict[str, Any], spoken: tuple[int, ...]) -> dict[str, Any]:
    """An image in a list, with what it had until API 1.43 and 1.42."""
    if spoken < (1, 44):
        document["VirtualSize"] = document["Size"]
    if spoken < (1, 43) and not (document["RepoTags"] or document["RepoDigests"]):
        document |= {"RepoTags": ["<none>:<none>"], "RepoDigests": ["<none>@<none>"]}
    return document


async def inspect(request: web.Request) -> web.Response:
    """``GET /images/{name}/json``."""
    platform = _platform(query(request).text("platform"))
    found = await request.app[API].read(images.inspect, name_of(request), platform)
    if version(request) < (1, 45):
        found |= await request.app[API].read(images.committed_from, found["Id"])
    if version(request) < (1, 44):
        found["VirtualSize"] = found["Size"]
    if version(request) >= (1, 50):
        found["Config"] = {name: value for name, value in found["Config"].items() if name not in _OF_CONTAINERS}
    return json_response(found)


async def history(request: web.Request) -> web.Response:
    """``GET /images/{name}/history``."""
    platform = _platform(query(request).text("platform"))
    steps = await request.app[API].read(images.history, name_of(request), platform)
    return json_response(
        [
            {
                "Id": step.id,
                "Created": step.created,
                "CreatedBy": step.created_by,
                "Tags": list(step.tags) or None,
                "Size": step.size,
                "Comment": step.comment,
            }
            for step in steps
        ]
    )


async def tag(request: web.Request) -> web.Response:
    """``POST /images/{name}/tag``."""
    asked = query(request)
    target = asked.text("repo") + (f":{asked.text('tag')}" if asked.text("tag") else "")
    await request.app[API].work("tag", name_of(request), target)
    return nothing(201)


async def remove(request: web.Request) -> web.Response:
    """``DELETE /images/{name}``."""
    asked, api = query(request), request.app[API]
    platforms = [_platform(text) for text in asked.texts("platforms")]
    answer = await api.work("remove_image", name_of(request), asked.flag("force"), not asked.flag("noprune"), platforms)
    return json_response(answer.value)


async def create(request: web.Request) -> web.StreamResponse:
    """``POST /images/create``: a pull, or with ``fromSrc`` an import."""
    asked, api = query(request), request.app[API]
    if asked.text("fromSrc"):
        return await _import(request)
    name, tag = asked.text("fromImage"), asked.text("tag")
    if not name:
        raise InvalidArgument("fromImage is missing: which image?")
    if tag:
        name += ("@" if ":" in tag else ":") + tag
    auth = request.headers.get(HEADER, "")
    return await respond(request, api.follow("pull", name, asked.text("platform"), auth))


async def _import(request: web.Request) -> web.StreamResponse:
    asked, api = query(request), request.app[API]
    name, tag = asked.text("repo"), asked.text("tag")
    wanted = {
        "reference": f"{name}:{tag}" if tag else name,
        "message": asked.text("message"),
        "changes": tuple(asked.texts("changes")),
        "platform": _platform(asked.text("platform")),
        "origin": asked.text("fromSrc"),
    }
    async with pipes.Upload(request) as upload:
        return await respond(request, api.follow("import_image", wanted, give=[upload.reading]))


async def commit(request: web.Request) -> web.Response:
    """``POST /commit``."""
    asked = query(request)
    name, tag = asked.text("repo"), asked.text("tag")
    wanted = {
        "reference": f"{name}:{tag}" if tag else name,
        "author": asked.text("author"),
        "message": asked.text("comment"),
        "changes": tuple(asked.texts("changes")),
        "pause": asked.flag("pause", True),
    }
    answer = await request.app[API].work("commit", asked.text("container"), wanted, await body(request))
    return json_response({"Id": answer.value}, 201)


async def push(request: web.Request) -> web.StreamResponse:
    """``POST /images/{name}/push``."""
    asked, api = query(request), request.app[API]
    auth = request.headers.get(HEADER, "")
    return await respond(
        request, api.follow("push", name_of(request), asked.text("tag"), _platform(asked.text("platform")), auth)
    )


def _platform(text: str) -> str:
    """``os/architecture[/variant]`` out of the JSON that API 1.46 has for it."""
    if not text.startswith("{"):
        return text
    from wherry.api.fields import parse

    asked = parse(text.encode())
    return "/".join([part for part in (asked.text("os"), asked.text("architecture"), asked.text("variant")) if part])


async def prune(request: web.Request) -> web.Response:
    """``POST /images/prune``: without the filter ``dangling=false`` only those without a tag."""
    removed, freed = (await request.app[API].work("prune_images", query(request).filters())).value
    return json_response({"ImagesDeleted": removed or None, "SpaceReclaimed": freed})


async def search(request: web.Request) -> web.Response:
    """``GET /images/search``."""
    asked = query(request)
    auth = request.headers.get(HEADER, "")
    found = await request.app[API].work("search", asked.text("term"), asked.integer("limit", 25), asked.filters(), auth)
    return json_response(found.value)


async def check_login(request: web.Request) -> web.Response:
    """``POST /auth``."""
    token = (await request.app[API].work("check_login", await body(request))).value
    return json_response({"Status": "Login Succeeded", "IdentityToken": token})


async def load(request: web.Request) -> web.StreamResponse:
    """``POST /images/load``."""
    asked, api = query(request), request.app[API]
    platform = _platform(asked.text("platform"))
    async with pipes.Upload(request) as upload:
        told = api.follow("load", asked.flag("quiet"), platform, give=[upload.reading])
        return await respond(request, told, at_once=True)


async def save_one(request: web.Request) -> web.StreamResponse:
    """``GET /images/{name}/get``."""
    return await _save(request, [name_of(request)])


async def save_several(request: web.Request) -> web.StreamResponse:
    """``GET /images/get``."""
    return await _save(request, query(request).texts("names"))


async def _save(request: web.Request, names: list[str]) -> web.StreamResponse:
    platform = _platform(query(request).text("platform"))
    reading, writing = os.pipe2(os.O_CLOEXEC)
    response = web.StreamResponse(headers={"Content-Type": _TAR})
    work = request.app[API].work("save", names, platform, give=[writing])
    return await pipes.send(request, response, reading, work)


async def distribution(request: web.Request) -> web.Response:
    """``GET /distribution/{name}/json``: what the registry says of an image."""
    auth = request.headers.get(HEADER, "")
    return json_response((await request.app[API].work("distribution", name_of(request), auth)).value)


ROUTES: Routes = (
    ("GET", "/images/json", list_all),
    ("POST", "/images/create", create),
    ("POST", "/images/load", load),
    ("POST", "/images/prune", prune),
    ("GET", "/images/search", search),
    ("GET", "/images/get", save_several),
    ("GET", "/images/{name:.+}/json", inspect),
    ("GET", "/images/{name:.+}/history", history),
    ("GET", "/images/{name:.+}/get", save_one),
    ("POST", "/images/{name:.+}/push", push),
    ("POST", "/images/{name:.+}/tag", tag),
    ("DELETE", "/images/{name:.+}", remove),
    ("POST", "/commit", commit),
    ("POST", "/auth", check_login),
    ("GET", "/distribution/{name:.+}/json", distribution),
)
