"""``/volumes`` (Engine API, *Volumes*)."""

from __future__ import annotations

from aiohttp import web

from wherry.api.context import API, body, json_response, nothing, query, version
from wherry.engine import volume_objects
from wherry.errors import InvalidArgument

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from wherry.api.context import Routes
    from wherry.engine.engine import Engine


def described(document: dict[str, Any]) -> dict[str, Any]:
    """As Docker's description has it: its own daemon has null for both where there are none."""
    return document | {name: document[name] or {} for name in ("Labels", "Options")}


async def list_all(request: web.Request) -> web.Response:
    """``GET /volumes``."""
    filters = query(request).filters()

    def look(engine: Engine) -> list[dict[str, Any]]:
        found = volume_objects.list_volumes(engine, filters)
        return [described(volume_objects.document(engine, row)) for row in found]

    return json_response({"Volumes": await request.app[API].read(look), "Warnings": None})


async def create(request: web.Request) -> web.Response:
    """``POST /volumes/create``."""
    answer = await request.app[API].work("create_volume", await body(request))
    return json_response(described(answer.value), 201)


async def inspect(request: web.Request) -> web.Response:
    """``GET /volumes/{name}``."""
    return json_response(described(await request.app[API].read(volume_objects.inspect, request.match_info["name"])))


async def remove(request: web.Request) -> web.Response:
    """``DELETE /volumes/{name}``."""
    await request.app[API].work("remove_volume", request.match_info["name"], query(request).flag("force"))
    return nothing()


async def prune(request: web.Request) -> web.Response:
    """``POST /volumes/prune``: those that nobody named, and with the filter ``all``, or before 1.42, the others too."""
    filters = query(request).filters()
    given = [text.lower() for text in filters.pop("all", ())]
    for text in given:
        if text not in ("1", "t", "true", "0", "f", "false"):
            raise InvalidArgument(f"invalid filter 'all={text}'")
    everything = version(request) < (1, 42) or any(text in ("1", "t", "true") for text in given)
    removed, freed = (await request.app[API].work("prune_volumes", filters, everything)).value
    return json_response({"VolumesDeleted": removed, "SpaceReclaimed": freed})


ROUTES: Routes = (
    ("GET", "/volumes", list_all),
    ("POST", "/volumes/create", create),
    ("POST", "/volumes/prune", prune),
    ("GET", "/volumes/{name}", inspect),
    ("DELETE", "/volumes/{name}", remove),
)
