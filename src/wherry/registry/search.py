"""Looking for repositories: Docker Hub's search, and the catalogue of any other registry."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlencode

from wherry.errors import Corrupt, Unavailable
from wherry.oci.reference import DEFAULT_DOMAIN, Reference
from wherry.record import Record
from wherry.registry import listing
from wherry.registry.client import Client, closing
from wherry.registry.config import Endpoint
from wherry.registry.failures import printable, read_problem, refused
from wherry.registry.retry import retry_after

_HUB = Endpoint("index.docker.io", "docker.io")
_MAX_PAGE = 4 << 20


class Result(Record):
    """One repository.  Only Docker Hub knows more than the name."""

    name: str
    description: str = ""
    stars: int = 0
    official: bool = False


def search(client: Client, host: str, term: str, limit: int, hub: Endpoint = _HUB) -> tuple[Result, ...]:
    """At most ``limit`` repositories of ``host`` whose names have ``term`` in them.

    Raises `NotSupported` when the registry does not list what it has, `Unauthorized`, `Unavailable`.
    """
    if host == DEFAULT_DOMAIN:
        return _of_hub(client, term, limit, hub)
    found = [name for name in listing.repositories(client, host) if term.lower() in name.lower()]
    return tuple(Result(f"{host}/{name}") for name in found[:limit])


def _of_hub(client: Client, term: str, limit: int, hub: Endpoint) -> tuple[Result, ...]:
    """Docker Hub's search, version 1: never asked with credentials."""
    where = "/v1/search?" + urlencode({"q": term, "n": limit})

    def ask(_: Endpoint) -> tuple[Result, ...]:
        response = client.ask_anonymously(hub, where)
        with closing(response):
            if response.status != 200:
                problem, wait = read_problem(response.read_some()), retry_after(response.headers.get("retry-after"))
                raise refused("Docker Hub's search", response.status, problem, wait)
            try:
                value: Any = json.loads(response.read_all(_MAX_PAGE, "the list"))
                return tuple(_result(one) for one in value["results"][:limit])
            except (ValueError, RecursionError, KeyError, TypeError, AttributeError, Corrupt):
                raise Unavailable("Docker Hub's search gave an answer that is not understood") from None

    return client.retry(hub, ask)


def _result(value: Any) -> Result:
    stars = value.get("star_count")
    description = value.get("description")
    return Result(
        printable(str(value["name"]), 255),
        printable(description, 2000) if isinstance(description, str) else "",
        stars if isinstance(stars, int) else 0,
        value.get("is_official") is True,
    )


def split(term: str) -> tuple[str, str]:
    """The registry and what to look for there: ``host:5000/name`` or ``name``."""
    head, slash, tail = term.partition("/")
    if slash and ("." in head or ":" in head or head == "localhost"):
        return Reference(head.lower(), "", "", "").domain, tail
    return DEFAULT_DOMAIN, term
