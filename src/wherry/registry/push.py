"""Writing to a registry: blobs that it lacks, and manifests (OCI distribution specification, "Push").

A blob that another repository of the registry has is mounted; anything else is uploaded in a session, which goes on
where the registry says it stands when the connection broke off.  A registry that has forgotten the session gets the
blob anew.  Nothing is written to a mirror.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from urllib.parse import quote

from wherry.errors import Corrupt, NotFound, Unavailable, WherryError
from wherry.oci import digest as digests
from wherry.oci.manifest import Descriptor
from wherry.oci.reference import Reference
from wherry.registry import failures, net
from wherry.registry.client import ACCEPT, Client, closing
from wherry.registry.config import Endpoint
from wherry.registry.failures import Problem, Transient, printable, read_problem
from wherry.registry.retry import retry_after
from wherry.registry.transport import Body, Response, join

_AT_ONCE = 4 << 20
_SETTLED = 1 << 20
_SLOWEST_STORE = 8 << 20  # bytes a second that a registry must be able to hash when an upload ends
_OCTETS = {"Content-Type": "application/octet-stream"}
_RANGE = re.compile(r"(?:bytes=)?0-([0-9]{1,18})", re.ASCII)


class Incomplete(NotFound):
    """The registry refuses a manifest because a blob that it names is not in the repository."""


Pieces = Callable[[int], Iterator[bytes]]
"""The bytes of a blob from an offset on, begun anew at each call."""


def put_manifest(client: Client, reference: Reference, body: bytes, media_type: str) -> str:
    """Writes a manifest or an index under the reference's tag, or its digest; its digest.

    Everything that it names must be there.  Raises `Forbidden`, `Unauthorized`, `NotFound`, `Unavailable`, `Corrupt`
    when the registry keeps something else than was sent, `Incomplete`.
    """
    endpoint = client.registry(reference)
    digest = reference.digest or digests.of(body)

    def ask(_: Endpoint) -> str:
        response = _send(
            client, endpoint, "PUT", f"/v2/{_path(reference)}/manifests/{reference.identifier}", reference,
            {"Content-Type": media_type}, body=body,
        )  # fmt: skip
        with closing(response):
            if response.status not in (200, 201, 202):
                raise refusal(client, response, reference, endpoint, read_problem(response.read_some()))
            response.read_some()
            _same(response, digest, "manifest")
            return digest

    return client.retry(endpoint, ask)


def has_manifest(client: Client, repository: Reference, digest: str) -> bool:
    """Whether the registry has this manifest in this repository already, and so all that it names."""
    return _is_there(client, repository, f"manifests/{digests.parse(digest)}")


def has_blob(client: Client, repository: Reference, digest: str) -> bool:
    """Whether the registry itself has the blob in this repository."""
    return _is_there(client, repository, f"blobs/{digests.parse(digest)}")


def _is_there(client: Client, repository: Reference, rest: str) -> bool:
    endpoint = client.registry(repository)

    def ask(_: Endpoint) -> bool:
        accept = {"Accept": ACCEPT} if rest.startswith("manifests") else {}
        response = _send(client, endpoint, "HEAD", f"/v2/{_path(repository)}/{rest}", repository, accept)
        with closing(response):
            if response.status not in (200, 404):
                raise refusal(client, response, repository, endpoint, read_problem(response.read_some()))
            return response.status == 200

    return client.retry(endpoint, ask)


def put_blob(
    client: Client,
    repository: Reference,
    descriptor: Descriptor,
    pieces: Pieces,
    *,
    mount: Sequence[str] = (),
    progress: Callable[[int], None] | None = None,
) -> str:
    """Brings a blob into a repository.  Whether it is there already is the caller's to ask.

    Returns which of the repositories ``mount`` of the same registry it was mounted from, "" when it was uploaded;
    ``progress`` is told the bytes that are on their way.  Raises as `put_manifest`.
    """
    return _Upload(client, repository, descriptor, pieces, progress).run(mount)


class _Upload:
    """One blob on its way.  ``url`` is the session's, empty without one; ``offset`` what the registry has of it."""

    def __init__(
        self,
        client: Client,
        repository: Reference,
        descriptor: Descriptor,
        pieces: Pieces,
        progress: Callable[[int], None] | None,
    ) -> None:
        self._client = client
        self._repository = repository
        self._endpoint = client.registry(repository)
        self._descriptor = descriptor
        self._pieces = pieces
        self._progress = progress
        self._url = ""
        self._offset = 0
        self._sure = True  # whether the registry has told the offset
        self._resumed = False

    def run(self, mount: Sequence[str]) -> str:
        backoff = self._client.backoff(self._endpoint)
        waiting = list(mount)
        confirmed = 0
        while True:
            try:
                if not self._sure and self._find_out():
                    return ""
                if self._offset >= confirmed + _SETTLED:
                    confirmed = self._offset
                    backoff.progressed()
                while not self._url:
                    source = waiting.pop(0) if waiting else ""
                    if self._begin(source):
                        return source
                    if self._url and waiting:
                        self._abandon()
                self._upload()
                return ""
            except Transient as error:
                self._sure = not self._url
                backoff.failed(error)

    def _begin(self, source: str) -> bool:
        """Opens a session; True when the blob was mounted from ``source`` instead."""
        path = f"/v2/{_path(self._repository)}/blobs/uploads/"
        scopes: tuple[str, ...] = ()
        if source:
            path += f"?mount={quote(self._descriptor.digest, safe=':')}&from={quote(source, safe='/')}"
            scopes = (f"repository:{source}:pull",)
        response = self._send("POST", path, {}, b"", scopes)
        with closing(response):
            if response.status == 201 and source:
                response.read_some()
                return True
            if response.status != 202:
                if source and response.status in (400, 401, 403, 404, 405):
                    response.read_some()
                    return False  # the registry does not mount; the next try is without
                raise self._refusal(response)
            response.read_some()
            self._go_on_at(response)
            self._offset, self._sure = 0, True
        return False

    def _abandon(self) -> None:
        """Ends a session that came instead of a mount; what the registry says to that does not matter."""
        url, self._url = self._url, ""
        try:
            self._send("DELETE", url, {}, None).close()
        except WherryError:
            return

    def _upload(self) -> None:
        size = self._descriptor.size
        if self._offset == 0 and size <= _AT_ONCE:
            self._finish(lambda: self._body(0), size)
            return
        if self._offset < size:
            headers = {"Content-Length": f"{size - self._offset}"}
            if self._offset:
                headers["Content-Range"] = f"{self._offset}-{size - 1}"
            start = self._offset
            response = self._send("PATCH", self._url, _OCTETS | headers, lambda: self._body(start))
            with closing(response):
                if response.status not in (201, 202, 204):
                    raise self._lost(response)
                response.read_some()
                self._go_on_at(response)
                self._offset = size
        self._finish(b"", 0)

    def _finish(self, body: Body, length: int) -> None:
        joint = "&" if "?" in self._url else "?"
        url = f"{self._url}{joint}digest={quote(self._descriptor.digest, safe=':')}"
        response = self._send("PUT", url, _OCTETS | {"Content-Length": f"{length}"}, body)
        with closing(response):
            if response.status not in (200, 201, 204):
                raise self._lost(response)
            response.read_some()
            _same(response, self._descriptor.digest, "blob")

    def _body(self, offset: int) -> Iterator[bytes]:
        """The rest of the blob; each piece may take as long as an answer, and storing it all in proportion."""
        sent = offset
        for piece in self._pieces(offset):
            net.extend(self._client.patience)
            yield piece
            sent += len(piece)
            if self._progress is not None:
                self._progress(sent)
        net.extend(self._client.patience + self._descriptor.size / _SLOWEST_STORE)

    def _find_out(self) -> bool:
        """Asks where the upload stands; True when the blob is there whole."""
        if has_blob(self._client, self._repository, self._descriptor.digest):
            return True
        response = self._send("GET", self._url, {}, None)
        with closing(response):
            response.read_some()
            if response.status in (429, 500, 502, 503, 504):
                raise self._refusal(response)
            told = _RANGE.fullmatch(response.headers.get("range", ""))
            self._offset = int(told[1]) + 1 if told else 0
            if response.status != 204 or not 1 < self._offset <= self._descriptor.size:
                # Forgotten, or 0-0, which may mean one byte or none: from the start, in another session
                self._url, self._offset = "", 0
            elif response.headers.get("location"):
                self._go_on_at(response)
            self._resumed = bool(self._offset)
            self._sure = True
        return False

    def _go_on_at(self, response: Response) -> None:
        location = response.headers.get("location", "")
        if not location:
            raise Unavailable(f"{self._endpoint.host}: the registry gave no place to upload to")
        self._url = join(response.url, location)

    def _lost(self, response: Response) -> WherryError:
        """A session that the registry does not know any more, or stands elsewhere, is found again or begun anew."""
        problem = read_problem(response.read_some())
        resumed = response.status == 400 and self._resumed
        if resumed or (response.status in (404, 416) and problem.code != "NAME_UNKNOWN"):
            if resumed:
                self._url, self._offset, self._resumed = "", 0, False
            return Transient(f"{self._endpoint.host}: the upload was lost: {problem or response.status}")
        return refusal(self._client, response, self._repository, self._endpoint, problem)

    def _refusal(self, response: Response) -> WherryError:
        problem = read_problem(response.read_some())
        return refusal(self._client, response, self._repository, self._endpoint, problem)

    def _send(
        self, method: str, where: str, headers: dict[str, str], body: Body | None, scopes: tuple[str, ...] = ()
    ) -> Response:
        return _send(
            self._client, self._endpoint, method, where, self._repository, headers, body=body, scopes=scopes
        )  # fmt: skip


def _send(
    client: Client,
    endpoint: Endpoint,
    method: str,
    where: str,
    repository: Reference,
    headers: dict[str, str],
    *,
    body: Body | None = None,
    scopes: tuple[str, ...] = (),
) -> Response:
    own = (f"repository:{_path(repository)}:pull,push", *scopes)
    return client.ask(endpoint, method, where, headers, repository, own, body)


def _path(repository: Reference) -> str:
    return quote(repository.path, safe="/")


def _same(response: Response, digest: str, what: str) -> None:
    told = response.headers.get("docker-content-digest", "")
    if digests.is_digest(told) and told != digest and digests.algorithm(told) == digests.algorithm(digest):
        raise Corrupt(f"the registry keeps the {what} {digest} as {told}")


def refusal(
    client: Client, response: Response, repository: Reference, endpoint: Endpoint, problem: Problem
) -> WherryError:
    """The error for a status other than success of a request that writes; `Transient` when it may pass."""
    status = response.status
    what = f"{endpoint.host}: {repository.familiar_name()}"
    if response.moved and status in (401, 403):
        return Transient(f"{what}: {printable(response.url, 80)} answered {status} after a redirect")
    if status in (401, 403) and problem.code != "TOOMANYREQUESTS":
        return failures.push_denied(problem, client.login_hint(endpoint))
    if status == 404 and problem.code in ("NAME_UNKNOWN", ""):
        return NotFound("repository", repository.familiar_name(), f"{what}: {problem or 'not found'}")
    if status == 413:
        return Unavailable(f"{what}: request entity too large", hint="the registry, or a proxy before it, has a limit")
    if problem.code in ("MANIFEST_BLOB_UNKNOWN", "BLOB_UNKNOWN"):
        return Incomplete("blob", repository.familiar_name(), f"{what}: {problem}")
    if problem.code == "DIGEST_INVALID":
        return Corrupt(f"{what}: the registry received something else than was sent: {problem}")
    return failures.refused(what, status, problem, retry_after(response.headers.get("retry-after")))
