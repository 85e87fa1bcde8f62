"""Servers that break off, stall, lie and talk nonsense: what is tried again, what is refused, and in what words."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest

from support.clients import QUICK, Kept
from support.faulty import (
    OCI_INDEX,
    Answer,
    Exchange,
    Faulty,
    close_after,
    drip,
    honest,
    ignore_range,
    raw,
    redirect,
    reset_after,
    stall_after,
    status,
)
from wherry.errors import Cancelled, Corrupt, Forbidden, NotFound, Unavailable, WherryError
from wherry.oci.manifest import Descriptor
from wherry.oci.reference import Reference, parse
from wherry.registry import fetch
from wherry.registry.client import Client
from wherry.registry.config import HostSettings, Proxies
from wherry.registry.retry import RetryPolicy

BODY = bytes(range(256)) * 2000


def described(server: Faulty, body: bytes = BODY) -> Descriptor:
    entry = server.add_blob(body)
    return Descriptor(entry["mediaType"], entry["digest"], entry["size"])


def bring(client: Client, server: Faulty, *answers: Answer, begun: bytes = b"") -> Kept:
    """Downloads BODY while the server answers so."""
    descriptor = described(server)
    server.on_blob = list(answers)
    kept = Kept(descriptor.digest, descriptor.size, begun)
    fetch.download(client, named(server), descriptor, kept)
    assert bytes(kept.body) == BODY
    assert kept.committed
    return kept


def refused(client: Client, server: Faulty, answer: Answer) -> WherryError:
    descriptor = described(server)
    server.on_blob = [answer] * 100
    with pytest.raises(WherryError) as caught:
        fetch.download(client, named(server), descriptor, Kept(descriptor.digest, descriptor.size))
    assert "\n" not in caught.value.message
    assert len(caught.value.message) < 500
    return caught.value


def named(server: Faulty) -> Reference:
    return parse(f"{server.host}/x")


# -- blobs that arrive in the end ------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", [reset_after, close_after, stall_after])
def test_goes_on_where_it_broke_off(client: Client, server: Faulty, fault: Callable[[int], Answer]) -> None:
    kept = bring(client, server, fault(100_000), fault(50_000))
    assert kept.restarts == 0
    ranges = [one.headers.get("range") for one in server.asked("/blobs/")]
    assert ranges[0] is None
    assert len(ranges) == 3
    starts = [int(text.removeprefix("bytes=").partition("-")[0]) for text in ranges[1:] if text]
    assert 0 < starts[0] <= 100_000 and starts[0] < starts[1] <= 150_000  # a reset may destroy what was on its way


@pytest.mark.parametrize("number", [500, 502, 503, 504, 429, 408])
def test_tries_again_after(client: Client, server: Faulty, number: int) -> None:
    bring(client, server, status(number), status(number))
    assert len(server.asked("/blobs/")) == 3


def test_fails_midway_then_5xx(client: Client, server: Faulty) -> None:
    bring(client, server, close_after(1000), status(503), reset_after(5000))


def test_takes_up_what_an_earlier_download_left(client: Client, server: Faulty) -> None:
    kept = bring(client, server, begun=BODY[:5000])
    assert server.asked("/blobs/")[0].headers["range"] == f"bytes=5000-{len(BODY) - 1}"
    assert kept.restarts == 0


def test_what_was_left_is_wrong(client: Client, server: Faulty) -> None:
    kept = bring(client, server, begun=b"wrong" * 1000)
    assert kept.restarts == 1


def test_a_server_without_ranges(client: Client, server: Faulty) -> None:
    kept = bring(client, server, close_after(1000), ignore_range)
    assert kept.restarts == 0


def wrong_range(exchange: Exchange) -> None:
    data = exchange.blob()
    exchange.reply(206, data[10:], {"Content-Range": f"bytes 10-{len(data) - 1}/{len(data)}"})


def wrong_total(exchange: Exchange) -> None:
    data, start = exchange.blob(), exchange.range()
    exchange.reply(206, data[start:], {"Content-Range": f"bytes {start}-{len(data) - 1}/{len(data) + 7}"})


def no_range(exchange: Exchange) -> None:
    exchange.reply(206, exchange.blob()[exchange.range() :])


@pytest.mark.parametrize("answer", [wrong_range, wrong_total, no_range, status(416)])
def test_a_wrong_range_is_not_used(client: Client, server: Faulty, answer: Answer) -> None:
    bring(client, server, close_after(1000), answer, honest)
    assert "range" not in server.asked("/blobs/")[-1].headers


def test_chunked_without_length(client: Client, server: Faulty) -> None:
    def chunked(exchange: Exchange) -> None:
        pieces = b"".join(
            b"%x\r\n%b\r\n" % (len(BODY) // 4, BODY[at : at + len(BODY) // 4])
            for at in range(0, len(BODY), len(BODY) // 4)
        )
        exchange.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + pieces + b"0\r\n\r\n")

    bring(client, server, chunked)


def test_http_1_0_without_length(client: Client, server: Faulty) -> None:
    bring(client, server, raw(b"HTTP/1.0 200 OK\r\n\r\n" + BODY))


def test_retry_after_is_waited_for(client: Client, server: Faulty) -> None:
    started = time.monotonic()
    bring(client, server, status(429, "TOOMANYREQUESTS", "slow down", Retry_After="1"))
    assert 1.0 <= time.monotonic() - started < 3


def test_progress_clears_the_count(client_of: Callable[..., Client], server: Faulty) -> None:
    body = bytes(8 << 20)
    descriptor = described(server, body)
    server.on_blob = [close_after((1 << 20) + 7)] * 7
    kept = Kept(descriptor.digest, descriptor.size)
    client = client_of(retry=RetryPolicy(tries=2, first=0.01, longest=0.01))
    fetch.download(client, named(server), descriptor, kept)
    assert len(server.asked("/blobs/")) == 8


def test_progress_is_reported(client: Client, server: Faulty) -> None:
    descriptor = described(server)
    server.on_blob = [close_after(1000)]
    told: list[int] = []
    fetch.download(client, named(server), descriptor, Kept(descriptor.digest, descriptor.size), told.append)
    assert told == sorted(told)
    assert told[-1] == len(BODY)


def test_an_empty_blob(client: Client, server: Faulty) -> None:
    descriptor = described(server, b"")
    kept = Kept(descriptor.digest, 0)
    fetch.download(client, named(server), descriptor, kept)
    assert kept.committed


# -- blobs that do not ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (reset_after(0), "connection reset by peer"),
        (close_after(0), "unexpected EOF"),
        (status(503), "received unexpected HTTP status: 503"),
        (status(429, "TOOMANYREQUESTS", "You have reached your pull rate limit"), "toomanyrequests: You have reached"),
        (raw(b""), "unexpected EOF"),
    ],
)
def test_gives_up_in_the_end(client: Client, server: Faulty, answer: Answer, words: str) -> None:
    error = refused(client, server, answer)
    assert isinstance(error, Unavailable)
    assert words in error.message
    assert len(server.asked("/blobs/")) == 4


def test_a_long_retry_after_is_not_waited_for(client: Client, server: Faulty) -> None:
    started = time.monotonic()
    error = refused(client, server, status(429, "TOOMANYREQUESTS", "come back", Retry_After="3600"))
    assert time.monotonic() - started < 2
    assert "toomanyrequests" in error.message


@pytest.mark.parametrize("answer", [stall_after(0), drip(), drip(b"HTTP/1.1 100 Continue\r\n\r\n" * 50 + b"HTTP/1.1 ")])
def test_silence_ends(client_of: Callable[..., Client], server: Faulty, answer: Answer) -> None:
    client = client_of(connect_timeout=0.3, read_timeout=0.2, retry=RetryPolicy(tries=2, first=0.01))
    started = time.monotonic()
    assert "timeout" in refused(client, server, answer).message
    assert time.monotonic() - started < 5


def test_a_body_in_drips_ends(client_of: Callable[..., Client], server: Faulty) -> None:
    client = client_of(connect_timeout=0.3, read_timeout=0.2, retry=RetryPolicy(tries=2, first=0.01))
    head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(BODY)}\r\n\r\n".encode()
    started = time.monotonic()
    assert "stalled" in refused(client, server, drip(head)).message
    assert time.monotonic() - started < 5


def test_chunk_sizes_in_drips_end(client_of: Callable[..., Client], server: Faulty) -> None:
    client = client_of(connect_timeout=0.3, read_timeout=0.2, retry=RetryPolicy(tries=2, first=0.01))
    started = time.monotonic()
    error = refused(client, server, drip(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"))
    assert isinstance(error, Unavailable)
    assert time.monotonic() - started < 5


@pytest.mark.parametrize("length", [len(BODY) - 1, len(BODY) + 1, 0, 1 << 60])
def test_a_length_that_lies(client: Client, server: Faulty, length: int) -> None:
    error = refused(client, server, raw(f"HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n".encode() + BODY))
    assert isinstance(error, Corrupt)
    assert f"has {length} bytes; the manifest says {len(BODY)}" in error.message


@pytest.mark.parametrize("length", ["-5", "many", "5, 6", "0x10", "1" * 5000])
def test_a_length_that_is_none(client: Client, server: Faulty, length: str) -> None:
    error = refused(client, server, raw(f"HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n".encode() + BODY))
    assert isinstance(error, Corrupt | Unavailable)


def test_more_than_announced_in_chunks(client: Client, server: Faulty) -> None:
    body = BODY + b"!"
    chunk = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
    error = refused(client, server, raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk))
    assert isinstance(error, Corrupt)
    assert "is longer than" in error.message


def test_endless_chunks_end(client: Client, server: Faulty) -> None:
    def endless(exchange: Exchange) -> None:
        exchange.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in range(10_000):
            exchange.send(b"10000\r\n" + bytes(0x10000) + b"\r\n")

    assert isinstance(refused(client, server, endless), Corrupt)


def test_fewer_than_announced_in_chunks(client: Client, server: Faulty) -> None:
    chunk = b"%x\r\n%b\r\n0\r\n\r\n" % (1000, BODY[:1000])
    error = refused(client, server, raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk))
    assert "bytes are missing" in error.message


def test_other_bytes_of_the_same_length(client: Client, server: Faulty) -> None:
    body = BODY[:-1] + b"!"
    error = refused(client, server, raw(f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body))
    assert isinstance(error, Corrupt)
    assert "does not match its digest" in error.message


def test_a_blob_is_never_decoded(client: Client, server: Faulty) -> None:
    """What a content encoding does to the bytes is visible to the digest; nobody unpacks a bomb here."""
    import gzip

    packed = gzip.compress(BODY)
    head = f"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {len(packed)}\r\n\r\n".encode()
    error = refused(client, server, raw(head + packed))
    assert isinstance(error, Corrupt)
    assert "encoded as 'gzip'" in error.message
    assert server.asked("/blobs/")[0].headers["accept-encoding"] == "identity"


def test_a_mislabelled_blob_is_taken_as_it_is(client: Client, server: Faulty) -> None:
    head = f"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {len(BODY)}\r\n\r\n".encode()
    bring(client, server, raw(head + BODY))


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 200 OK\r\nX: " + b"a" * 100_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X: a\r\n" * 1000 + b"\r\n",
        b"HTTP/1.1 99999 Odd\r\n\r\n",
        b"HTTP/9.9.9 200\r\n\r\n",
        b"\x16\x03\x01\x02\x00" * 100,
        b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
    ],
)
def test_nonsense_is_not_tried_again_for_long(client: Client, server: Faulty, head: bytes) -> None:
    error = refused(client, server, raw(head))
    assert isinstance(error, Unavailable)
    assert len(server.asked("/blobs/")) <= 4


def test_a_missing_blob(client: Client, server: Faulty) -> None:
    error = refused(client, server, status(404, "BLOB_UNKNOWN", "blob unknown to registry"))
    assert isinstance(error, NotFound)
    assert "blob unknown: blob unknown to registry" in error.message


def test_terminal_escapes_do_not_get_through(client: Client, server: Faulty) -> None:
    error = refused(client, server, status(400, "EVIL", "a\x1b[2Jb\nc\u202e" + "x" * 9000))
    assert error.message.isprintable()
    assert len(error.message) < 500


# -- redirects ---------------------------------------------------------------------------------------------------------


def test_redirects_to_other_hosts_are_followed(client: Client, server: Faulty) -> None:
    with Faulty("127.0.0.2") as storage:
        storage.blobs = server.blobs
        place = f"{storage.url}/store/{described(server).digest}?signature=1"
        storage.routes = [lambda exchange: exchange.reply(200, BODY) or True]
        bring(client, server, redirect(place))
        assert storage.seen[0].path.endswith("?signature=1")


def test_a_refusal_after_a_redirect_asks_the_registry_again(client: Client, server: Faulty) -> None:
    """A signed address expires: only the registry can give a new one."""
    with Faulty("127.0.0.2") as storage:
        storage.routes = [lambda exchange: exchange.reply(403, b"<Error/>") or True]
        bring(client, server, redirect(f"{storage.url}/old"), honest)


def test_redirects_in_a_circle_end(client: Client, server: Faulty) -> None:
    error = refused(client, server, lambda exchange: exchange.reply(307, b"", {"Location": exchange.path}))
    assert "stopped after" in error.message


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        "ftp://127.0.0.1/x",
        "http://user:secret@127.0.0.1/x",
        "http://",
        "http://[::1",
        "http://127.0.0.1:0/",
        "http://127.0.0.1:99999/",
        "http://a..b/",
        "gopher://x",
        "http://" + "a" * 20_000,
    ],
)
def test_odd_redirects_are_refused(client: Client, server: Faulty, url: str) -> None:
    error = refused(client, server, redirect(url))
    assert isinstance(error, Unavailable | Forbidden)


# -- manifests ---------------------------------------------------------------------------------------------------------


def test_a_manifest_without_end(client: Client, server: Faulty) -> None:
    def endless(exchange: Exchange) -> None:
        exchange.send(b"HTTP/1.1 200 OK\r\n\r\n{")
        while not exchange.server.faulty.over.is_set():
            exchange.send(b" " * 65536)

    server.on_manifest = [endless]
    with pytest.raises(Corrupt, match="larger than"):
        client.manifest(named(server))


def test_a_manifest_announced_too_large(client: Client, server: Faulty) -> None:
    server.on_manifest = [raw(b"HTTP/1.1 200 OK\r\nContent-Length: 999999999999\r\n\r\n{")]
    with pytest.raises(Corrupt, match="larger than"):
        client.manifest(named(server))


def test_a_manifest_cut_short_is_fetched_again(client: Client, server: Faulty) -> None:
    server.add_image("x", [])
    server.on_manifest = [raw(b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{")]
    assert client.manifest(named(server)).media_type


def test_a_manifest_of_another_digest(client: Client, server: Faulty) -> None:
    entry = server.add_image("x", [])
    server.on_manifest = [lambda exchange: exchange.reply(200, b'{"schemaVersion": 2}')]
    with pytest.raises(Corrupt, match="does not match its digest"):
        client.manifest(parse(f"{server.host}/x@{entry['digest']}"))


def test_a_header_that_names_another_digest(client: Client, server: Faulty) -> None:
    server.on_manifest = [lambda exchange: exchange.reply(200, b"{}", {"Docker-Content-Digest": "sha256:" + "0" * 64})]
    with pytest.raises(Corrupt, match="does not match its digest"):
        client.manifest(named(server))


def test_head_of_a_server_that_tells_nothing(client: Client, server: Faulty) -> None:
    entry = server.add_image("x", [])
    server.on_manifest = [lambda exchange: exchange.reply(200)]
    assert client.head(named(server)).digest == entry["digest"]


def test_an_index_whose_entry_has_another_size(client: Client, server: Faulty) -> None:
    entry = server.add_image("x", []) | {"size": 5, "platform": {"os": "linux", "architecture": "amd64"}}
    server.add_manifest("x", "latest", {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [entry]}, OCI_INDEX)
    from wherry.oci.platform import Platform

    with pytest.raises(Corrupt, match="bytes instead of 5"):
        fetch.resolve(client, named(server), Platform("linux", "amd64"))


# -- whole registries -------------------------------------------------------------------------------------------------


def test_nobody_there(client: Client) -> None:
    with pytest.raises(Unavailable) as caught:
        client.manifest(parse("127.0.0.1:1/x"))
    place = 'Get "http://127.0.0.1:1/v2/x/manifests/latest"'
    assert caught.value.message == f"{place}: dial tcp 127.0.0.1:1: connect: connection refused"


def test_no_such_host(client: Client) -> None:
    with pytest.raises(Unavailable, match=r"lookup nosuch\.invalid: "):
        client.manifest(parse("nosuch.invalid/x"))


def test_a_stop_ends_what_is_under_way(client_of: Callable[..., Client], server: Faulty) -> None:
    client = client_of(read_timeout=30.0)
    descriptor = described(server)
    server.on_blob = [stall_after(1000)]
    threading.Timer(0.3, client.cancel).start()
    started = time.monotonic()
    with pytest.raises(Cancelled):
        fetch.download(client, named(server), descriptor, Kept(descriptor.digest, descriptor.size))
    assert time.monotonic() - started < 3


# -- mirrors ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "answer",
    [status(404, "BLOB_UNKNOWN", "x"), status(503), status(403, "DENIED", "x"), close_after(9), ignore_range,
     lambda exchange: exchange.reply(200, b"?" * len(BODY)), lambda exchange: exchange.reply(200, b"short")],
)  # fmt: skip
def test_a_bad_mirror_is_passed_over(client_of: Callable[..., Client], server: Faulty, answer: Answer) -> None:
    with Faulty("127.0.0.3") as mirror:
        mirror.blobs = server.blobs
        client = client_of(hosts=((server.host, HostSettings(mirrors=(mirror.url,))),))
        mirror.on_blob = [answer] * 10
        kept = bring(client, server)
        assert mirror.asked("/blobs/")
        assert len(kept.body) == len(BODY)


def test_a_mirror_serves_manifests_and_its_prefix_counts(client_of: Callable[..., Client], server: Faulty) -> None:
    with Faulty("127.0.0.3") as mirror:
        entry = mirror.add_image("cache/docker.io/x", [])
        client = client_of(hosts=((server.host, HostSettings(mirrors=(f"{mirror.url}/cache/docker.io",))),))
        assert client.manifest(named(server)).descriptor.digest == entry["digest"]
        assert not server.seen


def test_the_registry_has_the_last_word(client_of: Callable[..., Client], server: Faulty) -> None:
    with Faulty("127.0.0.3") as mirror:
        client = client_of(hosts=((server.host, HostSettings(mirrors=(mirror.url, "http://127.0.0.1:1"))),))
        with pytest.raises(NotFound, match=f"manifest for {server.host}/x:latest not found: manifest unknown"):
            client.manifest(named(server))
        assert mirror.seen
    with pytest.raises(NotFound):
        client.manifest(named(server))


def test_connections_are_used_again(server: Faulty) -> None:
    ports = set()
    server.routes = [lambda exchange: ports.add(exchange.client_address[1])]
    layer = described(server)
    server.add_image("x", [layer.to_json()])
    with Client(QUICK) as client:
        fetch.resolve(client, named(server))
        for _ in range(5):
            fetch.download(client, named(server), layer, Kept(layer.digest, layer.size))
        with pytest.raises(NotFound):
            client.manifest(parse(f"{server.host}/nosuch"))
        client.head(named(server))
        assert client.exists(named(server), layer)
        fetch.resolve(client, named(server))
    assert len(ports) == 1


# -- proxies ----------------------------------------------------------------------------------------------------------


def test_through_a_proxy(client_of: Callable[..., Client], server: Faulty) -> None:
    """The proxy gets its own credentials, and the absolute address of what is wanted."""
    entry = server.add_image("x", [])
    server.manifests = {f"http://mirror.test{path}": found for path, found in server.manifests.items()}
    client = client_of(
        hosts=(("registry.test", HostSettings(mirrors=("http://mirror.test",))),),
        proxies=Proxies(http=f"http://me:p%40ss@{server.host}", no_proxy="other.test"),
    )
    assert client.manifest(parse("registry.test/x")).descriptor.digest == entry["digest"]
    assert server.seen[0].headers["proxy-authorization"] == "Basic bWU6cEBzcw=="
    assert server.seen[0].headers["host"] == "mirror.test"


def test_a_proxy_is_not_asked_for_addresses_that_are_refused(client_of: Callable[..., Client], server: Faulty) -> None:
    server.routes = [lambda exchange: redirect("http://169.254.169.254/latest")(exchange) or True]
    client = client_of(
        hosts=(("registry.test", HostSettings(insecure=True)),), proxies=Proxies(f"http://{server.host}", server.host)
    )
    with pytest.raises(Forbidden, match="refusing to connect"):
        client.manifest(parse("registry.test/x"))
    assert not server.asked("169.254")


def test_a_proxy_that_is_not_there(client_of: Callable[..., Client]) -> None:
    client = client_of(proxies=Proxies(https="http://127.0.0.1:1"))
    with pytest.raises(Unavailable, match="proxyconnect"):
        client.manifest(parse("registry.test/x"))
