"""Errors as Docker's daemon answers them: its status codes and ``{"message": …}``."""

from __future__ import annotations

import logging
from urllib.parse import quote

from aiohttp import web

from wherry.api.context import json_response
from wherry.api.raw import Taken
from wherry.errors import NotModified, StorageFull, WherryError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wherry.api.context import Handler

_LOG = logging.getLogger("wherry.api")
BEGUN = "begun"
"""Set in a request whose answer has begun."""


@web.middleware
async def answer_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Whatever a route raises becomes an answer; what is our own mistake is logged as well."""
    try:
        return await handler(request)
    except Exception as error:
        if BEGUN not in request:
            return _refused(request, error)
        if request.transport is not None:  # an answer that ends early must not look whole
            request.transport.abort()
        if not isinstance(error, WherryError | ConnectionError):
            _LOG.exception("%s %s", request.method, request.path)
        return Taken()


def _refused(request: web.Request, error: Exception) -> web.StreamResponse:
    if isinstance(error, NotModified):
        return web.Response(status=304)
    if isinstance(error, WherryError):
        return answer(error)
    if isinstance(error, web.HTTPNotFound | web.HTTPMethodNotAllowed):  # Docker knows no difference
        return json_response({"message": "page not found"}, 404)
    if isinstance(error, web.HTTPException):
        return json_response({"message": (error.text or error.reason).partition("\n")[0]}, error.status)
    if isinstance(error, ConnectionError):
        return Taken()  # nobody is there to be told
    _LOG.error("%s %s", request.method, request.path, exc_info=error)
    return json_response({"message": f"{type(error).__name__}: {error}"}, 500)


def answer(error: WherryError) -> web.Response:
    """One error of the engine's; in headers, what Docker has no place for and `wherry.client` reads."""
    response = json_response({"message": text(error)}, status(error))
    response.headers["Wherry-Error"] = type(error).__name__
    if error.hint:
        response.headers["Wherry-Hint"] = quote(error.hint)
    return response


def text(error: WherryError) -> str:
    """What Docker's client prints after "Error response from daemon: "."""
    return f"{error.message} ({error.hint})" if error.hint else error.message


def status(error: WherryError) -> int:
    """Docker has no status of its own for a full disk."""
    return 500 if isinstance(error, StorageFull) or (error.status >= 499 and error.status < 500) else error.status
