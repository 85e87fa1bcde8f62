"""The pure parts: addresses, challenges, scopes, pauses, words."""

from __future__ import annotations

import threading
import time
from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wherry.errors import Cancelled, Unavailable
from wherry.oci.reference import parse
from wherry.registry import address, failures
from wherry.registry.address import Guard
from wherry.registry.auth import Challenge, _scopes, parse_challenges
from wherry.registry.failures import Problem, Transient
from wherry.registry.retry import Backoff, RetryPolicy, retry_after
from wherry.registry.transport import Origin, origin


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("8.8.8.8", "global"),
        ("2606:4700::1", "global"),
        ("10.1.2.3", "private"),
        ("192.168.0.1", "private"),
        ("100.64.0.1", "private"),
        ("fd00::1", "private"),
        ("127.0.0.1", "loopback"),
        ("127.255.255.255", "loopback"),
        ("0.0.0.0", "loopback"),
        ("::", "loopback"),
        ("::1", "loopback"),
        ("::ffff:127.0.0.1", "loopback"),
        ("169.254.169.254", "link-local"),
        ("169.254.170.2", "link-local"),
        ("fe80::1%eth0", "link-local"),
        ("::ffff:169.254.169.254", "link-local"),
        ("64:ff9b::a9fe:a9fe", "link-local"),
        ("2002:a9fe:a9fe::1", "link-local"),
        ("fd00:ec2::254", "link-local"),
        ("100.100.100.200", "link-local"),
        ("168.63.129.16", "link-local"),
        ("224.0.0.1", "link-local"),
    ],
)
def test_kinds_of_addresses(text: str, kind: str) -> None:
    assert address.kind(text) == kind


@pytest.mark.parametrize(
    ("host", "found"),
    [
        ("example.com", ""),
        ("localhost", "127.0.0.1"),
        ("a.localhost", "127.0.0.1"),
        ("127.1", "127.0.0.1"),
        ("2130706433", "127.0.0.1"),
        ("0x7f.1", "127.0.0.1"),
        ("0251.0376.0251.0376", "169.254.169.254"),
        ("[::1]", "::1"),
        ("127.0.0.1.", "127.0.0.1"),
    ],
)
def test_spelled_out_addresses(host: str, found: str) -> None:
    assert address.literal(host) == found


@pytest.mark.parametrize(
    ("registry", "host", "target", "allowed"),
    [
        ("global", "auth.example", "8.8.8.8", True),
        ("global", "auth.example", "10.0.0.1", True),
        ("global", "10.0.0.1", "10.0.0.1", False),
        ("global", "auth.example", "127.0.0.1", False),
        ("global", "auth.example", "169.254.169.254", False),
        ("private", "10.0.0.1", "10.0.0.1", True),
        ("private", "x", "127.0.0.1", False),
        ("private", "x", "169.254.169.254", False),
        ("loopback", "127.0.0.1", "127.0.0.1", True),
        ("loopback", "x", "169.254.169.254", False),
        ("loopback", "x", "8.8.8.8", True),
        ("link-local", "x", "169.254.1.1", True),
    ],
)
def test_where_a_registry_may_send_us(registry: str, host: str, target: str, allowed: bool) -> None:
    assert Guard(registry).allows(host, target) is allowed


def test_origins() -> None:
    assert origin("https://Reg.Example/x?y") == Origin("https", "reg.example", 443)
    assert origin("http://[::1]:5000/") == Origin("http", "::1", 5000)
    assert origin("http://[::1]:5000/").netloc == "[::1]:5000"
    for bad in (
        "x",
        "//a",
        "https://",
        "https://a@b",
        "https://a:b",
        "ftp://a",
        "https://a/\n",
        "https://../",
        "https://a%2f",
    ):
        with pytest.raises(Unavailable):
            origin(bad)


@pytest.mark.parametrize(
    ("header", "found"),
    [
        ("", ()),
        ("Basic", (Challenge("basic"),)),
        ('Basic realm="a, b"', (Challenge("basic", (("realm", "a, b"),)),)),
        (
            'Bearer realm="https://a/t",service="s", scope="repository:x:pull,push"',
            (Challenge("bearer", (("realm", "https://a/t"), ("service", "s"), ("scope", "repository:x:pull,push"))),),
        ),
        (
            'Negotiate, Basic realm=r, Bearer Realm = "q\\"x"',
            (Challenge("negotiate"), Challenge("basic", (("realm", "r"),)), Challenge("bearer", (("realm", 'q"x'),))),
        ),
        ('Bearer realm="open', (Challenge("bearer"),)),
        ('Bearer realm="a\nb"', (Challenge("bearer", (("realm", "a b"),)),)),
        ("=", ()),
    ],
)
def test_challenges(header: str, found: tuple[Challenge, ...]) -> None:
    assert parse_challenges([header]) == found


@given(st.text(max_size=300))
def test_challenges_never_fail(header: str) -> None:
    for challenge in parse_challenges([header, 'Bearer realm="' + header]):
        assert challenge.scheme


def test_scopes_merge_and_never_ask_to_write() -> None:
    offered = ("repository:b:push,pull", "repository:a:pull", "repository:b:pull", "", "registry:catalog:*")
    assert _scopes((), offered) == ("repository:a:pull", "repository:b:pull")
    assert _scopes((), ("repository:x:5000/y:pull",)) == ("repository:x:5000/y:pull",)
    assert _scopes((), ("repository:x:push", "repository:x:delete", "x" * 5000)) == ()
    assert len(_scopes((), (f"repository:r{number}:pull" for number in range(100)))) == 8


def test_own_scopes_are_kept_as_they_are() -> None:
    own = ("repository:mine:pull,push",)
    assert _scopes(own, ("repository:mine:pull,push,delete", "repository:mine:*", "repository:other:pull,push")) == (
        "repository:mine:pull,push",
        "repository:other:pull",
    )


def test_pauses_grow_and_end() -> None:
    backoff = Backoff(RetryPolicy(tries=4, first=0.01, longest=0.02), threading.Event())
    error = Transient("no")
    started = time.monotonic()
    for _ in range(3):
        backoff.failed(error)
    assert 0.02 < time.monotonic() - started < 1
    with pytest.raises(Transient, match="no"):
        backoff.failed(error)


def test_progress_forgives_but_not_for_ever() -> None:
    backoff = Backoff(RetryPolicy(tries=2, first=0.0, total=10), threading.Event())
    with pytest.raises(Transient):
        for _ in range(11):
            backoff.failed(Transient("no"))
            backoff.progressed()


def test_a_pause_is_not_longer_than_the_budget() -> None:
    backoff = Backoff(RetryPolicy(budget=1.0), threading.Event())
    with pytest.raises(Transient) as caught:
        backoff.failed(Transient("no", retry_after=60))
    assert caught.value.hint == "the server asks to wait 60 seconds"


def test_a_pause_can_be_stopped() -> None:
    stop = threading.Event()
    stop.set()
    with pytest.raises(Cancelled):
        Backoff(RetryPolicy(first=60), stop).failed(Transient("no"))


def test_retry_after() -> None:
    assert retry_after("5") == 5
    assert retry_after(None) == retry_after("") == retry_after("soon") == retry_after("-1") == 0
    assert 50 < retry_after(formatdate(time.time() + 60, usegmt=True)) <= 60
    assert retry_after(formatdate(time.time() - 60, usegmt=True)) == 0
    assert retry_after("9" * 5000) == float("inf")


def test_words() -> None:
    ref = parse("localhost:5000/x")
    unknown = Problem("MANIFEST_UNKNOWN", "manifest unknown")
    assert str(failures.manifest_missing(ref, unknown)) == (
        "manifest for localhost:5000/x:latest not found: manifest unknown: manifest unknown"
    )
    assert str(failures.manifest_missing(parse("nginx"), Problem("NAME_UNKNOWN", "repository name not known"))) == (
        "repository nginx not found: name unknown: repository name not known"
    )
    assert str(failures.denied(parse("nosuch"), Problem("DENIED", "requested access to the resource is denied"))) == (
        "pull access denied for nosuch, repository does not exist or may require 'docker login': "
        "denied: requested access to the resource is denied"
    )
    assert str(failures.unauthorized(Problem())) == "unauthorized: authentication required"


@pytest.mark.parametrize(
    ("body", "found"),
    [
        (b"", Problem()),
        (b"<html>", Problem()),
        (b"[]", Problem()),
        (b'{"errors": []}', Problem()),
        (b'{"errors": [{"code": "DENIED", "message": "no"}, {"code": "X"}]}', Problem("DENIED", "no")),
        (b'{"errors": [{"code": 5, "message": ["x"]}]}', Problem()),
        (b'{"details": "incorrect username or password"}', Problem("", "incorrect username or password")),
        (b'{"error": "invalid_grant"}', Problem("", "invalid_grant")),
        (b"[" * 100_000, Problem()),
    ],
)
def test_error_documents(body: bytes, found: Problem) -> None:
    assert failures.read_problem(body) == found
