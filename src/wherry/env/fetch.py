"""Downloads of what a lock names, each checked against its hash, several at once; a broken one is taken up again."""

from __future__ import annotations

from functools import partial

from wherry.engine.transfer import Crew, Meter
from wherry.env import cache
from wherry.errors import Corrupt, NotFound, Unauthorized, Unavailable
from wherry.record import Record
from wherry.store.content import Writer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from wherry.engine.engine import Engine
    from wherry.engine.progress import Progress

_PARALLEL = 4
_SECONDS = 60.0
_ATTEMPTS = 3
_PIECE = 1 << 20
_STREAMED = 1 << 16  # the last piece before a connection breaks off is lost


class Remote(Record):
    """A file to have at ``path``: ``size`` in bytes, 0 when it is not known; ``item`` names it where a person looks."""

    item: str
    url: str
    sha256: str
    size: int
    path: str


def fetch_all(engine: Engine, files: Sequence[Remote], progress: Progress) -> None:
    """Bring the files that are not there.

    Raises `Unavailable` naming what is missing when there is no network, `NotFound` for what the index no longer has,
    `Corrupt` for another hash; files that are whole stay.
    """
    todo = [one for one in files if not cache.has(one.path)]
    if not todo:
        return
    downloads = _Downloads(engine, progress)
    todo.sort(key=lambda one: (-one.size, one.path))
    downloads.crew.run([partial(downloads.bring, one) for one in {one.path: one for one in todo}.values()])


class _Downloads:
    def __init__(self, engine: Engine, progress: Progress) -> None:
        from wherry.engine.progress import OneAtATime

        self._engine = engine
        self._progress = OneAtATime(progress)
        self._managers: dict[str, Any] = {}
        self._netrc: Any = None
        self.crew = Crew(_PARALLEL, lambda: None)

    def bring(self, file: Remote) -> None:
        """One file."""
        with Writer(file.path, f"{file.path}.part", f"sha256:{file.sha256}", file.size or -1, self.crew.check) as out:
            if out.present:
                return
            self._progress.start(file.item, "Downloading")
            try:
                self._copy(file, out) if file.url.startswith("file:") else self._download(file, out)
                out.commit()
            except Corrupt as error:
                raise Corrupt(
                    f"{file.item}: what the index has is not what was locked: {error}",
                    hint="lock again if the change is meant",
                ) from None
            self._progress.done(file.item, "Downloaded")

    def _copy(self, file: Remote, out: Writer) -> None:
        from urllib.parse import unquote, urlsplit

        out.restart()
        path = unquote(urlsplit(file.url).path)
        try:
            with open(path, "rb") as source:
                while piece := source.read(_PIECE):
                    out.write(piece)
        except FileNotFoundError:
            raise NotFound("file", file.item, f"{file.item} is not at {path} any more") from None

    def _download(self, file: Remote, out: Writer) -> None:
        import urllib3

        for attempt in range(1, _ATTEMPTS + 1):
            try:
                self._once(file, out)
                return
            except (urllib3.exceptions.HTTPError, OSError) as error:
                self.crew.check()
                if attempt == _ATTEMPTS:
                    reason = getattr(error, "reason", None) or error
                    raise Unavailable(
                        f"cannot download {file.item} from {_host(file.url)}: {reason}",
                        hint="what has been downloaded is kept; try again when the network is there",
                    ) from None

    def _once(self, file: Remote, out: Writer) -> None:
        headers = {"Accept-Encoding": "identity"} | self._credentials(_host(file.url))
        if out.offset:
            headers["Range"] = f"bytes={out.offset}-"
        answer = self._manager(file.url).request("GET", file.url, headers=headers, preload_content=False)
        try:
            if answer.status in (401, 403):
                raise Unauthorized(
                    f"cannot download {file.item}: {_host(file.url)} refuses it ({answer.status})",
                    hint=f"put the user name and password for {_host(file.url)} into ~/.netrc",
                )
            if answer.status in (404, 410):
                raise NotFound("file", file.item, f"{file.item} is not in the index any more ({answer.status})")
            if answer.status not in (200, 206):
                raise Unavailable(f"cannot download {file.item} from {_host(file.url)}: status {answer.status}")
            if answer.status == 200 and out.offset:
                out.restart()
            meter = Meter(self._progress, file.item, file.size)
            for piece in answer.stream(_STREAMED):
                out.write(piece)
                meter(out.offset)
                self.crew.check()
        finally:
            answer.close()

    def _credentials(self, host: str) -> dict[str, str]:
        """The header for a host that the caller's ``~/.netrc`` knows, as pip and uv send it.

        urllib3 takes it away where a redirect leads to another host.
        """
        import base64
        import netrc

        if self._netrc is None:
            try:
                self._netrc = netrc.netrc()
            except (OSError, netrc.NetrcParseError):  # none, or one that others may read
                self._netrc = False
        found = self._netrc.authenticators(host) if self._netrc else None
        if not found:
            return {}
        return {"Authorization": "Basic " + base64.b64encode(f"{found[0]}:{found[2]}".encode()).decode()}

    def _manager(self, url: str) -> Any:
        from urllib.parse import urlsplit

        import urllib3

        from wherry.registry import proxy

        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
        through = proxy.proxy_for(
            proxy.from_environment(dict(self._engine.paths.proxies)), parts.scheme, host, port
        ) or ""  # fmt: skip
        if through not in self._managers:
            timeout = urllib3.Timeout(connect=_SECONDS, read=_SECONDS)
            retries = urllib3.Retry(total=10, connect=1, read=0, redirect=10, status=0)
            options: dict[str, Any] = {"timeout": timeout, "retries": retries, "maxsize": _PARALLEL}
            made = urllib3.ProxyManager(through, **options) if through else urllib3.PoolManager(**options)
            self._managers[through] = made
        return self._managers[through]


def _host(url: str) -> str:
    from urllib.parse import urlsplit

    return urlsplit(url).hostname or url
