"""Uploads to a registry that breaks off, forgets, refuses and stalls."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from support import uploads as faults
from support.clients import QUICK
from support.faulty import Faulty, sha256
from support.uploads import Fault, Uploads
from wherry.errors import Corrupt, Forbidden, Unavailable, WherryError
from wherry.oci.manifest import Descriptor
from wherry.oci.reference import Reference, parse
from wherry.registry import push
from wherry.registry.client import Client

SMALL = os.urandom(100_000)
LARGE = os.urandom(1 << 20) * 9


@pytest.fixture
def server() -> Iterator[Faulty]:
    with Faulty() as running:
        yield running


@pytest.fixture
def client() -> Iterator[Client]:
    with Client(QUICK) as made:
        yield made


def name(server: Faulty) -> Reference:
    return parse(f"{server.host}/x:latest")


def send(client: Client, server: Faulty, data: bytes, **more: object) -> str:
    def pieces(offset: int) -> Iterator[bytes]:
        for start in range(offset, len(data), 65536):
            yield data[start : start + 65536]

    descriptor = Descriptor("application/octet-stream", sha256(data), len(data))
    return push.put_blob(client, name(server), descriptor, pieces, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize("data", [b"", b"a", SMALL, LARGE], ids=["empty", "one", "small", "large"])
def test_a_blob_arrives(client: Client, server: Faulty, data: bytes) -> None:
    uploads = Uploads(server)
    told: list[int] = []
    assert send(client, server, data, progress=told.append) == ""
    assert server.blobs[sha256(data)] == data
    assert uploads.received == len(data)
    assert not told or told[-1] == len(data)


@pytest.mark.parametrize("kept", [0, 1, 70_000, 3 << 20])
def test_goes_on_where_the_registry_stands(client: Client, server: Faulty, kept: int) -> None:
    uploads = Uploads(server)
    uploads.faults = [faults.cut(kept)]
    send(client, server, LARGE)
    assert server.blobs[sha256(LARGE)] == LARGE
    assert uploads.received == len(LARGE) + (1 if kept == 1 else 0), "one byte cannot be told from none"


@pytest.mark.parametrize("data", [SMALL, LARGE], ids=["small", "large"])
@pytest.mark.parametrize(
    "fault",
    [faults.cut(50_000, kept=False), faults.cut(60_000), faults.forget(40_000), faults.answer(503), faults.answer(404),
     faults.answer(429, "TOOMANYREQUESTS", Retry_After="0"), faults.answer(416), faults.stall, faults.done_but_silent],
    ids=["cut", "cut-kept", "forgotten", "503", "404", "429", "416", "stalled", "silent"],
)  # fmt: skip
def test_arrives_in_spite_of(client: Client, server: Faulty, fault: Fault, data: bytes) -> None:
    uploads = Uploads(server)
    uploads.faults = [fault]
    send(client, server, data)
    assert server.blobs[sha256(data)] == data


def test_many_breaks_with_progress_between(client: Client, server: Faulty) -> None:
    """More breaks than tries: each megabyte that the registry has clears the count."""
    uploads = Uploads(server)
    uploads.faults = [faults.cut((1 << 20) + 1) for _ in range(8)]
    send(client, server, LARGE)
    assert server.blobs[sha256(LARGE)] == LARGE
    assert uploads.received == len(LARGE)


@pytest.mark.parametrize(
    ("fault", "kind", "words"),
    [
        (faults.answer(403, "DENIED", "requested access to the resource is denied"), Forbidden, "^denied: requested"),
        (faults.answer(400, "DIGEST_INVALID", "no"), Corrupt, "something else than was sent"),
        (faults.answer(413), Unavailable, "request entity too large"),
        (faults.answer(503, "UNAVAILABLE", "later"), Unavailable, "503"),
        (faults.answer(507, "QUOTA", "quota exceeded"), Unavailable, "quota exceeded"),
        (faults.answer(429, "TOOMANYREQUESTS", "slow down", Retry_After="3600"), Unavailable, "slow down"),
    ],
)
def test_ends_with_what_the_registry_says(
    client: Client, server: Faulty, fault: Fault, kind: type[WherryError], words: str
) -> None:
    uploads = Uploads(server)
    uploads.faults = [fault] * 20
    with pytest.raises(kind, match=words):
        send(client, server, SMALL)


def test_mounted_from_another_repository(client: Client, server: Faulty) -> None:
    uploads = Uploads(server)
    uploads.has = {"b": {sha256(SMALL)}}
    assert send(client, server, SMALL, mount=("a", "b", "c")) == "b"
    assert uploads.received == 0
    mounts = [one.path for one in server.seen if one.method == "POST"]
    assert mounts == [f"/v2/x/blobs/uploads/?mount={sha256(SMALL)}&from={source}" for source in "ab"]
    assert not uploads.sessions, "the session that came instead of the first mount was ended"


def test_uploaded_when_it_cannot_be_mounted(client: Client, server: Faulty) -> None:
    uploads = Uploads(server)
    assert send(client, server, SMALL, mount=("nosuch",)) == ""
    assert uploads.received == len(SMALL)
    assert len([one for one in server.seen if one.method == "POST"]) == 1, "the session that came instead is used"


def test_a_manifest(client: Client, server: Faulty) -> None:
    Uploads(server)
    body = b'{"schemaVersion": 2}'
    assert push.put_manifest(client, name(server), body, "application/x") == sha256(body)
    assert server.manifests["/v2/x/manifests/latest"] == (body, "application/x")
    assert push.has_manifest(client, name(server), sha256(body))
    assert not push.has_manifest(client, name(server), sha256(b"else"))


def test_a_registry_that_keeps_something_else(client: Client, server: Faulty) -> None:
    server.routes = [lambda exchange: exchange.reply(201, b"", {"Docker-Content-Digest": sha256(b"else")}) or True]
    with pytest.raises(Corrupt, match="the registry keeps the manifest"):
        push.put_manifest(client, name(server), b"{}", "application/x")


def test_a_stop_ends_an_upload(server: Faulty, client: Client) -> None:
    def pieces(_offset: int) -> Iterator[bytes]:
        for number in range(1000):
            if number == 20:
                client.cancel()
            yield bytes(65536)

    Uploads(server)
    with pytest.raises(WherryError, match="stopped"):
        push.put_blob(client, name(server), Descriptor("x", sha256(b""), 65536000), pieces)


def test_reading_the_blob_fails(server: Faulty, client: Client) -> None:
    def pieces(_offset: int) -> Iterator[bytes]:
        yield b"a"
        raise Corrupt("damaged on disk")

    Uploads(server)
    with pytest.raises(Corrupt, match="damaged on disk"):
        push.put_blob(client, name(server), Descriptor("x", sha256(b""), 5), pieces)
