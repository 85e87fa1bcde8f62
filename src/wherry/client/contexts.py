"""Docker's contexts: named engines, in the files of Docker's client, so that both command lines share them.

``contexts/meta/<id>/meta.json`` describes one, ``contexts/tls/<id>/docker/{ca,cert,key}.pem`` are its certificates; the
id is the SHA-256 of its name (docker/cli, ``cli/context/store``).  ``currentContext`` in ``config.json`` is the one in
use.  The context ``default`` is not kept: it is this machine's own engine.
"""

from __future__ import annotations

import os

from wherry.client.address import Address, Tls, parse
from wherry.errors import Conflict, InvalidArgument, NotFound, SystemFailure
from wherry.fastjson import dumps, loads
from wherry.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

DEFAULT = "default"
FILES = ("ca.pem", "cert.pem", "key.pem")
_NAME = r"[a-zA-Z0-9][a-zA-Z0-9_.+-]+"
_MOST = 10 << 20  # bytes of a file


class Context(Record):
    """One context.  ``tls`` are its certificates by file name."""

    name: str
    host: str
    description: str = ""
    skip_verify: bool = False
    tls: tuple[tuple[str, bytes], ...] = ()
    metadata: tuple[tuple[str, Any], ...] = ()  # what else is kept with it, as other programs wrote it

    def document(self) -> dict[str, Any]:
        """As ``meta.json`` has it."""
        metadata = dict(self.metadata)
        if self.description:
            metadata["Description"] = self.description
        endpoint = {"Host": self.host, "SkipTLSVerify": self.skip_verify}
        return {"Name": self.name, "Metadata": metadata, "Endpoints": {"docker": endpoint}}


def context_from(name: str, document: dict[str, Any], tls: tuple[tuple[str, bytes], ...]) -> Context:
    """The inverse of `Context.document`."""
    endpoint = (document.get("Endpoints") or {}).get("docker") or {}
    metadata = dict(document.get("Metadata") or {})
    description = str(metadata.pop("Description", ""))
    skip, rest = bool(endpoint.get("SkipTLSVerify")), tuple(metadata.items())
    return Context(name, str(endpoint.get("Host", "")), description, skip, tls, rest)


def check_name(name: str) -> None:
    """Raises `InvalidArgument` for what cannot name a context."""
    if not name:
        raise InvalidArgument("context name cannot be empty")
    if name == DEFAULT:
        raise InvalidArgument('"default" is a reserved context name')
    import re

    if not re.fullmatch(_NAME, name):
        raise InvalidArgument(f'context name "{name}" is invalid, names are validated against regexp "^{_NAME}$"')


class Store:
    """The contexts in a directory of Docker's client (``~/.docker``)."""

    def __init__(self, directory: str) -> None:
        self._directory = directory
        self._meta, self._tls = f"{directory}/contexts/meta", f"{directory}/contexts/tls"

    def names(self) -> list[str]:
        """Those that are kept, in order; what cannot be read is left out."""
        try:
            found = [_read_document(f"{self._meta}/{one}/meta.json") for one in os.listdir(self._meta)]
        except FileNotFoundError:
            return []
        return sorted([str(one["Name"]) for one in found if one and one.get("Name")])

    def has(self, name: str) -> bool:
        """Whether it is kept."""
        return os.path.exists(f"{self._meta}/{_identity(name)}/meta.json")

    def get(self, name: str) -> Context:
        """Raises `NotFound`, `InvalidArgument` for one that cannot be read."""
        path = f"{self._meta}/{_identity(name)}/meta.json"
        document = _read_document(path)
        if document is None:
            if os.path.exists(path):
                raise InvalidArgument(f'context "{name}": {path} is not what it should be')
            message = f'context "{name}": context not found: open {path}: no such file or directory'
            raise NotFound("context", name, message, hint="'wherry context ls' shows those that there are")
        tls = []
        for file in FILES:
            content = _read(f"{self._tls}/{_identity(name)}/docker/{file}")
            tls += [(file, content)] if content is not None else []
        return context_from(name, document, tuple(tls))

    def paths(self, name: str) -> tuple[str, str]:
        """Where a context and its certificates are kept."""
        return f"{self._meta}/{_identity(name)}", f"{self._tls}/{_identity(name)}"

    def put(self, context: Context, *, new: bool) -> None:
        """Keep a context.  Raises `Conflict` when a ``new`` one is there already, `InvalidArgument` for its name."""
        check_name(context.name)
        if new and self.has(context.name):
            raise Conflict(f'context "{context.name}" already exists')
        import shutil

        meta, tls = self.paths(context.name)
        shutil.rmtree(tls, ignore_errors=True)
        try:
            for file, content in context.tls:
                os.makedirs(f"{tls}/docker", 0o700, exist_ok=True)
                _write(f"{tls}/docker/{file}", content, 0o600)
            os.makedirs(meta, 0o755, exist_ok=True)
            _write(f"{meta}/meta.json", dumps(context.document()).encode(), 0o644)
        except OSError as error:
            raise SystemFailure(f'keep the context "{context.name}"', "write", error.errno or 0) from None

    def remove(self, name: str) -> None:
        """Forget a context.  Raises `NotFound`."""
        if not self.has(name):
            raise NotFound("context", name, f'context "{name}" does not exist')
        import shutil

        for path in self.paths(name):
            shutil.rmtree(path, ignore_errors=True)

    def address(self, name: str, source: str = "") -> Address:
        """Where the engine of a context is.  Raises `NotFound`, `InvalidArgument`."""
        context = self.get(name)
        where = f"the context {name}" + (f", {source}" if source and source != "--context" else "")
        if not context.host:
            raise InvalidArgument(f'context "{name}" has no Docker endpoint')
        tls = None
        if context.tls or context.skip_verify:
            directory = f"{self.paths(name)[1]}/docker"
            files = {file: f"{directory}/{file}" for file, _content in context.tls}
            authority, certificate, key = [files.get(file, "") for file in FILES]
            tls = Tls(authority, certificate, key, verify=not context.skip_verify)
        return parse(context.host, tls=tls, source=where)

    def current(self) -> str:
        """The name of the one in use, "" for none."""
        document = _read_document(f"{self._directory}/config.json")
        return str((document or {}).get("currentContext") or "")

    def use(self, name: str) -> None:
        """Have it in use from now on; "default" for none.  Raises `NotFound`."""
        if name != DEFAULT:
            self.get(name)
        import json

        path = f"{self._directory}/config.json"
        document = _read_document(path)
        if document is None and os.path.exists(path):
            raise InvalidArgument(f"{path} is not what it should be", hint="it has to be a JSON object")
        changed = dict(document or {})
        changed.pop("currentContext", None)
        if name != DEFAULT:
            changed["currentContext"] = name
        if changed == (document or {}):
            return
        os.makedirs(self._directory, 0o700, exist_ok=True)
        mode = os.stat(path).st_mode & 0o777 if os.path.exists(path) else 0o600
        _write(os.path.realpath(path), (json.dumps(changed, indent="\t") + "\n").encode(), mode)


def _identity(name: str) -> str:
    import hashlib

    return hashlib.sha256(name.encode()).hexdigest()


def _read(path: str) -> bytes | None:
    try:
        with open(path, "rb") as file:
            return file.read(_MOST)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise InvalidArgument(f"open {path}: {(error.strerror or str(error)).lower()}") from None


def _read_document(path: str) -> dict[str, Any] | None:
    content = _read(path)
    try:
        found = loads(content or b"")
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def _write(path: str, content: bytes, mode: int) -> None:
    """Whole or not at all."""
    aside = f"{path}.{os.getpid()}.tmp"
    fd = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, mode)
    try:
        with open(fd, "wb") as file:
            file.write(content)
            os.fchmod(fd, mode)
        os.rename(aside, path)
    except BaseException:
        os.unlink(aside)
        raise
