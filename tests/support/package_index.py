"""A package index on loopback (packaging.python.org, "Simple repository API", JSON), for the real uv."""

from __future__ import annotations

import hashlib
import http.server
import io
import json
import tarfile
import threading
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from support import wheels

_JSON = "application/vnd.pypi.simple.v1+json"


class Index:
    """Serves what is added to it.  ``url`` is that of the simple API; ``asked`` are the paths that were asked for."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.files: dict[str, dict[str, dict[str, Any]]] = {}
        self.asked: list[str] = []
        index = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                index.answer(self)

            do_HEAD = do_GET  # noqa: N815

            def log_message(self, *_arguments: object) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self._thread.start()
        self.host = f"http://127.0.0.1:{self._server.server_port}"
        self.url = f"{self.host}/simple/"

    def wheel(
        self, name: str, version: str = "1.0", requires: Sequence[str] = (), *, tag: str = "py3-none-any",
        uploaded: str = "2026-01-01T00:00:00Z", yanked: str = "", **options: Any,
    ) -> Path:  # fmt: skip
        """Publishes a wheel."""
        path = wheels.make(self.directory, name, version, tag=tag, requires=requires, **options)
        self.publish(path, name, uploaded, yanked)
        return path

    def sdist(self, name: str, version: str = "1.0", requires: Sequence[str] = ()) -> Path:
        """Publishes a source distribution whose metadata says all."""
        path = self.directory / f"{name}-{version}.tar.gz"
        needs = "".join(f"Requires-Dist: {each}\n" for each in requires)
        content = {
            "PKG-INFO": f"Metadata-Version: 2.2\nName: {name}\nVersion: {version}\n{needs}",
            "pyproject.toml": f'[project]\nname = "{name}"\nversion = "{version}"\n'
            f"dependencies = {json.dumps(list(requires))}\n",
        }
        with tarfile.open(path, "w:gz") as archive:
            for each, text in content.items():
                entry = tarfile.TarInfo(f"{name}-{version}/{each}")
                entry.size = len(text.encode())
                archive.addfile(entry, io.BytesIO(text.encode()))
        self.publish(path, name)
        return path

    def publish(self, path: Path, name: str, uploaded: str = "2026-01-01T00:00:00Z", yanked: str = "") -> None:
        self.files.setdefault(name, {})[path.name] = {
            "filename": path.name,
            "url": f"{self.host}/files/{path.name}",
            "hashes": {"sha256": wheels.sha256(path)},
            "size": path.stat().st_size,
            "upload-time": uploaded,
            "yanked": yanked or False,
        }
        if path.suffix == ".whl":  # PEP 658
            with zipfile.ZipFile(path) as archive:
                metadata = next(archive.read(each) for each in archive.namelist() if each.endswith("/METADATA"))
            path.with_name(f"{path.name}.metadata").write_bytes(metadata)
            self.files[name][path.name]["core-metadata"] = {"sha256": hashlib.sha256(metadata).hexdigest()}

    def answer(self, request: http.server.BaseHTTPRequestHandler) -> None:
        path = unquote(request.path)
        self.asked.append(path)
        kind, _, name = path.strip("/").partition("/")
        if kind == "simple" and name in self.files:
            versions = sorted({each.split("-")[1].removesuffix(".tar.gz") for each in self.files[name]})
            body = {"meta": {"api-version": "1.1"}, "name": name, "versions": versions}
            self._send(request, 200, json.dumps(body | {"files": list(self.files[name].values())}).encode(), _JSON)
        elif kind == "files" and (self.directory / name).is_file():
            self._send(request, 200, (self.directory / name).read_bytes(), "application/octet-stream")
        else:
            self._send(request, 404, b"", "text/plain")

    def _send(self, request: http.server.BaseHTTPRequestHandler, status: int, body: bytes, kind: str) -> None:
        request.send_response(status)
        request.send_header("Content-Type", kind)
        request.send_header("Content-Length", str(len(body)))
        request.send_header("Cache-Control", "no-cache")
        request.end_headers()
        if request.command != "HEAD":
            request.wfile.write(body)

    def close(self) -> None:
        """Stops serving; what comes after finds nobody."""
        if not self._thread.is_alive():
            return
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
