"""Attacks on registry clients, each named after the one it was (see the ids in the names)."""

from __future__ import annotations

import json
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.clients import QUICK, Kept, docker_config
from support.faulty import OCI_CONFIG, OCI_INDEX, OCI_LAYER, OCI_MANIFEST, Exchange, Faulty, honest, redirect
from support.registry import Authority
from wherry.errors import Corrupt, Forbidden, InvalidArgument, NotFound, Unauthorized, Unavailable, WherryError
from wherry.oci.manifest import Descriptor
from wherry.oci.platform import Platform
from wherry.oci.reference import parse
from wherry.registry import fetch
from wherry.registry.client import Client
from wherry.registry.config import HostSettings

pytestmark = pytest.mark.filterwarnings("ignore::urllib3.exceptions.InsecureRequestWarning")
AMD64 = Platform("linux", "amd64")


@pytest.fixture
def server() -> Iterator[Faulty]:
    with Faulty() as running:
        yield running


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


def tls(authority: Authority, names: str = "IP:127.0.0.1,DNS:localhost") -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*authority.issue("server-" + names.replace(":", "").replace(",", "-"), names))
    return context


def trusting(directory: Path, authority: Authority, *hosts: str) -> tuple[str, ...]:
    """A ``certs.d`` that trusts the authority for these hosts."""
    for host in hosts:
        (directory / "certs.d" / host).mkdir(parents=True)
        (directory / "certs.d" / host / "ca.crt").write_bytes(authority.ca.read_bytes())
    return (str(directory / "certs.d"),)


def wants_login(exchange: Exchange) -> bool:
    """A route: 401 with a Basic challenge until somebody sends anything."""
    if "Authorization" in exchange.headers:
        return False
    exchange.fail(401, "UNAUTHORIZED", "authentication required", {"WWW-Authenticate": 'Basic realm="x"'})
    return True


def resolve(server: Faulty, name: str = "x", config: Any = QUICK) -> fetch.Resolved:
    with Client(config) as client:
        return fetch.resolve(client, parse(f"{server.host}/{name}"), AMD64)


# -- credentials -------------------------------------------------------------------------------------------------------


def test_cve_2020_15157_and_2026_49349_foreign_layers_get_no_credentials(server: Faulty, tmp_path: Path) -> None:
    """CVE-2020-15157, CVE-2026-49349: ``urls`` are fetched without credentials, whatever the server there answers."""
    server.routes = [wants_login]
    with Faulty("127.0.0.2") as foreign:
        foreign.routes = [wants_login]
        body = b"layer"
        url = f"{foreign.url}/layer"
        server.add_blob(body)
        layer = Descriptor(OCI_LAYER, server.add_blob(body)["digest"], len(body), urls=(url,))
        server.blobs.clear()
        logins = {server.host: "me:secret", foreign.host: "me:other"}
        config = QUICK.replace(docker_config=docker_config(tmp_path, logins))
        with Client(config) as client, pytest.raises(WherryError):
            fetch.download(client, parse(f"{server.host}/x"), layer, Kept(layer.digest, layer.size))
        assert [one.headers.get("authorization") for one in foreign.seen] == [None] * len(foreign.seen)
        assert foreign.seen
        assert any("authorization" in one.headers for one in server.seen)
        foreign.routes = [lambda exchange: exchange.reply(200, body) or True]
        kept = Kept(layer.digest, layer.size)
        with Client(config) as client:
            fetch.download(client, parse(f"{server.host}/x"), layer, kept)
        assert kept.committed
        assert not any("authorization" in one.headers for one in foreign.seen)


@pytest.mark.parametrize(
    "url", ["file:///etc/passwd", "ftp://127.0.0.1/x", "/etc/passwd", "http://a:b@127.0.0.1/x", ""]
)
def test_cve_2020_15157_foreign_layers_have_plain_addresses(server: Faulty, url: str) -> None:
    layer = Descriptor(OCI_LAYER, "sha256:" + "0" * 64, 5, urls=(url,))
    with Client(QUICK) as client, pytest.raises(WherryError):
        fetch.download(client, parse(f"{server.host}/x"), layer, Kept(layer.digest, 5))


def test_redirects_take_no_credentials_along(server: Faulty, tmp_path: Path) -> None:
    server.routes = [wants_login]
    entry = server.add_blob(b"layer")
    other_port = Faulty()
    other_host = Faulty("127.0.0.2")
    with other_port, other_host:
        for storage in (other_port, other_host):
            storage.blobs = server.blobs
            server.on_blob.append(redirect(f"{storage.url}/v2/x/blobs/{entry['digest']}"))
            config = QUICK.replace(docker_config=docker_config(tmp_path, {server.host: "me:secret"}))
            with Client(config) as client:
                kept = Kept(entry["digest"], 5)
                layer = Descriptor(OCI_LAYER, entry["digest"], 5)
                fetch.download(client, parse(f"{server.host}/x"), layer, kept)
            assert storage.seen
            assert not any("authorization" in one.headers for one in storage.seen)


def test_credentials_do_not_come_back_on_a_round_trip(server: Faulty, tmp_path: Path) -> None:
    """registry → stranger → registry: the stranger chose the last address, so it goes without."""
    server.routes = [wants_login]
    with Faulty("127.0.0.2") as stranger:
        stranger.routes = [redirect(f"{server.url}/v2/secret/blobs/sha256:{'1' * 64}")]
        server.on_blob = [redirect(f"{stranger.url}/")] * 9
        config = QUICK.replace(docker_config=docker_config(tmp_path, {server.host: "me:secret"}))
        layer = Descriptor(OCI_LAYER, "sha256:" + "0" * 64, 5)
        with Client(config) as client, pytest.raises(WherryError):
            fetch.download(client, parse(f"{server.host}/x"), layer, Kept(layer.digest, 5))
        assert server.asked("/v2/secret/")
        assert not any("authorization" in one.headers for one in server.asked("/v2/secret/"))


def test_cve_2026_59891_and_go_2026_6225_look_alike_hosts_get_nothing(server: Faulty, tmp_path: Path) -> None:
    """Credentials go to the host they were given for, its port included, and to no host that looks like it."""
    port = server.port
    look_alikes = [
        f"127.0.0.1:{port}0",
        f"127.0.0.1:{str(port)[:-1]}",
        "127.0.0.1",
        f"127.0.0.11:{port}",
        f"27.0.0.1:{port}",
        f"evil.127.0.0.1:{port}",
        f"127.0.0.1:{port}.evil.example",
        f"127.0.0.1:{port}@evil.example",
        f"127.0.0.1:{port}/x",
        f"https://127.0.0.1:{port}/x/y",
        f"https://user@127.0.0.1:{port}",
        f"https://127.0.0.1:{port}#x",
        "*",
        "",
    ]
    logins = {host: f"wrong:{number}" for number, host in enumerate(look_alikes)}
    server.routes = [wants_login]
    server.add_image("x", [])
    with pytest.raises(WherryError):
        resolve(server, config=QUICK.replace(docker_config=docker_config(tmp_path, logins)))
    assert not any("authorization" in one.headers for one in server.seen)
    resolve(server, config=QUICK.replace(docker_config=docker_config(tmp_path, logins | {server.host: "me:right"})))
    sent = {one.headers.get("authorization") for one in server.seen}
    assert sent == {None, "Basic bWU6cmlnaHQ="}


def test_cve_2026_59891_a_mirror_gets_its_own_credentials_only(server: Faulty, tmp_path: Path) -> None:
    with Faulty("127.0.0.3") as mirror:
        mirror.routes = [wants_login]
        server.add_image("x", [])
        config = QUICK.replace(
            docker_config=docker_config(tmp_path, {server.host: "me:secret"}),
            hosts=((server.host, HostSettings(mirrors=(mirror.url,))),),
        )
        resolve(server, config=config)
        assert mirror.seen
        assert not any("authorization" in one.headers for one in mirror.seen)


@pytest.mark.parametrize(
    "document",
    [
        {"credsStore": "does-not-exist"},
        {"credsStore": ""},
        {"credsStore": "../../../bin/echo"},
        {"credHelpers": {"127.0.0.1": "does-not-exist"}},
        {"credsStore": 5, "credHelpers": []},
    ],
)
def test_cve_2021_41092_an_odd_configuration_sends_nothing(server: Faulty, tmp_path: Path, document: Any) -> None:
    """Docker sent the credentials of another registry when the helper could not be run."""
    document["auths"] = {
        "https://index.docker.io/v1/": {"auth": "bWU6c2VjcmV0"},
        "registry.example": {"auth": "bWU6eA=="},
    }
    path = tmp_path / "config.json"
    path.write_text(json.dumps(document))
    server.routes = [wants_login]
    with pytest.raises(Unauthorized, match="no basic auth credentials"):
        resolve(server, config=QUICK.replace(docker_config=str(path)))
    assert not any("authorization" in one.headers for one in server.seen)


# -- digests and documents ---------------------------------------------------------------------------------------------

EVIL_DIGESTS = [
    "sha256:../../../../v2/secret/manifests/latest",
    "sha256:../../x",
    "../x",
    "sha256:" + "0" * 63 + "/",
    "sha256:" + "0" * 65,
    "sha256:" + "A" * 64,
    "sha256:" + "0" * 64 + "\r\nX: y",
    "md5:" + "0" * 32,
    "sha256:" + "0" * 64 + "?x",
    "",
]


@pytest.mark.parametrize("digest", EVIL_DIGESTS)
def test_cve_2024_3727_crafted_digests_are_never_asked_for(server: Faulty, digest: str) -> None:
    good = server.add_blob(b"{}", OCI_CONFIG)
    for layers, config in (
        ([{"mediaType": OCI_LAYER, "digest": digest, "size": 5}], good),
        ([], good | {"digest": digest}),
    ):
        server.add_manifest(
            "x", "latest", {"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": config, "layers": layers}
        )
        with pytest.raises(Corrupt):
            resolve(server)
    entry = {
        "mediaType": OCI_MANIFEST,
        "digest": digest,
        "size": 5,
        "platform": {"os": "linux", "architecture": "amd64"},
    }
    server.add_manifest("x", "latest", {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [entry]}, OCI_INDEX)
    with pytest.raises(Corrupt):
        resolve(server)
    assert {one.path for one in server.seen} == {"/v2/x/manifests/latest"}


@pytest.mark.parametrize("digest", EVIL_DIGESTS)
def test_cve_2024_3727_nor_by_our_own_callers(server: Faulty, digest: str) -> None:
    layer = Descriptor(OCI_LAYER, digest, 5)
    reference = parse(f"{server.host}/x")
    with Client(QUICK) as client:
        with pytest.raises(InvalidArgument):
            client.blob(reference, layer)
        with pytest.raises(InvalidArgument):
            client.exists(reference, layer)
        if digest:
            with pytest.raises(InvalidArgument):
                client.manifest(reference.replace(digest=digest))
            with pytest.raises(InvalidArgument):
                client.head(reference.replace(digest=digest))
    assert not server.seen


def test_cve_2021_41190_a_document_that_is_both_is_refused(server: Faulty) -> None:
    config = server.add_blob(b"{}", OCI_CONFIG)
    both = {"schemaVersion": 2, "config": config, "layers": [], "manifests": []}
    for media_type in (OCI_MANIFEST, OCI_INDEX):
        server.add_manifest("x", "latest", both, media_type)
        with pytest.raises(Corrupt, match="ambiguous"):
            resolve(server)
    server.add_manifest("x", "latest", {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": []}, OCI_MANIFEST)
    with pytest.raises(Corrupt):
        resolve(server)


def test_cve_2021_41190_an_index_does_not_change_what_its_entry_is(server: Faulty) -> None:
    """An entry called a manifest is not read as an index, and the other way round."""
    inner = server.add_manifest("x", "inner", {"schemaVersion": 2, "manifests": []}, OCI_INDEX)
    entry = inner | {"mediaType": OCI_MANIFEST, "platform": {"os": "linux", "architecture": "amd64"}}
    server.add_manifest("x", "latest", {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [entry]}, OCI_INDEX)
    with pytest.raises(Corrupt, match="was served as"):
        resolve(server)


def test_cve_2026_53493_nested_indexes_end(server: Faulty) -> None:
    entry = server.add_image("x", [], "inner")
    for _ in range(20):
        entry |= {"platform": {"os": "linux", "architecture": "amd64"}}
        document = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [entry] * 500}
        entry = server.add_manifest("x", "latest", document, OCI_INDEX)
    with pytest.raises(Corrupt, match="nested too deeply"):
        resolve(server)
    assert len(server.seen) <= fetch.MAX_DEPTH


def test_cve_2026_53493_indexes_are_bounded(server: Faulty) -> None:
    entry = server.add_image("x", [], "inner") | {"platform": {"os": "linux", "architecture": "amd64"}}
    document = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [entry] * 20_000}
    server.add_manifest("x", "latest", document, OCI_INDEX)
    with pytest.raises(Corrupt):
        resolve(server)
    assert len(server.seen) == 1


def test_cve_2023_25153_documents_are_bounded(server: Faulty) -> None:
    """Neither a manifest nor a configuration is held in memory beyond its bound, announced or not."""
    huge = server.add_blob(b"{}", OCI_CONFIG) | {"size": 1 << 40}
    server.add_manifest("x", "latest", {"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": huge, "layers": []})
    with pytest.raises(Corrupt, match="larger than"):
        resolve(server)
    assert not server.asked("/blobs/")
    server.add_manifest("x", "latest", b" " * (5 << 20))
    with pytest.raises(Corrupt, match="larger than"):
        resolve(server)


@pytest.mark.parametrize(
    "subject", [{"digest": "x"}, {"digest": "sha256:"}, {"digest": None}, {}, 5, [], "sha256:zz", None]
)
def test_cve_2026_95839_a_malformed_subject_does_no_harm(server: Faulty, subject: Any) -> None:
    config = server.add_blob(b"{}", OCI_CONFIG)
    document = {"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": config, "layers": [], "subject": subject}
    server.add_manifest("x", "latest", document)
    try:
        assert resolve(server).manifest.layers == ()
    except WherryError as error:
        assert isinstance(error, Corrupt)
    assert not [one for one in server.seen if "zz" in one.path]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b"5",
        b"\x00" * 100,
        b"[" * 1_000_000,
        b'{"a":' * 100_000,
        b'{"schemaVersion": 2}',
        b'{"schemaVersion": 2, "config": 5, "layers": 5}',
        b'{"schemaVersion": 2, "config": {}, "layers": [null]}',
        b'{"schemaVersion": 2, "manifests": [{}]}',
        b'{"schemaVersion": 2, "manifests": {"a": 1}}',
        b'{"schemaVersion": 1e999, "layers": []}',
        b'{"schemaVersion": 2, "config": {"digest": "sha256:' + b"0" * 64 + b'", "size": -1}, "layers": []}',
        b'{"schemaVersion": 2, "config": {"digest": "sha256:' + b"0" * 64 + b'", "size": 1e300}, "layers": []}',
    ],
)
def test_cve_2021_21285_malformed_manifests_are_errors(server: Faulty, body: bytes) -> None:
    for media_type in (OCI_MANIFEST, OCI_INDEX, "text/plain"):
        server.add_manifest("x", "latest", body, media_type)
        with pytest.raises(WherryError) as caught:
            resolve(server)
        assert "\n" not in caught.value.message


# -- transport security ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_cve_2025_6032_a_certificate_nobody_vouches_for_is_refused(authority: Authority, host: str) -> None:
    """Loopback included, and plain HTTP is no way out."""
    with Faulty(tls=tls(authority)) as server:
        server.add_image("x", [])
        with Client(QUICK) as client, pytest.raises(Unavailable, match="certificate signed by unknown authority"):
            client.manifest(parse(f"{host}:{server.port}/x"))
        assert not server.seen


def test_cve_2025_6032_a_certificate_for_another_host_is_refused(authority: Authority, tmp_path: Path) -> None:
    with Faulty(tls=tls(authority, "DNS:elsewhere.example")) as server:
        config = QUICK.replace(certificates=trusting(tmp_path, authority, server.host))
        with pytest.raises(Unavailable, match="failed to verify certificate"):
            resolve(server, config=config)
        assert not server.seen


def test_cve_2025_6032_trust_is_for_one_host(authority: Authority, tmp_path: Path) -> None:
    with Faulty(tls=tls(authority)) as server, Faulty(tls=tls(authority)) as other:
        config = QUICK.replace(certificates=trusting(tmp_path, authority, server.host))
        for one in (server, other):
            one.add_image("x", [])
        resolve(server, config=config)
        with pytest.raises(Unavailable, match="certificate signed by unknown authority"):
            resolve(other, config=config)


def test_cve_2025_6032_an_insecure_registry_was_configured_to_be(authority: Authority) -> None:
    with Faulty(tls=tls(authority)) as server:
        server.add_image("x", [])
        resolve(server, config=QUICK.replace(hosts=((server.host, HostSettings(insecure=True)),)))


def test_cve_2025_6032_redirects_are_verified_too(authority: Authority, tmp_path: Path) -> None:
    """A registry that need not be verified does not excuse where it sends us."""
    strange = Authority(_made(tmp_path / "strange"))
    with Faulty(tls=tls(authority)) as server, Faulty("127.0.0.2", tls=tls(strange, "IP:127.0.0.2")) as storage:
        entry = server.add_blob(b"layer")
        storage.blobs = server.blobs
        server.on_blob = [redirect(f"{storage.url}/v2/x/blobs/{entry['digest']}")] * 9
        config = QUICK.replace(hosts=((server.host, HostSettings(insecure=True)),))
        with Client(config) as client, pytest.raises(Unavailable, match="failed to verify certificate"):
            client.blob(parse(f"{server.host}/x"), Descriptor(OCI_LAYER, entry["digest"], 5))
        assert not storage.seen


def _made(path: Path) -> Path:
    path.mkdir()
    return path


def test_encryption_is_not_given_up_on_the_way(authority: Authority, tmp_path: Path) -> None:
    with Faulty(tls=tls(authority)) as server, Faulty() as plain:
        entry = server.add_blob(b"layer")
        plain.blobs = server.blobs
        server.on_blob = [redirect(f"{plain.url}/v2/x/blobs/{entry['digest']}")] * 9
        config = QUICK.replace(certificates=trusting(tmp_path, authority, server.host))
        with Client(config) as client, pytest.raises(Forbidden, match="redirect from https to http"):
            client.blob(parse(f"{server.host}/x"), Descriptor(OCI_LAYER, entry["digest"], 5))
        assert not plain.seen


# -- token servers -----------------------------------------------------------------------------------------------------


def challenge(realm: str) -> Any:
    def route(exchange: Exchange) -> bool:
        if "/v2/" not in exchange.path or exchange.headers.get("Authorization", "").startswith("Bearer "):
            return False
        header = f'Bearer realm="{realm}",service="s",scope="repository:x:pull,push,delete repository:secret:pull"'
        exchange.fail(401, "UNAUTHORIZED", "authentication required", {"WWW-Authenticate": header})
        return True

    return route


@pytest.mark.parametrize(
    "realm",
    [
        "http://auth.example/token",
        "http://10.0.0.1/token",
        "http://169.254.169.254/latest/meta-data/",
        "https://169.254.169.254/latest/",
        "https://[fd00:ec2::254]/latest",
        "https://[::ffff:169.254.169.254]/",
        "https://0xa9fea9fe/",
        "file:///etc/passwd",
        "/token",
        "",
        "https://user:pw@auth.example/",
        "https://auth.example:0/",
    ],
)
def test_cve_2026_48978_and_2026_33540_odd_realms_are_not_asked(server: Faulty, tmp_path: Path, realm: str) -> None:
    server.routes = [challenge(realm)]
    config = QUICK.replace(docker_config=docker_config(tmp_path, {server.host: "me:secret"}))
    with pytest.raises((Forbidden, Unavailable)):
        resolve(server, config=config)


def test_cve_2026_48978_tokens_never_ask_for_more_than_reading(server: Faulty, tmp_path: Path) -> None:
    """CVE-2026-48978, CVE-2026-33540: a challenge gets no wider token, and only the realm sees the password."""
    with Faulty("127.0.0.2") as tokens:
        tokens.routes = [lambda exchange: exchange.reply(200, b'{"token": "t", "expires_in": 60}') or True]
        server.routes = [challenge(f"{tokens.url}/token")]
        server.add_image("x", [])
        config = QUICK.replace(docker_config=docker_config(tmp_path, {server.host: "me:secret"}))
        resolve(server, config=config)
        (asked,) = tokens.seen
        assert "push" not in asked.path
        assert "delete" not in asked.path
        assert asked.headers["authorization"].startswith("Basic ")
        assert {one.headers.get("authorization") for one in server.seen} == {None, "Bearer t"}


def test_a_token_server_that_redirects_gives_nothing_away(server: Faulty, tmp_path: Path) -> None:
    with Faulty("127.0.0.2") as tokens, Faulty("127.0.0.4") as thief:
        tokens.routes = [redirect(f"{thief.url}/token")]
        thief.routes = [lambda exchange: exchange.reply(200, b'{"token": "t"}') or True]
        server.routes = [challenge(f"{tokens.url}/token")]
        server.add_image("x", [])
        config = QUICK.replace(docker_config=docker_config(tmp_path, {server.host: "me:secret"}))
        resolve(server, config=config)
        assert thief.seen
        assert not any("authorization" in one.headers for one in thief.seen)


def test_an_identity_token_is_not_posted_onwards(server: Faulty, tmp_path: Path) -> None:
    with Faulty("127.0.0.2") as tokens, Faulty("127.0.0.4") as thief:
        tokens.routes = [redirect(f"{thief.url}/token")]
        server.routes = [challenge(f"{tokens.url}/token")]
        path = tmp_path / "config.json"
        path.write_text(json.dumps({"auths": {server.host: {"auth": "bWU6", "identitytoken": "refresh"}}}))
        with pytest.raises(Unavailable):
            resolve(server, config=QUICK.replace(docker_config=str(path)))
        assert b"refresh_token=refresh" in tokens.seen[0].body
        assert not thief.seen


@pytest.mark.parametrize(
    "answer",
    [b"", b"[]", b"{}", b'{"token": 5}', b'{"token": ""}', b'{"token": "a\\r\\nX: y"}', b'{"token": "a b"}',
     b'{"token": "\\u20ac"}', b"[" * 100_000, b'{"token": "' + b"a" * (1 << 20) + b'"}'],
)  # fmt: skip
def test_tokens_that_are_none(server: Faulty, answer: bytes) -> None:
    with Faulty("127.0.0.2") as tokens:
        tokens.routes = [lambda exchange: exchange.reply(200, answer) or True]
        server.routes = [challenge(f"{tokens.url}/token")]
        with pytest.raises(Unavailable, match="token"):
            resolve(server)
        assert not any("authorization" in one.headers for one in server.seen)


def test_a_good_registry_still_works(server: Faulty) -> None:
    server.add_image("x", [server.add_blob(b"layer")])
    server.on_manifest = [honest]
    assert resolve(server).manifest.layers[0].size == 5
    with pytest.raises(NotFound):
        resolve(server, "y")
