"""Sizes, times, signals, limits: Docker's grammar and Docker's refusals."""

from __future__ import annotations

import signal

import pytest

from wherry.container import parse
from wherry.container.options import DeviceRate, Ulimit
from wherry.errors import InvalidArgument


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0", 0), ("1024", 1024), ("1k", 1024), ("1K", 1024), ("32kb", 32 << 10), ("32 kB", 32 << 10),
        ("256m", 256 << 20), ("256MiB", 256 << 20), ("1.5g", 3 << 29), ("2T", 2 << 40), ("1p", 1 << 50), ("7b", 7),
        ("0.5", 0), ("1.3m", 1363148),
    ],
)  # fmt: skip
def test_size(text: str, expected: int) -> None:
    assert parse.size(text) == expected


@pytest.mark.parametrize(
    "text", ["", "m", "-1", "1x", "1kk", "1  k", "1.2.3", "1.", " 1", "1e3", "٣", "9999999p", "1mib1"]
)
def test_size_refused(text: str) -> None:
    with pytest.raises(InvalidArgument, match="invalid size"):
        parse.size(text)


def test_swap_may_be_unlimited() -> None:
    assert parse.swap_size("-1") == -1
    assert parse.swap_size("1g") == 1 << 30


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1", 10**9),
        (".5", 5 * 10**8),
        ("1.5", 15 * 10**8),
        ("2.000", 2 * 10**9),
        ("0.001", 10**6),
        ("1/2", 5 * 10**8),
        ("1e-1", 10**8),
        ("-1", -(10**9)),
    ],
)
def test_cpus(text: str, expected: int) -> None:
    assert parse.nano_cpus(text) == expected


@pytest.mark.parametrize("text", ["", "x", "1/0", "1/3", "1_0", " 1", "1e9999", "1e-99999999", "1.2.3", "0.0000000001"])
def test_cpus_refused(text: str) -> None:
    with pytest.raises(InvalidArgument):
        parse.nano_cpus(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0", 0),
        ("300ms", 300 * 10**6),
        ("1h10m", 4200 * 10**9),
        ("1.5s", 1_500_000_000),
        ("-2us", -2000),
        (".5s", 5 * 10**8),
    ],
)
def test_duration(text: str, expected: int) -> None:
    assert parse.duration(text) == expected


@pytest.mark.parametrize("text", ["", "5", "s", "5 s", "1h-1m", ".s", "--1s"])
def test_duration_refused(text: str) -> None:
    with pytest.raises(InvalidArgument, match="invalid duration"):
        parse.duration(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("9", 9), ("KILL", 9), ("SIGKILL", 9), ("sigterm", 15), ("quit", 3), ("RTMIN", signal.SIGRTMIN),
        ("SIGRTMIN+3", signal.SIGRTMIN + 3), ("RTMAX-2", signal.SIGRTMAX - 2), ("64", 64), ("WINCH", signal.SIGWINCH),
    ],
)  # fmt: skip
def test_signal(text: str, expected: int) -> None:
    assert parse.signal(text) == expected


@pytest.mark.parametrize(
    "text", ["", "0", "-1", "65", "NOSUCH", "_DFL", "SIG_IGN", "RTMIN+99", "RTMINX3", "SIG", "RTMAX+1"]
)
def test_signal_refused(text: str) -> None:
    with pytest.raises(InvalidArgument, match="invalid signal"):
        parse.signal(text)


def test_ulimit() -> None:
    assert parse.ulimit("nofile=10:20") == Ulimit("nofile", 10, 20)
    assert parse.ulimit("core=0") == Ulimit("core", 0, 0)
    assert parse.ulimit("nproc=5:-1") == Ulimit("nproc", 5, -1)
    assert parse.ulimit("memlock=infinity") == Ulimit("memlock", -1, -1)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("nofile", "invalid ulimit argument: nofile"),
        ("as=1", "invalid ulimit type: as"),
        ("core=1:2:3", "too many limit value arguments"),
        ("core=2:1", "less than or equal to hard limit: 2 > 1"),
        ("core=-1:1", r"soft: -1 \(unlimited\), hard: 1"),
        ("core=x", "invalid syntax"),
    ],
)
def test_ulimit_refused(text: str, words: str) -> None:
    with pytest.raises(InvalidArgument, match=words):
        parse.ulimit(text)


def test_expose() -> None:
    assert parse.expose("80") == ("80/tcp",)
    assert parse.expose("53/UDP") == ("53/udp",)
    assert parse.expose("7000-7002/sctp") == ("7000/sctp", "7001/sctp", "7002/sctp")
    for text in ("80:80", "0", "70000", "9-8", "x", "80/icmp", ""):
        with pytest.raises(InvalidArgument, match=r"for --expose"):
            parse.expose(text)


def test_hosts_and_names() -> None:
    assert parse.extra_host("a:10.0.0.1") == "a:10.0.0.1"
    assert parse.extra_host("a=::1") == "a:::1"
    assert parse.extra_host("a:[2001:db8::1]") == "a:2001:db8::1"
    assert parse.extra_host("host.docker.internal:host-gateway") == "host.docker.internal:host-gateway"
    assert parse.dns_server(" 8.8.8.8") == "8.8.8.8"
    assert parse.dns_search(".") == "."
    assert parse.dns_search("corp.example.") == "corp.example."
    for call, text in (
        (parse.extra_host, "a"), (parse.extra_host, "a:999.1.1.1"), (parse.dns_server, "x"), (parse.dns_search, "-a.b"),
    ):  # fmt: skip
        with pytest.raises(InvalidArgument):
            call(text)


def test_rates() -> None:
    assert parse.device_rate("/dev/sda:1mb") == DeviceRate("/dev/sda", 1 << 20)
    assert parse.device_rate("/dev/sda:100", operations=True) == DeviceRate("/dev/sda", 100)
    assert parse.device_weight("/dev/sda:300") == DeviceRate("/dev/sda", 300)
    for text in ("/dev/sda", "sda:1", "/dev/sda:x", "/dev/sda:-1"):
        with pytest.raises(InvalidArgument):
            parse.device_rate(text, operations=True)
    with pytest.raises(InvalidArgument, match="invalid weight"):
        parse.device_weight("/dev/sda:5")


def test_numbers_and_switches() -> None:
    assert parse.boolean("T") is True
    assert parse.boolean("0") is False
    assert parse.integer("0x10") == 16
    assert parse.integer("010") == 8
    assert parse.integer("-5") == -5
    for text in ("yes", "", "TrUe"):
        with pytest.raises(InvalidArgument, match="ParseBool"):
            parse.boolean(text)
    for text in ("", "1.5", "abc", "1__0"):
        with pytest.raises(InvalidArgument, match="ParseInt"):
            parse.integer(text)
    with pytest.raises(InvalidArgument, match="out of range"):
        parse.integer(str(1 << 63))


def test_pairs() -> None:
    assert parse.label("a=b=c") == ("a", "b=c")
    assert parse.label("a") == ("a", "")
    assert parse.sysctl("net.core.somaxconn=1") == ("net.core.somaxconn", "1")
    assert parse.pairs((("a", "1"), ("b", "2"), ("a", "3"))) == (("a", "3"), ("b", "2"))
    assert parse.attach("StdIn") == "stdin"
    for call, text in ((parse.label, "=x"), (parse.sysctl, "net"), (parse.attach, "all"), (parse.annotation, "=")):
        with pytest.raises(InvalidArgument):
            call(text)


@pytest.mark.parametrize("text", ["", "=v", "a b=c", "a\tb", " =x"])
def test_label_refused(text: str) -> None:
    with pytest.raises(InvalidArgument, match=r"empty name|contains whitespaces"):
        parse.label(text)
