"""Manifests and blobs of a repository, from its mirrors or from the registry itself.

Every answer is checked against what was asked for before anybody sees it; what fails for a while is tried again; a
mirror that fails at anything is passed over in favour of the next.  One `Client` serves all threads of a pull.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from functools import partial
from types import TracebackType
from typing import Self, TypeVar
from urllib.parse import quote

from wherry.errors import (
    Corrupt,
    Forbidden,
    InvalidArgument,
    NotFound,
    NotSupported,
    Unauthorized,
    Unavailable,
    WherryError,
)
from wherry.oci import digest as digests
from wherry.oci.manifest import ACCEPTED, MAX_MANIFEST, Descriptor
from wherry.oci.reference import Reference, is_tag
from wherry.record import Record
from wherry.registry import failures
from wherry.registry.auth import AnonymousRefused, Authorizer
from wherry.registry.blob import Blob, open_blob
from wherry.registry.config import Endpoint, RegistryConfig
from wherry.registry.credentials import Credentials
from wherry.registry.failures import Transient, printable, read_problem
from wherry.registry.retry import Backoff, retry_after
from wherry.registry.transport import Body, Response, Transport, origin

T = TypeVar("T")

ACCEPT = ", ".join((*ACCEPTED, "application/vnd.docker.distribution.manifest.v1+prettyjws;q=0.1", "*/*;q=0.1"))
PASSED_OVER = (Unavailable, Unauthorized, Forbidden, NotFound, Corrupt, NotSupported)


class Fetched(Record):
    """A manifest or an index as the registry gave it: ``body`` has the digest and size of ``descriptor``.

    ``source`` is the host that gave it, which is not the reference's when it was a mirror.
    """

    descriptor: Descriptor
    body: bytes
    media_type: str
    source: str = ""


class Source(Record):
    """Where one blob can be had: an endpoint, or a URL of a foreign layer."""

    endpoint: Endpoint
    url: str = ""


class Client:
    """Talks to any number of registries.  A context manager; thread-safe."""

    def __init__(self, config: RegistryConfig, credentials: Credentials | None = None) -> None:
        self._config = config
        self._credentials = credentials or Credentials(config.docker_config, config.credentials)
        self._stop = threading.Event()
        self._transport = Transport(config, self._stop)
        self._lock = threading.Lock()
        self._authorizers: dict[tuple[str, str], Authorizer] = {}
        self._dead: set[str] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.close()

    def cancel(self) -> None:
        """Makes every request under way, and every later one, end with `Cancelled`, from any thread."""
        self._stop.set()

    def close(self) -> None:
        """Closes the connections."""
        self._transport.close()

    def manifest(self, reference: Reference, expected: Descriptor | None = None) -> Fetched:
        """The manifest or index that ``reference`` names, by its digest if it has one, else by its tag.

        ``expected`` is the entry of the index that led here; its size must be right too.  Raises `NotFound`,
        `Unauthorized`, `Unavailable`, `Corrupt` (of which `NotFound` and access denied in Docker's words).
        """
        return self._first(reference, lambda endpoint: self._manifest(endpoint, reference, expected))

    def head(self, reference: Reference) -> Descriptor:
        """What ``reference`` points at, without its content where the registry tells.  Raises as `manifest`."""

        rest = _manifest_path(reference)

        def ask(endpoint: Endpoint) -> Descriptor:
            response = self._call(endpoint, "HEAD", reference, rest, {"Accept": ACCEPT})
            with closing(response):
                if response.status != 200:
                    raise self._refusal(response, reference, endpoint, "")
                digest, size = response.headers.get("docker-content-digest", ""), response.length
                if not digests.is_digest(digest) or size is None:
                    return self._manifest(endpoint, reference, None).descriptor
                return Descriptor(_media_type(response), digest, size)

        return self._first(reference, ask)

    def exists(self, repository: Reference, descriptor: Descriptor) -> bool:
        """Whether the repository has the blob.  Raises `Unauthorized`, `Unavailable`."""
        digest = digests.parse(descriptor.digest)

        def ask(endpoint: Endpoint) -> bool:
            response = self._call(endpoint, "HEAD", repository, f"blobs/{digest}", {})
            with closing(response):
                if response.status not in (200, 404):
                    raise self._refusal(response, repository, endpoint, digest)
                if response.status == 404 and endpoint.mirror:
                    raise failures.blob_missing(repository, digest, failures.Problem())
                return response.status == 200

        return self._first(repository, ask)

    def blob(self, repository: Reference, descriptor: Descriptor, offset: int = 0) -> Blob:
        """The blob's bytes from ``offset`` on, to read (see `Blob`); a context manager.

        A single stream: it does not go on by itself when it breaks off, see `fetch.download` for that.
        """
        found: WherryError | None = None
        for source in self.sources(repository, descriptor):
            opened = partial(self._open, source, repository, descriptor, offset)
            try:
                return self.retry(source.endpoint, opened)
            except PASSED_OVER as error:
                found = self.passed_over(source, error, found)
        assert found is not None
        raise found

    def sources(self, repository: Reference, descriptor: Descriptor) -> Iterator[Source]:
        """Where the blob may be, the best first: mirrors, the registry, the addresses of a foreign layer."""
        endpoints = self._endpoints(repository)
        for endpoint in endpoints:
            yield Source(endpoint)
        for url in descriptor.urls:
            yield Source(endpoints[-1], url)

    def open(self, source: Source, repository: Reference, descriptor: Descriptor, offset: int) -> Blob:
        """The blob from one source, tried once.  Foreign URLs never see credentials.  Raises as `blob`."""
        digest = digests.parse(descriptor.digest)
        endpoint = source.endpoint

        def ask(headers: dict[str, str]) -> Response:
            if not source.url:
                response = self._call(endpoint, "GET", repository, f"blobs/{digest}", headers)
            elif origin(source.url).scheme != "https" and not self._transport.base(endpoint).startswith("http://"):
                raise Forbidden(f"layer {digest} is kept at an address without TLS: {printable(source.url, 120)}")
            else:
                response = self._transport.visit(endpoint, "GET", source.url, headers)
            if response.status in (200, 206, 416):
                return response
            raise self._refusal(response, repository, endpoint, digest)

        return open_blob(ask, descriptor, offset)

    def _open(self, source: Source, repository: Reference, descriptor: Descriptor, offset: int, _: Endpoint) -> Blob:
        return self.open(source, repository, descriptor, offset)

    def backoff(self, endpoint: Endpoint) -> Backoff:
        """A fresh count of failures, by the configured policy; a mirror gets one more chance and no more."""
        policy = self._config.retry
        return Backoff(policy.replace(tries=min(policy.tries, 2)) if endpoint.mirror else policy, self._stop)

    def passed_over(self, source: Source, error: WherryError, before: WherryError | None) -> WherryError:
        """Notes that ``source`` failed; the error to report if no other source is better."""
        return self._pass_over(source.endpoint, error, before, foreign=bool(source.url))

    # -- endpoints, tries ----------------------------------------------------------------------------------------

    def _endpoints(self, reference: Reference) -> tuple[Endpoint, ...]:
        found = self._config.endpoints(reference.domain)
        return tuple(one for one in found if not one.mirror or one.host not in self._dead)

    def _first(self, reference: Reference, ask: Callable[[Endpoint], T]) -> T:
        found: WherryError | None = None
        for endpoint in self._endpoints(reference):
            try:
                return self.retry(endpoint, ask)
            except PASSED_OVER as error:
                found = self._pass_over(endpoint, error, found)
        assert found is not None
        raise found

    def _pass_over(
        self, endpoint: Endpoint, error: WherryError, before: WherryError | None, *, foreign: bool = False
    ) -> WherryError:
        if endpoint.mirror and isinstance(error, Unavailable | Unauthorized):
            self._dead.add(endpoint.host)
        # The registry's own words count; what its mirrors said, or the places that a layer names, is only a detail.
        return before if foreign and before is not None else error

    def retry(self, endpoint: Endpoint, ask: Callable[[Endpoint], T]) -> T:
        """What ``ask`` returns, tried again as long as it raises `Transient` and the policy allows."""
        backoff = self.backoff(endpoint)
        while True:
            try:
                return ask(endpoint)
            except Transient as error:
                backoff.failed(error)

    def _call(
        self, endpoint: Endpoint, method: str, reference: Reference, rest: str, headers: dict[str, str]
    ) -> Response:
        """One request that reads, with authentication."""
        path = quote(reference.path, safe="/")
        repository = f"{endpoint.prefix}/{path}" if endpoint.prefix else path
        return self.ask(
            endpoint, method, f"/v2/{repository}/{rest}", headers, reference, (f"repository:{repository}:pull",)
        )

    def ask(
        self,
        endpoint: Endpoint,
        method: str,
        where: str,
        headers: dict[str, str],
        reference: Reference,
        scopes: tuple[str, ...],
        body: Body | None = None,
    ) -> Response:
        """One request to the registry itself, with authentication for ``scopes``.

        ``where`` is a path, or a URL that the registry named: one of another origin than its own gets no credentials,
        and one without TLS is not gone to by a registry with it.
        """
        if where.startswith("/"):
            return self._authorized(
                endpoint,
                reference,
                scopes,
                lambda sent: self._transport.ask(endpoint, method, where, headers, sent, body),
            )
        target, own = origin(where), origin(self._transport.base(endpoint))
        if own.scheme == "https" and target.scheme != "https":
            hint = "the registry gives up encryption; it would have to be configured anew"
            raise failures.forbidden_target("the registry sent us from https to http", target.netloc, "", hint)
        if target != own:
            return self._transport.visit(endpoint, method, where, headers, "", body)
        return self._authorized(
            endpoint,
            reference,
            scopes,
            lambda sent: self._transport.visit(endpoint, method, where, headers, sent, body),
        )

    def ask_anonymously(self, endpoint: Endpoint, path: str) -> Response:
        """One GET of ``path`` without credentials."""
        return self._transport.ask(endpoint, "GET", path, {"Accept": "application/json"})

    def registry(self, reference: Reference) -> Endpoint:
        """The registry of ``reference`` itself, never a mirror: where is written to."""
        return self._config.endpoints(reference.domain)[-1]

    @property
    def patience(self) -> float:
        """Seconds that a registry may take for one answer or for one piece of what is sent."""
        return self._config.read_timeout

    def _authorized(
        self, endpoint: Endpoint, reference: Reference, scopes: tuple[str, ...], ask: Callable[[str], Response]
    ) -> Response:
        """What ``ask`` gets with the right ``Authorization`` header; a 401 is answered once."""
        authorizer = self._authorizer(endpoint)
        try:
            sent = authorizer.header(scopes)
            response = ask(sent)
            if response.status != 401 or response.moved:
                return response
            with closing(response):
                again = authorizer.answer(response, scopes, sent)
            return ask(again)
        except AnonymousRefused as error:
            problem = failures.Problem("", error.message)
            if any(scope.endswith("push") for scope in scopes):
                raise failures.unauthorized(problem, self.login_hint(endpoint)) from error
            raise self._need_login(endpoint, reference, problem) from error
        except Unauthorized as error:
            error.hint = error.hint or self.login_hint(endpoint)
            raise

    def _authorizer(self, endpoint: Endpoint) -> Authorizer:
        key = (endpoint.host, endpoint.account)
        with self._lock:
            if key not in self._authorizers:
                self._authorizers[key] = Authorizer(
                    endpoint, self._transport, lambda: self._credentials.get(endpoint.account)
                )
            return self._authorizers[key]

    # -- manifests and refusals ----------------------------------------------------------------------------------

    def _manifest(self, endpoint: Endpoint, reference: Reference, expected: Descriptor | None) -> Fetched:
        response = self._call(endpoint, "GET", reference, _manifest_path(reference), {"Accept": ACCEPT})
        with closing(response):
            if response.status != 200:
                raise self._refusal(response, reference, endpoint, "")
            body = response.read_all(MAX_MANIFEST, f"manifest of {reference.familiar()}")
        length = response.length
        if length is not None and length != len(body):
            raise Corrupt(f"manifest of {reference.familiar()} is cut short: {len(body)} of {length} bytes")
        announced = response.headers.get("docker-content-digest", "")
        wanted = reference.digest or (announced if digests.is_digest(announced) else "")
        _verify(body, wanted, expected, f"manifest of {reference.familiar()}")
        media_type = _media_type(response)
        descriptor = Descriptor(media_type, reference.digest or digests.of(body), len(body))
        return Fetched(descriptor, body, media_type, endpoint.host)

    def _refusal(self, response: Response, reference: Reference, endpoint: Endpoint, digest: str) -> WherryError:
        """The error for a status other than success; ``digest`` is that of a blob, empty for a manifest."""
        problem = read_problem(response.read_some())
        status = response.status
        if status == 404 and not digest and not problem.code:  # the answer to HEAD has no body
            problem = failures.Problem("MANIFEST_UNKNOWN", "manifest unknown")
        wait = retry_after(response.headers.get("retry-after"))
        what = f"{endpoint.host}: {reference.familiar_name()}"
        if response.moved and status in (401, 403):
            return Transient(f"{what}: {origin(response.url).netloc} answered {status} after a redirect")
        if status == 401:
            if self._credentials.get(endpoint.account) is None:
                return self._need_login(endpoint, reference, problem)
            return failures.unauthorized(problem, self.login_hint(endpoint))
        if status == 403 and problem.code != "TOOMANYREQUESTS":
            return failures.denied(reference, problem, self.login_hint(endpoint))
        if status == 404:
            if digest:
                return failures.blob_missing(reference, digest, problem)
            return failures.manifest_missing(reference, problem)
        return failures.refused(what, status, problem, wait)

    def _need_login(self, endpoint: Endpoint, reference: Reference, problem: failures.Problem) -> WherryError:
        hint = self.login_hint(endpoint)
        if problem.message == "no basic auth credentials":
            return Unauthorized(f"{endpoint.host}: no basic auth credentials", hint=hint)
        return failures.denied(reference, failures.Problem("DENIED", problem.message), hint)

    def login_hint(self, endpoint: Endpoint) -> str:
        """What to do when credentials are missing: log in, or repair what should have given them."""
        note = self._credentials.note(endpoint.account)
        host = "" if endpoint.account == "docker.io" else f" {endpoint.account}"
        return note or f"log in with 'wherry login{host}', or with 'docker login': they keep credentials in one file"


class closing:  # noqa: N801 - used as a statement
    """Closes a response; `contextlib.closing` without the protocol's noise."""

    def __init__(self, response: Response) -> None:
        self._response = response

    def __enter__(self) -> Response:
        return self._response

    def __exit__(self, *_error: object) -> None:
        self._response.close()


def _manifest_path(reference: Reference) -> str:
    if reference.digest:
        digests.parse(reference.digest)
    elif not is_tag(reference.identifier):
        raise InvalidArgument("invalid tag format")
    return f"manifests/{reference.identifier}"


def _media_type(response: Response) -> str:
    return printable(response.headers.get("content-type", "").partition(";")[0].strip().lower(), 200)


def _verify(body: bytes, digest: str, expected: Descriptor | None, what: str) -> None:
    if expected is not None and len(body) != expected.size:
        raise Corrupt(f"{what} has {len(body)} bytes instead of {expected.size}")
    if digest:
        check = digests.hasher(digest)
        check.update(body)
        if check.hexdigest() != digests.hex_part(digest):
            raise Corrupt(f"{what} does not match its digest {digest}")
