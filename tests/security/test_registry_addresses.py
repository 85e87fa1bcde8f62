"""Where a registry in the internet may send us, in a network namespace that has such a registry.

CVE-2026-48978 (oras) and CVE-2026-33540 (distribution): the bearer realm, and with it redirects and the addresses of
foreign layers, reached the metadata service and loopback.  Here 93.184.216.34 is a registry, 169.254.169.254 a metadata
service, and both are this machine; `inside` runs there and prints what happened to each attempt.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import ssl
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

PUBLIC, METADATA, PRIVATE = "93.184.216.34", "169.254.169.254", "10.9.8.7"

pytestmark = pytest.mark.needs("root", "openssl")


@pytest.fixture(scope="module")
def outcomes() -> dict[str, Any]:
    here = Path(__file__).resolve()
    tests, source = here.parent.parent, here.parent.parent.parent / "src"
    program = f"import sys; sys.path[:0] = [{str(source)!r}, {str(tests)!r}, {str(here.parent)!r}]\n"
    program += f"import {here.stem}; {here.stem}.inside()"
    up = "ip link set lo up; " + "".join(f"ip addr add {one}/32 dev lo; " for one in (PUBLIC, METADATA, PRIVATE))
    command = ["unshare", "--net", "sh", "-ec", up + 'exec "$@"', "sh", sys.executable, "-I", "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("target", ["metadata", "loopback", "private number", "localhost", "mapped", "zero"])
@pytest.mark.parametrize("way", ["realm", "redirect", "foreign layer"])
def test_cve_2026_48978_and_2026_33540(outcomes: dict[str, Any], way: str, target: str) -> None:
    result = outcomes[f"{way} to {target}"]
    assert result["error"] == "Forbidden", result
    assert "refusing to connect to" in result["message"]
    assert result["connections"] == 0


@pytest.mark.parametrize("way", ["realm", "redirect", "foreign layer"])
def test_a_trusted_host_is_followed(outcomes: dict[str, Any], way: str) -> None:
    assert outcomes[f"{way} to trusted"]["connections"] > 0


def test_a_public_host_is_followed(outcomes: dict[str, Any]) -> None:
    assert outcomes["redirect to public"]["error"] == ""


def test_a_registry_on_loopback_may_not_name_metadata(outcomes: dict[str, Any]) -> None:
    assert outcomes["loopback redirect to metadata"]["error"] == "Forbidden"
    assert outcomes["loopback redirect to metadata"]["connections"] == 0


# -- in the namespace --------------------------------------------------------------------------------------------------


class Listener:
    """Counts connections on every address at one port."""

    def __init__(self) -> None:
        import threading

        self.count = 0
        self._socket = socket.create_server(("", 0))
        self.port = self._socket.getsockname()[1]
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        while True:
            connection, _ = self._socket.accept()
            self.count += 1
            connection.close()


def inside() -> None:
    """Makes every attempt and prints the outcomes as JSON."""
    with tempfile.TemporaryDirectory(prefix="wherry-addresses-") as directory:
        print(json.dumps(_attempts(Path(directory))))
        sys.stdout.flush()
    os._exit(0)


def _attempts(directory: Path) -> dict[str, Any]:
    from support.clients import QUICK
    from support.faulty import Faulty
    from support.registry import Authority

    authority = Authority(directory)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*authority.issue("server", f"IP:{PUBLIC},IP:127.0.0.1,IP:{METADATA}"))
    listener = Listener()
    port = listener.port
    targets = {
        "metadata": f"{METADATA}:{port}",
        "loopback": f"127.0.0.1:{port}",
        "private number": f"{PRIVATE}:{port}",
        "localhost": f"localhost:{port}",
        "mapped": f"[::ffff:{METADATA}]:{port}",
        "zero": f"0.0.0.0:{port}",
        "trusted": f"127.0.0.2:{port}",
    }
    found: dict[str, Any] = {}
    with Faulty(PUBLIC, tls=context) as server, Faulty(PUBLIC, tls=context) as other, Faulty(tls=context) as local:
        for one in (server, other, local):
            (directory / "certs.d" / one.host).mkdir(parents=True)
            (directory / "certs.d" / one.host / "ca.crt").write_bytes(authority.ca.read_bytes())
        config = QUICK.replace(certificates=(str(directory / "certs.d"),))
        config = config.replace(hosts=_trust(server.host, targets["trusted"]))
        for name, target in targets.items():
            for way in ("realm", "redirect", "foreign layer"):
                found[f"{way} to {name}"] = _attempt(config, server, listener, way, f"https://{target}/x")
        other.blobs = {LAYER: b"layer"}
        found["redirect to public"] = _attempt(config, server, listener, "redirect", f"{other.url}/{LAYER}")
        found["loopback redirect to metadata"] = _attempt(
            config, local, listener, "redirect", f"https://{targets['metadata']}/x"
        )
    return found


LAYER = "sha256:1c3a1d0c1c2a9d3f4c4d2b3ee3d1b4a9ee7a5e5ff2a4a0f1f6a5f9b5a4c1d2e3"


def _trust(host: str, target: str) -> Any:
    from wherry.registry.config import HostSettings

    return ((host, HostSettings(trust=(target,))),)


def _attempt(config: Any, server: Any, listener: Listener, way: str, url: str) -> dict[str, Any]:
    from support.faulty import OCI_LAYER, Exchange, redirect, status
    from wherry.errors import WherryError
    from wherry.oci.manifest import Descriptor
    from wherry.oci.reference import parse
    from wherry.registry.client import Client

    server.routes, server.on_blob = [], []
    urls: tuple[str, ...] = ()
    if way == "realm":

        def route(exchange: Exchange) -> bool:
            exchange.fail(401, "UNAUTHORIZED", "x", {"WWW-Authenticate": f'Bearer realm="{url}"'})
            return True

        server.routes = [route]
    elif way == "redirect":
        server.on_blob = [redirect(url)]
    else:
        server.on_blob, urls = [status(404, "BLOB_UNKNOWN", "x")], (url,)
    before = listener.count
    error, message = "", ""
    with Client(config) as client:
        reference = parse(f"{server.host}/x")
        try:
            if way == "foreign layer":
                source = list(client.sources(reference, Descriptor(OCI_LAYER, LAYER, 5, urls=urls)))[-1]
                with contextlib.suppress(WherryError):
                    client.exists(reference, Descriptor(OCI_LAYER, LAYER, 5))
                client.open(source, reference, Descriptor(OCI_LAYER, LAYER, 5, urls=urls), 0)
            else:
                client.blob(reference, Descriptor(OCI_LAYER, LAYER, 5))
        except WherryError as raised:
            error, message = type(raised).__name__, raised.message
    return {"error": error, "message": message, "connections": listener.count - before}
