"""Which Host a request may name.

A web page can have a browser connect to any address under the page's own name (DNS rebinding).  On TCP a request must
name the host that the server's certificate is for, or an address; browsers cannot reach a unix socket.
"""

from __future__ import annotations

import ipaddress

from aiohttp import web

from wherry.errors import Forbidden

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wherry.api.context import Handler

NAMES = web.AppKey("names", frozenset[str])


@web.middleware
async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Refuse a stranger's name, and whatever a browser sends for a page."""
    transport = request.transport
    address = transport.get_extra_info("sockname") if transport is not None else ""
    if isinstance(address, tuple) and not _known(request.host, request.app[NAMES]):
        raise Forbidden(f"this server does not answer for the host {request.host}")
    if request.headers.get("Origin") or request.headers.get("Sec-Fetch-Site"):
        raise Forbidden("this server does not answer to web pages")
    return await handler(request)


def _known(host: str, names: frozenset[str]) -> bool:
    name = host.rpartition(":")[0] if not host.endswith("]") and ":" in host else host
    name = name.strip("[]").lower()
    if name in names or name == "localhost":
        return True
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
