"""``/networks`` (Engine API, *Networks*)."""

from __future__ import annotations

from aiohttp import web

from wherry.api.context import API, body, json_response, nothing, query
from wherry.errors import InvalidArgument, NotFound

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from wherry.api.context import Routes
    from wherry.engine.engine import Engine


async def list_all(request: web.Request) -> web.Response:
    """``GET /networks``."""
    filters = query(request).filters()

    def look(engine: Engine) -> list[dict[str, Any]]:
        from wherry.engine.networks import describe, select

        return [describe(engine, network) for network in select(engine, filters)]

    return json_response(await request.app[API].read(look))


async def inspect(request: web.Request) -> web.Response:
    """``GET /networks/{name}``: nobody has services, so ``verbose`` adds nothing."""
    name, scope, verbose = request.match_info["name"], query(request).text("scope"), query(request).text("verbose")
    if verbose and verbose.lower() not in ("1", "t", "true", "0", "f", "false"):
        raise InvalidArgument(
            f'invalid value for verbose: {verbose}: strconv.ParseBool: parsing "{verbose}": invalid syntax'
        )
    if scope not in ("", "local"):
        raise NotFound("network", name, f"network {name} not found")

    def look(engine: Engine) -> dict[str, Any]:
        from wherry.engine.networks import inspect

        return inspect(engine, name)

    return json_response(await request.app[API].read(look))


async def create(request: web.Request) -> web.Response:
    """``POST /networks/create``."""
    answer = await request.app[API].work("create_network", await body(request))
    identity, warning = answer.value
    return json_response({"Id": identity, "Warning": warning}, 201)


async def remove(request: web.Request) -> web.Response:
    """``DELETE /networks/{name}``."""
    await request.app[API].work("remove_network", request.match_info["name"])
    return nothing()


async def prune(request: web.Request) -> web.Response:
    """``POST /networks/prune``."""
    answer = await request.app[API].work("prune_networks", query(request).filters())
    return json_response({"NetworksDeleted": answer.value or None})


async def connect(request: web.Request) -> web.Response:
    """``POST /networks/{name}/connect``."""
    await request.app[API].work("connect", request.match_info["name"], await body(request))
    return nothing(200)


async def disconnect(request: web.Request) -> web.Response:
    """``POST /networks/{name}/disconnect``."""
    await request.app[API].work("disconnect", request.match_info["name"], await body(request))
    return nothing(200)


ROUTES: Routes = (
    ("GET", "/networks", list_all),
    ("POST", "/networks/create", create),
    ("POST", "/networks/prune", prune),
    ("GET", "/networks/{name:.+}", inspect),
    ("DELETE", "/networks/{name:.+}", remove),
    ("POST", "/networks/{name:.+}/connect", connect),
    ("POST", "/networks/{name:.+}/disconnect", disconnect),
)
