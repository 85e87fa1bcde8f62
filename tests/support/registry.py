"""Debian's docker-registry on a free loopback port, with the authentication a test asks for.

::

    with Registry(tls=True, auth="token") as registry:
        registry.push(images.busybox(), "library/busybox:latest")
        registry.host        # "127.0.0.1:40123"
        registry.ca          # the certificate authority to trust, or None

The user is ``alice`` with the password ``wonderland``.  With ``auth="token"`` anonymous callers get a token that
may pull repositories under ``library/`` and nothing else.
"""

from __future__ import annotations

import base64
import contextlib
import ctypes
import http.client
import http.server
import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import threading
import time
import urllib.parse
from pathlib import Path
from typing import Any, Literal

from support import places
from support.images import Built

USER, PASSWORD = "alice", "wonderland"
SERVICE, ISSUER = "wherry-test-registry", "wherry-test-issuer"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def die_with_parent() -> None:
    """For ``preexec_fn``: the child is killed when the thread that started it ends, however it ends."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)


def openssl(*arguments: str | Path, data: bytes | None = None) -> bytes:
    return subprocess.run(["openssl", *arguments], input=data, capture_output=True, check=True).stdout


class Authority:
    """A private certificate authority in *directory*: ``ca`` is its certificate."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.key, self.ca = directory / "ca.key", directory / "ca.crt"
        openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "3650", "-subj", "/CN=wherry test CA",
                "-addext", "basicConstraints=critical,CA:TRUE", "-keyout", self.key, "-out", self.ca)  # fmt: skip

    def issue(self, name: str, subject_names: str = "IP:127.0.0.1,DNS:localhost") -> tuple[Path, Path]:
        """(certificate, key) for *subject_names*; also good as a client certificate."""
        key, request, certificate = (self._directory / f"{name}.{end}" for end in ("key", "csr", "crt"))
        extensions = self._directory / f"{name}.ext"
        extensions.write_text(f"subjectAltName={subject_names}\nextendedKeyUsage=serverAuth,clientAuth\n")
        openssl("req", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={name}", "-keyout", key, "-out", request)
        openssl("x509", "-req", "-in", request, "-CA", self.ca, "-CAkey", self.key, "-CAcreateserial", "-days", "3650",
                "-extfile", extensions, "-out", certificate)  # fmt: skip
        return certificate, key


class TokenServer:
    """Signs tokens for docker-registry (the distribution project's token specification).

    ``requests`` lists what was asked: path with its query, and the Authorization header or None.
    """

    def __init__(self, directory: Path) -> None:
        self.certificate, self._key = Authority(directory).issue("token")
        self.requests: list[tuple[str, str | None]] = []
        self.identity = ""  # the identity token to give for a password, and to take instead of it
        self._chain = base64.b64encode(ssl.PEM_cert_to_DER_cert(self.certificate.read_text())).decode()
        self._authority = directory / "ca.crt"
        server = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                server.answer(self)

            def do_POST(self) -> None:
                server.renew(self)

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self._http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.realm = f"http://127.0.0.1:{self._http.server_address[1]}/token"
        threading.Thread(target=self._http.serve_forever, args=(0.1,), daemon=True).start()

    @property
    def bundle(self) -> Path:
        """The certificates a registry must trust to accept these tokens."""
        path = self._authority.with_name("bundle.pem")
        path.write_text(self._authority.read_text() + self.certificate.read_text())
        return path

    def answer(self, request: http.server.BaseHTTPRequestHandler) -> None:
        header = request.headers.get("Authorization")
        self.requests.append((request.path, header))
        expected = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        if header is not None and header != expected:
            return self._reply(request, 401, {"errors": [{"code": "UNAUTHORIZED", "message": "wrong password"}]})
        query = urllib.parse.parse_qs(urllib.parse.urlsplit(request.path).query)
        scopes = [scope for value in query.get("scope", []) for scope in value.split(" ")]
        token = self.token(scopes, USER if header else "")
        document = {"token": token, "access_token": token, "expires_in": 300}
        if self.identity and header and query.get("offline_token") == ["true"]:
            document["refresh_token"] = self.identity
        return self._reply(request, 200, document)

    def renew(self, request: http.server.BaseHTTPRequestHandler) -> None:
        """An OAuth2 refresh: an identity token for an access token."""
        body = request.rfile.read(int(request.headers["Content-Length"])).decode()
        self.requests.append((request.path, body))
        form = urllib.parse.parse_qs(body)
        if not self.identity or form.get("refresh_token") != [self.identity]:
            return self._reply(request, 401, {"errors": [{"code": "UNAUTHORIZED", "message": "wrong token"}]})
        scopes = [scope for value in form.get("scope", []) for scope in value.split(" ")]
        return self._reply(request, 200, {"access_token": self.token(scopes, USER), "expires_in": 300})

    def token(self, scopes: list[str], user: str) -> str:
        access = []
        for scope in scopes:
            kind, _, rest = scope.partition(":")
            name, _, actions = rest.rpartition(":")
            allowed = actions.split(",") if user else ["pull"] if name.startswith("library/") else []
            access.append(
                {"type": kind, "name": name, "actions": [one for one in actions.split(",") if one in allowed]}
            )
        now = int(time.time())
        claims = {"iss": ISSUER, "sub": user, "aud": SERVICE, "exp": now + 300, "nbf": now - 60, "iat": now,
                  "jti": os.urandom(8).hex(), "access": access}  # fmt: skip
        header = {"typ": "JWT", "alg": "RS256", "x5c": [self._chain]}
        text = ".".join(_base64url(json.dumps(part).encode()) for part in (header, claims))
        signature = openssl("dgst", "-sha256", "-sign", self._key, data=text.encode())
        return f"{text}.{_base64url(signature)}"

    def _reply(self, request: http.server.BaseHTTPRequestHandler, status: int, document: dict[str, Any]) -> None:
        body = json.dumps(document).encode()
        request.send_response(status)
        request.send_header("Content-Type", "application/json")
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body)

    def close(self) -> None:
        self._http.shutdown()
        self._http.server_close()


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class Registry:
    """A running registry; a context manager.  ``host`` is what stands before the first slash of a reference."""

    def __init__(
        self, *, tls: bool = False, auth: Literal["htpasswd", "token"] | None = None, port: int | None = None,
        storage: Path | None = None,
    ) -> None:  # fmt: skip
        self.tls, self.auth = tls, auth
        self.directory = places.make("registry")
        self.directory.chmod(0o755)
        self.storage = storage or self.directory / "storage"
        self.ca: Path | None = None
        self.tokens: TokenServer | None = None
        self._port = port
        self._tls_files: tuple[Path, Path] | None = None
        self._process: subprocess.Popen[bytes] | None = None
        try:
            if tls:
                authority = Authority(self.directory)
                self.ca = authority.ca
                self._tls_files = authority.issue("server")
            if auth == "token":
                (self.directory / "token").mkdir()
                self.tokens = TokenServer(self.directory / "token")
            self.start()
        except BaseException:
            self.close()
            raise

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self._port}"

    @property
    def log(self) -> str:
        """All the registry wrote, its access log included."""
        return (self.directory / "log").read_text(errors="replace")

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def _configuration(self) -> dict[str, Any]:
        http_: dict[str, Any] = {"addr": f"127.0.0.1:{self._port}", "secret": "test"}
        if self._tls_files:
            http_["tls"] = {"certificate": str(self._tls_files[0]), "key": str(self._tls_files[1])}
        document: dict[str, Any] = {
            "version": "0.1",
            "log": {"level": "info"},
            "storage": {"filesystem": {"rootdirectory": str(self.storage)}, "delete": {"enabled": True}},
            "http": http_,
        }
        if self.auth == "htpasswd":
            path = self.directory / "htpasswd"
            done = subprocess.run(["htpasswd", "-Bbn", USER, PASSWORD], capture_output=True, check=True)
            path.write_bytes(done.stdout)
            document["auth"] = {"htpasswd": {"realm": "test", "path": str(path)}}
        elif self.tokens is not None:
            document["auth"] = {
                "token": {
                    "realm": self.tokens.realm, "service": SERVICE, "issuer": ISSUER,
                    "rootcertbundle": str(self.tokens.bundle),
                }
            }  # fmt: skip
        return document

    def start(self) -> None:
        """Start it (again); the port stays the same after the first time."""
        for attempt in range(5):
            if self._port is None or attempt:
                self._port = free_port()
            config = self.directory / "config.yml"
            config.write_text(json.dumps(self._configuration()))  # JSON is YAML
            with (self.directory / "log").open("ab") as log:
                self._process = subprocess.Popen(
                    ["docker-registry", "serve", config], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                    env={"PATH": os.environ["PATH"], "OTEL_TRACES_EXPORTER": "none"}, cwd="/",
                    preexec_fn=die_with_parent,
                )  # fmt: skip
            if self._wait():
                return
        raise RuntimeError(f"docker-registry does not start:\n{self.log}")

    def _wait(self) -> bool:
        assert self._process is not None and self._port is not None
        end = time.monotonic() + 20
        while time.monotonic() < end and self._process.poll() is None:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self._port), 1):
                return self._process.poll() is None
            time.sleep(0.02)
        self.stop()
        return False

    def stop(self) -> None:
        """Kill it; its storage stays for the next `start`."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def close(self) -> None:
        self.stop()
        if self.tokens is not None:
            self.tokens.close()
            self.tokens = None
        shutil.rmtree(self.directory, ignore_errors=True)

    def __enter__(self) -> Registry:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    # -- talking to it -----------------------------------------------------------------------------------------------

    def request(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: dict[str, str] | None = None,
        *,
        scope: str = "",
    ) -> tuple[int, dict[str, str], bytes]:
        """One request with the right credentials.  Header names come back in lower case."""
        sent = dict(headers or {})
        if self.auth == "htpasswd":
            sent["Authorization"] = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        elif self.tokens is not None:
            sent["Authorization"] = "Bearer " + self.tokens.token([scope], USER)
        connection: http.client.HTTPConnection
        if self.tls:
            context = ssl.create_default_context(cafile=str(self.ca))
            connection = http.client.HTTPSConnection("127.0.0.1", self._port, timeout=30, context=context)
        else:
            connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=30)
        with contextlib.closing(connection):
            connection.request(method, path, body, sent)
            response = connection.getresponse()
            return response.status, {name.lower(): value for name, value in response.getheaders()}, response.read()

    def put_blob(self, repository: str, digest: str, data: bytes) -> None:
        scope = f"repository:{repository}:pull,push"
        if self.request("HEAD", f"/v2/{repository}/blobs/{digest}", scope=scope)[0] == 200:
            return
        status, headers, body = self.request("POST", f"/v2/{repository}/blobs/uploads/", b"", scope=scope)
        assert status == 202, (status, body)
        url = urllib.parse.urlsplit(headers["location"])
        path = f"{url.path}?{url.query}&digest={urllib.parse.quote(digest)}"
        kind = {"Content-Type": "application/octet-stream"}
        status, _, body = self.request("PUT", path, data, kind, scope=scope)
        assert status == 201, (status, body)

    def put_manifest(self, repository: str, tag: str, document: bytes, media_type: str) -> str:
        """Returns the digest."""
        scope = f"repository:{repository}:pull,push"
        kind = {"Content-Type": media_type}
        status, headers, body = self.request("PUT", f"/v2/{repository}/manifests/{tag}", document, kind, scope=scope)
        assert status == 201, (status, body)
        return headers["docker-content-digest"]

    def push(self, image: Built, name: str) -> str:
        """Upload *image* as ``repository[:tag]``; returns the whole reference, host included."""
        repository, _, tag = name.partition(":")
        manifest = image.manifest
        for descriptor in [manifest["config"], *manifest["layers"]]:
            self.put_blob(repository, descriptor["digest"], image.blob(descriptor["digest"]))
        self.put_manifest(repository, tag or "latest", image.blob(image.digest), manifest["mediaType"])
        return f"{self.host}/{repository}:{tag or 'latest'}"

    def push_index(self, images: list[Built], name: str, document: bytes, media_type: str) -> str:
        """Upload every image by digest, then *document* (`images.index_of`) under *name*."""
        repository, _, tag = name.partition(":")
        for image in images:
            self.push(image, f"{repository}:for-{image.digest[7:19]}")
        self.put_manifest(repository, tag or "latest", document, media_type)
        return f"{self.host}/{repository}:{tag or 'latest'}"

    def storage_of(self, digest: str) -> Path:
        """The file in which the registry keeps a blob; for tests that damage it."""
        algorithm, _, encoded = digest.partition(":")
        return self.storage / "docker/registry/v2/blobs" / algorithm / encoded[:2] / encoded / "data"
