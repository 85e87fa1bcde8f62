"""``docker import``: an image of one layer out of a tar of a root file system."""

from __future__ import annotations

import time

from wherry.container import instructions
from wherry.engine import gc, new_image
from wherry.engine.commit import new_name
from wherry.engine.times import rfc3339
from wherry.engine.unpack import in_store
from wherry.errors import InvalidArgument, Unavailable, WherryError
from wherry.layers import compression
from wherry.oci import platform as platforms
from wherry.record import Record
from wherry.store.gc import adding

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from wherry.engine.engine import Engine
    from wherry.layers.compression import Readable

_SCHEMES = ("http://", "https://")
_SECONDS = 60.0  # for a connection, and for each piece
_REDIRECTS = 10


class ImportOptions(Record):
    """``origin`` is where the tar comes from, for the history; ``changes`` are Dockerfile instructions."""

    reference: str = ""
    message: str = ""
    changes: tuple[str, ...] = ()
    platform: str = ""
    origin: str = "-"


def import_image(engine: Engine, stream: Readable, options: ImportOptions) -> str:
    """Make an image of the tar ``stream``, compressed (gzip, zstd, bzip2, xz) or not; its id.

    Raises `InvalidArgument` for names, changes and platforms, `Corrupt` for what is no tar or a hostile one,
    `StorageFull`; nothing of the image is there then.
    """
    target = new_name(options.reference)
    settings = instructions.apply({}, options.changes)
    platform = platforms.parse(options.platform) if options.platform else platforms.host()
    if platform.os != platforms.host().os:
        raise InvalidArgument("operating system is not supported")
    created = rfc3339(time.time_ns())
    document: dict[str, Any] = {"architecture": platform.architecture, "os": platform.os}
    document |= {"variant": platform.variant} if platform.variant else {}
    comment = options.message or f"Imported from {options.origin}"
    document |= {"created": created, "config": settings, "history": [{"created": created, "comment": comment}]}

    def work() -> str:
        with adding(engine.layout):
            gc.sweep(engine)
            layer = new_image.add_layer(engine, compression.reader(stream, archive=True))
            document["rootfs"] = {"type": "layers", "diff_ids": [layer.diff_id]}
            layers = (new_image.descriptor(layer, docker=False),)
            names = (target,) if target else ()
            return new_image.keep(engine, document, layers, docker=False, names=names, action="import")

    try:
        return in_store(engine, work)
    except WherryError as error:
        gc.collect(engine)
        if error.message.startswith("layer "):
            raise type(error)("archive" + error.message[len("layer") :], hint=error.hint) from None
        raise


def is_url(source: str) -> bool:
    """Whether `open_url` is meant."""
    return source.startswith(_SCHEMES)


def open_url(engine: Engine, url: str) -> Readable:
    """The body of an answer to GET ``url``, as it comes.  Raises `Unavailable`."""
    from urllib.parse import urlsplit

    import urllib3

    from wherry.registry import proxy

    parts = urlsplit(url)
    try:
        port = parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError:
        raise InvalidArgument(f'invalid URL "{url}"') from None
    if not parts.hostname:
        raise InvalidArgument(f'invalid URL "{url}": no host')
    through = proxy.proxy_for(proxy.from_environment(dict(engine.paths.proxies)), parts.scheme, parts.hostname, port)
    manager = urllib3.ProxyManager(through) if through else urllib3.PoolManager()
    timeout = urllib3.Timeout(connect=_SECONDS, read=_SECONDS)
    retries = urllib3.Retry(total=_REDIRECTS, connect=1, read=0, redirect=_REDIRECTS, status=0)
    try:
        answer = manager.request(
            "GET", url, preload_content=False, decode_content=False, timeout=timeout, retries=retries
        )
    except urllib3.exceptions.HTTPError as error:
        reason = getattr(error, "reason", None) or error
        raise Unavailable(f'Get "{url}": {reason}') from None
    if answer.status != 200:
        answer.close()
        raise Unavailable(f'Get "{url}": {answer.status} {answer.reason or ""}'.rstrip())
    return _Body(answer, url)


class _Body:
    """The body of an answer; what breaks it off is told."""

    def __init__(self, answer: Any, url: str) -> None:
        self._answer = answer
        self._url = url
        length = answer.headers.get("content-length", "")
        self._left = int(length) if length.isdigit() else -1

    def read(self, size: int, /) -> bytes:
        import urllib3

        try:
            piece: bytes = self._answer.read(size)
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise Unavailable(f'Get "{self._url}": {error}') from None
        self._left -= len(piece) if self._left > 0 else 0
        if not piece and self._left > 0:
            raise Unavailable(f'Get "{self._url}": unexpected EOF')
        return piece
