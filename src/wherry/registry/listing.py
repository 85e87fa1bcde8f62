"""What a registry has: repositories, tags, and what refers to a manifest (distribution specification, "Discovery")."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, urlencode

from wherry.errors import Corrupt, NotFound, NotSupported
from wherry.oci import digest as digests
from wherry.oci.manifest import Descriptor, Index, parse_manifest
from wherry.oci.reference import Reference, is_tag
from wherry.registry.client import Client, closing
from wherry.registry.failures import printable, read_problem, refused
from wherry.registry.push import refusal
from wherry.registry.retry import retry_after
from wherry.registry.transport import Response, join

_MAX_PAGE = 4 << 20
_MAX_PAGES = 1000
_NEXT = re.compile(r'<([^<>]{1,4096})>\s*;\s*rel="?next"?', re.ASCII)


def tags(client: Client, repository: Reference) -> tuple[str, ...]:
    """The tags of a repository, in the registry's order.  Raises `NotFound`, `Unauthorized`, `Unavailable`."""
    path = quote(repository.path, safe="/")
    found: list[str] = []
    for page in _pages(client, repository, f"/v2/{path}/tags/list", (f"repository:{path}:pull",)):
        found += _strings(page, "tags")
    return tuple(dict.fromkeys(tag for tag in found if is_tag(tag)))


def repositories(client: Client, host: str) -> tuple[str, ...]:
    """The repositories of a registry, where it lists them.  Raises `NotSupported` where it does not."""
    nobody = Reference(host, "", "", "")
    found: list[str] = []
    try:
        for page in _pages(client, nobody, "/v2/_catalog", ("registry:catalog:*",)):
            found += _strings(page, "repositories")
    except NotFound:
        raise NotSupported(f"{host} does not list its repositories") from None
    return tuple(dict.fromkeys(printable(name, 255) for name in found))


def referrers(client: Client, subject: Reference, artifact_type: str = "") -> tuple[Descriptor, ...]:
    """What refers to the manifest with the digest of ``subject``: signatures, bills of materials, and the like.

    A registry without the referrers API is asked for the tag that stands for it (specification, "Referrers Tag
    Schema").  Raises `Unauthorized`, `Unavailable`, `Corrupt`.
    """
    path = quote(subject.path, safe="/")
    query = "?" + urlencode({"artifactType": artifact_type}) if artifact_type else ""
    digest = digests.parse(subject.digest)
    found: list[Descriptor] = []
    try:
        for page in _pages(client, subject, f"/v2/{path}/referrers/{digest}{query}", (f"repository:{path}:pull",)):
            parsed = parse_manifest(json.dumps(page).encode())
            if not isinstance(parsed, Index):
                raise Corrupt("the list of referrers is not an index")
            found += parsed.manifests
    except NotFound:
        found += fallback(client, subject)
    return tuple(one for one in found if not artifact_type or one.artifact_type == artifact_type)


def fallback_tag(subject: Reference) -> Reference:
    """The tag under which the referrers of a manifest are listed where there is no API for it."""
    return subject.replace(tag=subject.digest.replace(":", "-"), digest="")


def fallback(client: Client, subject: Reference) -> tuple[Descriptor, ...]:
    """What the referrers' tag lists."""
    try:
        fetched = client.manifest(fallback_tag(subject))
    except NotFound:
        return ()
    parsed = parse_manifest(fetched.body, fetched.media_type)
    return parsed.manifests if isinstance(parsed, Index) else ()


def has_referrers_api(client: Client, subject: Reference) -> bool:
    """Whether the registry keeps the list of referrers itself."""
    path = quote(subject.path, safe="/")
    where = f"/v2/{path}/referrers/{digests.parse(subject.digest)}"
    try:
        next(_pages(client, subject, where, (f"repository:{path}:pull",)))
    except NotFound:
        return False
    return True


def _pages(client: Client, name: Reference, where: str, scopes: tuple[str, ...]) -> Iterator[dict[str, Any]]:
    """The documents of a list, one after the other; a page that was there before ends it."""
    endpoint = client.registry(name)
    seen: set[str] = set()
    while where and where not in seen and len(seen) < _MAX_PAGES:
        seen.add(where)
        page, where = client.retry(endpoint, lambda _, url=where: _page(client, name, url, scopes))  # type: ignore[misc]
        yield page


def _page(client: Client, name: Reference, where: str, scopes: tuple[str, ...]) -> tuple[dict[str, Any], str]:
    endpoint = client.registry(name)
    response = client.ask(endpoint, "GET", where, {"Accept": "application/json, */*;q=0.5"}, name, scopes)
    with closing(response):
        if response.status != 200:
            problem = read_problem(response.read_some())
            if response.status in (404, 405):
                what = name.familiar_name() if name.path else name.domain
                raise NotFound("repository", what, f"{what}: {problem or 'not found'}")
            if response.status in (401, 403):
                raise refusal(client, response, name, endpoint, problem)
            raise refused(endpoint.host, response.status, problem, retry_after(response.headers.get("retry-after")))
        try:
            value = json.loads(response.read_all(_MAX_PAGE, "the list"))
        except (ValueError, RecursionError):
            value = None
        if not isinstance(value, dict):
            raise Corrupt(f"{endpoint.host}: the list is not a JSON object")
        return value, _next(response)


def _next(response: Response) -> str:
    found = _NEXT.search(response.headers.get("link", "")[:8192])
    return join(response.url, found[1]) if found else ""


def _strings(page: dict[str, Any], key: str) -> list[str]:
    found = page.get(key)
    return [one for one in found if isinstance(one, str)] if isinstance(found, list) else []
