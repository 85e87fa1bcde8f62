"""The client with Debian's docker-registry: every way to log in, with and without TLS; speed; memory."""

from __future__ import annotations

import hashlib
import json
import os
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from support.clients import QUICK, Kept, docker_config
from support.faulty import Exchange, Faulty
from support.images import OCI, Built, index_of
from support.registry import PASSWORD, USER, Authority, Registry
from wherry.errors import NotFound, Unauthorized, Unavailable
from wherry.oci import platform
from wherry.oci.manifest import Descriptor
from wherry.oci.reference import parse
from wherry.registry import fetch
from wherry.registry.client import Client
from wherry.registry.config import HostSettings, RegistryConfig

pytestmark = pytest.mark.needs("registry")
LOGIN = f"{USER}:{PASSWORD}"
Start = Callable[..., Registry]


def configured(tmp_path: Path, registry: Registry, login: str = "") -> RegistryConfig:
    """A configuration that trusts the registry's authority and knows ``login`` for it."""
    certificates = tmp_path / "certs.d" / registry.host
    if registry.ca is not None:
        certificates.mkdir(parents=True, exist_ok=True)
        (certificates / "ca.crt").write_bytes(registry.ca.read_bytes())
    logins = docker_config(tmp_path, {registry.host: login} if login else {})
    return RegistryConfig.load(certificates=[str(tmp_path / "certs.d")], docker_config=logins)


def pull(config: RegistryConfig, name: str) -> fetch.Resolved:
    """Everything of an image, verified, and thrown away."""
    with Client(config) as client:
        found = fetch.resolve(client, parse(name))
        for layer in found.manifest.layers:
            kept = Kept(layer.digest, layer.size)
            fetch.download(client, found.reference, layer, kept)
            assert kept.committed
        return found


@pytest.mark.parametrize("tls", [False, True], ids=["http", "https"])
@pytest.mark.parametrize("auth", [None, "htpasswd", "token"])
def test_login(registry_with: Start, busybox: Built, tmp_path: Path, auth: str | None, tls: bool) -> None:
    registry = registry_with(tls=tls, auth=auth)
    name = registry.push(busybox, "private/busybox:1")
    config = configured(tmp_path, registry, LOGIN if auth else "")
    found = pull(config, name)
    assert found.target.digest == busybox.digest
    assert json.loads(found.config) == busybox.config
    with Client(config) as client:
        assert client.head(parse(name)).digest == busybox.digest
        assert client.exists(parse(name), found.manifest.config)
        assert not client.exists(parse(name), Descriptor("x", "sha256:" + "0" * 64, 5))
        with pytest.raises(NotFound) as caught:
            client.manifest(parse(f"{registry.host}/private/busybox:nosuch"))
        assert caught.value.message == (
            f"manifest for {registry.host}/private/busybox:nosuch not found: manifest unknown: manifest unknown"
        )
    if auth:
        with pytest.raises((Unauthorized, NotFound)) as refused:
            pull(configured(tmp_path, registry), name)
        assert "docker login" in refused.value.message + refused.value.hint
        with pytest.raises(Unauthorized, match=r"unauthorized|wrong password") as wrong:
            pull(configured(tmp_path, registry, f"{USER}:wrong"), name)
        assert "wonderland" not in wrong.value.message


def test_anonymous_tokens(registry_with: Start, busybox: Built, tmp_path: Path) -> None:
    registry = registry_with(auth="token")
    name = registry.push(busybox, "library/busybox")
    hidden = registry.push(busybox, "private/busybox")
    pull(configured(tmp_path, registry), name)
    assert registry.tokens is not None
    assert all(header is None for _, header in registry.tokens.requests)
    with pytest.raises(NotFound) as caught:
        pull(configured(tmp_path, registry), hidden)
    assert caught.value.message.startswith(
        f"pull access denied for {registry.host}/private/busybox, "
        "repository does not exist or may require 'docker login': denied: "
    )


def test_one_token_serves_all_layers(registry_with: Start, busybox: Built, tmp_path: Path) -> None:
    registry = registry_with(auth="token")
    name = registry.push(busybox, "library/busybox")
    layer = busybox.manifest["layers"][0]
    descriptor = Descriptor(layer["mediaType"], layer["digest"], layer["size"])
    assert registry.tokens is not None
    with Client(configured(tmp_path, registry)) as client, ThreadPoolExecutor(6) as threads:
        kept = [Kept(descriptor.digest, descriptor.size) for _ in range(12)]
        done = [threads.submit(fetch.download, client, parse(name), descriptor, one) for one in kept]
        for one in done:
            one.result()
    assert all(one.committed for one in kept)
    assert len(registry.tokens.requests) == 1


def test_a_token_that_runs_out_is_renewed() -> None:
    """The registry refuses a token that should still be good: a new one is fetched, once."""
    good = ["one", "two"]

    def route(exchange: Exchange) -> bool:
        if exchange.path.startswith("/token"):
            exchange.reply(200, json.dumps({"access_token": good[0], "expires_in": 3600}).encode())
            return True
        if exchange.headers.get("Authorization") == f"Bearer {good[0]}":
            return False
        realm = f'Bearer realm="http://{exchange.server.faulty.host}/token",service="s",error="invalid_token"'
        exchange.fail(401, "UNAUTHORIZED", "authentication required", {"WWW-Authenticate": realm})
        return True

    with Faulty() as server, Client(QUICK) as client:
        server.routes = [route]
        server.add_image("x", [])
        reference = parse(f"{server.host}/x")
        client.manifest(reference)
        client.manifest(reference)
        assert len(server.asked("/token")) == 1
        good.pop(0)
        client.manifest(reference)
        assert len(server.asked("/token")) == 2
        server.routes = [
            lambda exchange: route(exchange) if "/token" in exchange.path else _deny(exchange, server.host)
        ]
        with pytest.raises(Unauthorized):
            client.manifest(reference)
        assert len(server.asked("/token")) == 3


def _deny(exchange: Exchange, host: str) -> bool:
    exchange.fail(401, "UNAUTHORIZED", "no", {"WWW-Authenticate": f'Bearer realm="http://{host}/token"'})
    return True


def test_a_token_that_expires_is_not_sent() -> None:
    def route(exchange: Exchange) -> bool:
        if exchange.path.startswith("/token"):
            exchange.reply(200, b'{"token": "t", "expires_in": 1}')
            return True
        if exchange.headers.get("Authorization"):
            return False
        return _deny(exchange, exchange.server.faulty.host)

    with Faulty() as server, Client(QUICK) as client:
        server.routes = [route]
        server.add_image("x", [])
        client.manifest(parse(f"{server.host}/x"))
        time.sleep(1)
        client.manifest(parse(f"{server.host}/x"))
        assert len(server.asked("/token")) == 2
        assert [one.path for one in server.seen].count("/v2/x/manifests/latest") == 3


def test_the_platform_of_an_index(registry: Registry, busybox: Built) -> None:
    document = index_of([busybox], OCI)
    name = registry.push_index([busybox], "platforms/busybox", document, OCI["index"])
    found = pull(RegistryConfig(), name)
    assert found.target.digest == "sha256:" + hashlib.sha256(document).hexdigest()
    assert found.descriptor.digest == busybox.digest
    with Client(RegistryConfig()) as client, pytest.raises(NotFound, match="no matching manifest for linux/s390x"):
        fetch.resolve(client, parse(name), platform.parse("linux/s390x"))


def test_a_self_signed_registry_is_refused(registry_with: Start, busybox: Built) -> None:
    registry = registry_with(tls=True)
    name = registry.push(busybox, "x")
    with pytest.raises(Unavailable) as caught:
        pull(RegistryConfig(), name)
    assert "tls: failed to verify certificate: x509: certificate signed by unknown authority" in caught.value.message
    assert "certs.d" in caught.value.hint
    assert "GET" not in registry.log.partition("manifests/latest")[2]
    pull(RegistryConfig(hosts=((registry.host, HostSettings(insecure=True)),)), name)
    pull(RegistryConfig(hosts=((registry.host, HostSettings(ca=str(registry.ca))),)), name)


def test_a_client_certificate(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*authority.issue("server"))
    context.load_verify_locations(authority.ca)
    context.verify_mode = ssl.CERT_REQUIRED
    certificate, key = authority.issue("client")
    with Faulty(tls=context) as server:
        server.add_image("x", [])
        directory = tmp_path / "certs.d" / server.host
        directory.mkdir(parents=True)
        (directory / "ca.crt").write_bytes(authority.ca.read_bytes())
        config = QUICK.replace(certificates=(str(tmp_path / "certs.d"),))
        with Client(config) as client, pytest.raises(Unavailable):
            client.manifest(parse(f"{server.host}/x"))
        (directory / "client.cert").write_bytes(certificate.read_bytes())
        with (
            Client(config) as client,
            pytest.raises(Exception, match=r"missing key client\.key for client certificate"),
        ):
            client.manifest(parse(f"{server.host}/x"))
        (directory / "client.key").write_bytes(key.read_bytes())
        with Client(config) as client:
            assert client.manifest(parse(f"{server.host}/x")).body


def test_a_mirror_then_the_registry(registry_with: Start, busybox: Built) -> None:
    origin, mirror = registry_with(), registry_with()
    name = origin.push(busybox, "library/x")
    config = RegistryConfig(hosts=((origin.host, HostSettings(mirrors=(f"http://{mirror.host}",))),))
    pull(config, name)  # the mirror has nothing
    mirror.push(busybox, "library/x")
    origin.stop()
    pull(config, name)  # the registry is down
    mirror.storage_of(busybox.manifest["layers"][0]["digest"]).write_bytes(b"damaged")
    origin.start()
    pull(config, name)


def test_docker_hub_through_a_mirror(registry: Registry, busybox: Built) -> None:
    registry.push(busybox, "library/wherry-hub")
    config = RegistryConfig(hosts=(("docker.io", HostSettings(mirrors=(f"http://{registry.host}",))),))
    assert pull(config, "wherry-hub").target.digest == busybox.digest


def test_a_registry_that_restarts_in_the_middle(registry_with: Start) -> None:
    """The download goes on where it was when the registry is back."""
    registry = registry_with()
    body = os.urandom(1 << 20) * 24
    digest = "sha256:" + hashlib.sha256(body).hexdigest()
    registry.put_blob("x", digest, body)
    over = threading.Event()

    def restart() -> None:
        over.wait(0.4)
        registry.start()
        over.wait(60)  # the registry dies with the thread that started it

    class Restarting(Kept):
        def write(self, piece: bytes) -> None:
            super().write(piece)
            if self.offset > 4 << 20 and not threads:
                threads.append(threading.Thread(target=restart))
                registry.stop()
                threads[0].start()

    threads: list[threading.Thread] = []
    kept = Restarting(digest, len(body))
    with Client(RegistryConfig()) as client:
        fetch.download(client, parse(f"{registry.host}/x"), Descriptor("x", digest, len(body)), kept)
    over.set()
    threads[0].join()
    assert kept.committed
    assert kept.restarts == 0
    assert bytes(kept.body) == body


@pytest.fixture(scope="module")
def large() -> Iterator[tuple[Registry, str, int]]:
    """A registry with a blob of 320 MiB."""
    with Registry() as registry:
        body = os.urandom(1 << 20) * 320
        digest = "sha256:" + hashlib.sha256(body).hexdigest()
        registry.put_blob("large", digest, body)
        yield registry, digest, len(body)


MEASURE = """
import hashlib, json, resource, sys, time
from wherry.oci.manifest import Descriptor
from wherry.oci.reference import parse
from wherry.registry import fetch
from wherry.registry.client import Client
from wherry.registry.config import RegistryConfig

class Sink:
    offset = 0
    def __init__(self):
        self.hash = hashlib.sha256()
    def write(self, piece):
        self.hash.update(piece)
        self.offset += len(piece)
    def commit(self):
        assert "sha256:" + self.hash.hexdigest() == sys.argv[2]

with Client(RegistryConfig()) as client:
    name = parse(sys.argv[1])
    client.exists(name, Descriptor("x", sys.argv[2], 5))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started = time.perf_counter()
    fetch.download(client, name, Descriptor("x", sys.argv[2], int(sys.argv[3])), Sink())
    seconds = time.perf_counter() - started
grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
print(json.dumps({"seconds": seconds, "grown": grown, "sys": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss}))
"""


def test_a_large_blob_takes_little_memory_and_time(large: tuple[Registry, str, int]) -> None:
    """Hashing included; the bound leaves a busy machine a wide margin (a quiet one does 700 MB/s)."""
    registry, digest, size = large
    source = Path(__file__).parent.parent.parent / "src"
    command = [sys.executable, "-c", MEASURE, f"{registry.host}/large", digest, str(size)]
    done = subprocess.run(command, capture_output=True, check=True, env=os.environ | {"PYTHONPATH": str(source)})
    measured: dict[str, Any] = json.loads(done.stdout)
    assert measured["grown"] < 6 << 10, "KiB of memory more for 320 MiB"
    assert size / measured["seconds"] > 100e6
