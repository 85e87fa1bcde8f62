"""Shows credentials to a registry, to see whether it takes them."""

from __future__ import annotations

import http
import threading

from wherry.errors import InvalidArgument, Unauthorized
from wherry.oci.reference import is_domain
from wherry.registry.auth import AnonymousRefused, Authorizer
from wherry.registry.config import RegistryConfig
from wherry.registry.credentials import Credential, canonical
from wherry.registry.failures import Transient, read_problem, refused
from wherry.registry.retry import Backoff, retry_after
from wherry.registry.transport import Response, Transport


def host_of_server(server: str) -> str:
    """The registry that a person means by ``server``: a host with or without ``https://`` and a path; empty is Docker
    Hub.  Raises `InvalidArgument`."""
    rest = server.partition("://")[2] if server.startswith(("https://", "http://")) else server
    host = canonical(rest.partition("/")[0]) if server else "docker.io"
    if not is_domain(host):
        raise InvalidArgument(f"invalid registry {server[:200]!r}", hint="it is written HOST[:PORT]")
    return host


def log_in(config: RegistryConfig, host: str, credential: Credential) -> str:
    """Shows ``credential`` to the registry ``host``; the identity token that it gives for it, or nothing.

    Raises `Unauthorized` when it is refused, `Unavailable`, `Forbidden` when it would have to go where it must not.
    """
    stop = threading.Event()
    transport = Transport(config, stop)
    endpoint = config.endpoints(host)[-1]
    authorizer = Authorizer(endpoint, transport, lambda: credential, offline=True)
    backoff = Backoff(config.retry, stop)

    def ask(authorization: str) -> Response:
        return transport.ask(endpoint, "GET", "/v2/", {}, authorization)

    def once() -> str:
        response = ask("")
        if response.status == 401 and not response.moved:
            try:
                sent = authorizer.answer(response, (), "")
            except AnonymousRefused as error:
                raise Unauthorized(f"login attempt to {response.url} failed: {error.message}") from None
            finally:
                response.close()
            response = ask(sent)
        body = response.read_some()
        where = f"login attempt to {response.url} failed with status"
        if response.status == 200:
            return authorizer.identity_token
        if response.status in (401, 403):
            name = http.HTTPStatus(response.status).phrase
            raise Unauthorized(f"{where}: {response.status} {name}", hint=str(read_problem(body)))
        raise refused(where, response.status, read_problem(body), retry_after(response.headers.get("retry-after")))

    try:
        while True:
            try:
                return once()
            except Transient as error:
                backoff.failed(error)
    finally:
        transport.close()
