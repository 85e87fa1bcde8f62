"""What a registry may make of somebody who pushes to it, or copies from it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from support.clients import QUICK, docker_config
from support.command import Wherry
from support.faulty import OCI_INDEX, OCI_LAYER, OCI_MANIFEST, Exchange, Faulty, sha256
from support.registry import Authority
from support.uploads import Uploads
from wherry.errors import Corrupt, Forbidden, Unavailable, WherryError
from wherry.oci.manifest import Descriptor
from wherry.oci.reference import parse
from wherry.registry import listing, push
from wherry.registry.client import Client
from wherry.registry.config import HostSettings

DATA = bytes(5 << 20)


@pytest.fixture
def server() -> Iterator[Faulty]:
    with Faulty() as running:
        yield running


def basic(exchange: Exchange) -> bool:
    """Wants a password for everything."""
    if exchange.headers.get("Authorization"):
        return False
    exchange.fail(401, "UNAUTHORIZED", "authentication required", {"WWW-Authenticate": 'Basic realm="test"'})
    return True


def client_for(server: Faulty, tmp_path: Path, **more: Any) -> Client:
    return Client(QUICK.replace(docker_config=docker_config(tmp_path, {server.host: "me:secret"}), **more))


def send(client: Client, server: Faulty, data: bytes = DATA, mount: tuple[str, ...] = ()) -> str:
    descriptor = Descriptor(OCI_LAYER, sha256(data), len(data))
    return push.put_blob(
        client, parse(f"{server.host}/x"), descriptor, lambda offset: iter((data[offset:],)), mount=mount
    )


def test_cve_2020_15157_an_upload_elsewhere_goes_without_credentials(server: Faulty, tmp_path: Path) -> None:
    """The registry sends the upload to another host: the bytes go there, the password does not."""
    with Faulty("127.0.0.2") as other, client_for(server, tmp_path) as client:
        there = Uploads(other)
        here = Uploads(server)
        server.routes.insert(0, basic)
        here.locations = lambda session: f"{other.url}/v2/x/blobs/uploads/{session}?state=1"
        there.locations = here.locations
        there.sessions = here.sessions
        send(client, server)
        assert other.blobs[sha256(DATA)] == DATA
        assert any("authorization" in one.headers for one in server.seen)
        assert not any("authorization" in one.headers for one in other.seen)


def test_an_upload_is_not_sent_from_https_to_http(server: Faulty, tmp_path: Path) -> None:
    import ssl

    authority = Authority(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*authority.issue("server"))
    with Faulty(tls=context) as secure:
        here = Uploads(secure)
        here.locations = lambda session: f"{server.url}/v2/x/blobs/uploads/{session}"
        settings = HostSettings(ca=str(authority.ca), trust=(server.host,))
        hosts = ((secure.host, settings),)
        with client_for(secure, tmp_path, hosts=hosts) as client, pytest.raises(Forbidden, match="from https to http"):
            send(client, secure)
        assert not server.seen


@pytest.mark.parametrize(
    "location", ["file:///etc/passwd", "http://[bad", "http://user@127.0.0.1/x", "//", "http:///x", "gopher://x/", ""]
)
def test_odd_upload_addresses(server: Faulty, tmp_path: Path, location: str) -> None:
    here = Uploads(server)
    here.locations = lambda _session: location
    with client_for(server, tmp_path) as client, pytest.raises((Unavailable, Forbidden)):
        send(client, server)
    assert not server.blobs


def test_an_upload_is_not_sent_to_the_metadata_service(server: Faulty, tmp_path: Path) -> None:
    """CVE-2026-48978 for uploads: a registry in the network may not name addresses of this machine or its cloud."""
    from wherry.registry import address

    here = Uploads(server)
    here.locations = lambda session: f"http://169.254.169.254/{session}"
    assert address.kind("169.254.169.254") != address.GLOBAL
    with client_for(server, tmp_path) as client, pytest.raises(WherryError) as caught:
        send(client, server)
    assert isinstance(caught.value, Forbidden | Unavailable)
    assert not server.blobs


def test_a_redirect_of_an_upload_is_not_followed(server: Faulty, tmp_path: Path) -> None:
    with Faulty("127.0.0.2") as thief, client_for(server, tmp_path) as client:
        server.routes = [basic, lambda exchange: _redirected(exchange, thief.url)]
        with pytest.raises(Unavailable, match="307"):
            send(client, server)
        with pytest.raises(Unavailable, match="307"):
            push.put_manifest(client, parse(f"{server.host}/x:1"), b"{}", OCI_MANIFEST)
        assert not [one for one in thief.seen if one.method != "HEAD"]
        assert not any("authorization" in one.headers for one in thief.seen)


def _redirected(exchange: Exchange, url: str) -> bool:
    if exchange.command in ("POST", "PUT", "PATCH"):
        exchange.reply(307, b"", {"Location": f"{url}/v2/x/"})
        return True
    return False


def test_tokens_for_writing_are_for_one_repository(server: Faulty, tmp_path: Path) -> None:
    """CVE-2026-33540: a challenge does not widen what a push asks for, nor is the wider token sent for reading."""
    with Faulty("127.0.0.2") as tokens, client_for(server, tmp_path) as client:
        tokens.routes = [lambda exchange: exchange.reply(200, b'{"token": "t", "expires_in": 60}') or True]
        Uploads(server)

        def route(exchange: Exchange) -> bool:
            if exchange.headers.get("Authorization"):
                return False
            offered = "repository:x:* repository:y:pull,push,delete a,b:*,repository:z:pull"
            header = f'Bearer realm="{tokens.url}/token",scope="{offered}"'
            exchange.fail(401, "UNAUTHORIZED", "no", {"WWW-Authenticate": header})
            return True

        server.routes.insert(0, route)
        send(client, server, b"small", mount=("other",))
        asked = " ".join(one.path for one in tokens.seen)
        assert "repository%3Ax%3Apull%2Cpush" in asked
        assert "repository%3Aother%3Apull" in asked
        for scope in ("delete", "%2A", "repository%3Ay%3Apull%2Cpush", "repository%3Aother%3Apull%2Cpush"):
            assert scope not in asked


def test_pages_elsewhere_see_no_credentials(server: Faulty, tmp_path: Path) -> None:
    with Faulty("127.0.0.2") as other, client_for(server, tmp_path) as client:
        link = {"Link": f'<{other.url}/v2/_catalog?n=2>; rel="next"'}
        server.routes = [basic, lambda exchange: exchange.reply(200, b'{"repositories": ["a"]}', link) or True]
        other.routes = [lambda exchange: exchange.reply(200, b'{"repositories": ["b"]}') or True]
        assert listing.repositories(client, server.host) == ("a", "b")
        assert not any("authorization" in one.headers for one in other.seen)


@pytest.mark.parametrize("body", [b"", b"[]", b'{"tags": 5}', b'{"tags": ["../x", "a b", 5]}', b"[" * 100_000])
def test_lists_that_are_none(server: Faulty, body: bytes, tmp_path: Path) -> None:
    server.routes = [lambda exchange: exchange.reply(200, body) or True]
    with client_for(server, tmp_path) as client:
        try:
            assert listing.tags(client, parse(f"{server.host}/x")) == ()
        except Corrupt:
            return


def index_of(entries: list[dict[str, Any]]) -> bytes:
    return json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries}).encode()


def _deep(server: Faulty) -> None:
    entry = server.add_image("x", [], "0")
    for depth in range(1, 8):
        entry = server.add_manifest("x", str(depth), index_of([entry]), OCI_INDEX)
    server.add_manifest("x", "latest", index_of([entry]), OCI_INDEX)


def _wide(server: Faulty) -> None:
    entries = []
    for number in range(3):
        inner = [server.add_manifest("x", f"{number}-{one}", index_of([]) + b" " * (500 * number + one), OCI_INDEX)
                 for one in range(100)]  # fmt: skip
        entries.append(server.add_manifest("x", f"i{number}", index_of(inner), OCI_INDEX))
    server.add_manifest("x", "latest", index_of(entries), OCI_INDEX)


def _many(server: Faulty) -> None:
    server.add_manifest("x", "latest", index_of([server.add_image("x", [], "0")] * 1500), OCI_INDEX)


@pytest.mark.parametrize("make", [_deep, _wide, _many])
@pytest.mark.parametrize("command", ["copy", "copy-through", "pull"])
def test_cve_2026_53493_graphs_are_bounded(
    wherry: Wherry, server: Faulty, make: Callable[[Faulty], None], command: str, tmp_path: Path
) -> None:  # fmt: skip
    """Whole indexes are followed by copies and by pulls of all platforms: in depth and number up to a bound."""
    make(server)
    target = {"copy": f"oci:{tmp_path}/l", "copy-through": f"docker://{server.host}/y:1"}
    done = (
        wherry("pull", "--all-platforms", f"{server.host}/x")
        if command == "pull"
        else wherry("image", "copy", f"docker://{server.host}/x", target[command])
    )
    assert done.code == 1
    assert "internal error" not in done.err
    assert len(server.seen) < 300
    assert not list((wherry.root / "blobs" / "sha256").iterdir())
    assert not [one for one in server.seen if one.method in ("POST", "PUT")]


def test_cve_2026_95839_a_malformed_subject(wherry: Wherry, server: Faulty) -> None:
    for subject in ({"digest": "sha256:../../x", "size": 1}, {"digest": 5}, "x", []):
        document = {"schemaVersion": 2, "mediaType": OCI_MANIFEST, "subject": subject, "layers": [],
                    "config": server.add_blob(b"{}")}  # fmt: skip
        server.add_manifest("x", "latest", document)
        for command in (("pull",), ("artifact", "pull"), ("artifact", "ls")):
            done = wherry(*command, f"{server.host}/x")
            assert done.code == (0 if command == ("artifact", "ls") else 1), str(done)
            assert "internal error" not in done.err


@pytest.mark.parametrize("title", ["../out", "/etc/x", "a/b", "..", ".", "a\0b", "x" * 300])
def test_names_of_artifacts_are_no_paths(wherry: Wherry, server: Faulty, title: str, tmp_path: Path) -> None:
    """CVE-2025-11395 for artifacts: a file lands in the directory that was named, or nowhere."""
    layer = server.add_blob(b"evil") | {"annotations": {"org.opencontainers.image.title": title}}
    good = server.add_blob(b"good") | {"annotations": {"org.opencontainers.image.title": "good"}}
    server.add_image("x", [good, layer])
    (tmp_path / "in").mkdir()
    done = wherry("artifact", "pull", "-o", tmp_path / "in", f"{server.host}/x")
    assert done.code == 1
    assert "artifact has a file with the name" in done.err
    assert [path.name for path in tmp_path.iterdir()] == ["in"]
    assert not list((tmp_path / "in").iterdir())


def test_an_artifact_replaces_a_link_and_does_not_follow_it(wherry: Wherry, server: Faulty, tmp_path: Path) -> None:
    layer = server.add_blob(b"new") | {"annotations": {"org.opencontainers.image.title": "name"}}
    server.add_image("x", [layer])
    (tmp_path / "victim").write_text("old")
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "name").symlink_to(tmp_path / "victim")
    wherry.ok("artifact", "pull", "-o", tmp_path / "in", f"{server.host}/x")
    assert (tmp_path / "victim").read_text() == "old"
    assert (tmp_path / "in" / "name").read_text() == "new"


def test_foreign_layers_are_not_fetched_to_be_pushed(wherry: Wherry, server: Faulty) -> None:
    """CVE-2020-15157: a copy leaves them where their manifest says, and asks nobody for them."""
    with Faulty("127.0.0.2") as elsewhere:
        kind = "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip"
        layer = {"mediaType": kind, "digest": sha256(b"foreign"), "size": 7, "urls": [f"{elsewhere.url}/layer"]}
        server.add_image("x", [layer])
        Uploads(server)
        wherry.ok("image", "copy", "-q", f"docker://{server.host}/x", f"docker://{server.host}/y:1")
        assert not elsewhere.seen
        assert "/v2/y/manifests/1" in server.manifests
