"""What Docker answers of swarms, plugins, secrets, configs and services when it is in no swarm."""

from __future__ import annotations

from aiohttp import web

from wherry.api.context import json_response
from wherry.errors import NotFound, NotSupported, Unavailable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wherry.api.context import Handler, Routes

_MESSAGE = (
    'This node is not a swarm manager. Use "docker swarm init" or "docker swarm join" to connect this node to swarm '
    "and try again."
)
_OF_A_SWARM = ("nodes", "services", "tasks", "secrets", "configs")


async def not_in_swarm(_request: web.Request) -> web.StreamResponse:
    """The documented 503."""
    raise Unavailable(_MESSAGE)


async def no_swarms(_request: web.Request) -> web.StreamResponse:
    """Becoming part of one is not offered."""
    raise NotSupported("wherry has no swarms")


async def no_plugins(_request: web.Request) -> web.StreamResponse:
    """None are installed."""
    return json_response([])


async def no_plugins_at_all(_request: web.Request) -> web.StreamResponse:
    """And none can be."""
    raise NotSupported("wherry has no plugins", hint="volumes and networks have the drivers that 'wherry info' lists")


async def no_plugin(request: web.Request) -> web.StreamResponse:
    """Whatever is asked of one."""
    name = request.match_info["name"].removesuffix("/json")
    raise NotFound("plugin", name, f'plugin "{name}" not found')


def _routes() -> tuple[tuple[str, str, Handler], ...]:
    routes: list[tuple[str, str, Handler]] = [
        ("GET", "/swarm", not_in_swarm),
        ("GET", "/swarm/unlockkey", not_in_swarm),
        ("POST", "/swarm/init", no_swarms),
        ("POST", "/swarm/join", no_swarms),
        ("POST", "/swarm/leave", not_in_swarm),
        ("POST", "/swarm/update", not_in_swarm),
        ("POST", "/swarm/unlock", not_in_swarm),
        ("GET", "/plugins", no_plugins),
        ("GET", "/plugins/privileges", no_plugins_at_all),
        ("POST", "/plugins/pull", no_plugins_at_all),
        ("POST", "/plugins/create", no_plugins_at_all),
        ("*", "/plugins/{name:.+}", no_plugin),
        ("PUT", "/volumes/{name}", not_in_swarm),  # of volumes of a cluster
    ]
    for resource in _OF_A_SWARM:
        routes.append(("GET", f"/{resource}", not_in_swarm))
        routes.append(("*", f"/{resource}/{{rest:.+}}", not_in_swarm))
    return tuple(routes)


ROUTES: Routes = _routes()
