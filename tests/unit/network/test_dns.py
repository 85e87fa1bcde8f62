"""Messages of the domain name system; what a real client makes of them is in tests/kernel/test_network_names.py."""

from __future__ import annotations

import struct

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from support.queries import question
from wherry.network import dns
from wherry.network.nameserver import Known, own_records


def test_a_query_is_read() -> None:
    query = dns.parse(question(b"WEB.Example", dns.AAAA, edns=1232))
    assert (query.id, query.name, query.type, query.edns, query.size) == (7, "web.example", dns.AAAA, 1232, 1232)
    assert query.question == b"\3WEB\7Example\0\0\x1c\0\1"
    assert dns.parse(question(b"")).name == ""
    assert dns.parse(question(b"x")).size == 512
    assert dns.parse(question(b"x", edns=100)).size == 512
    assert dns.parse(question(b"x", edns=65535)).size == 4096


def test_bytes_that_are_no_text_cannot_be_taken_for_another_name() -> None:
    message = question(b"X")
    dotted = message.replace(b"\1X", b"\3w.b")
    assert dns.parse(dotted).name == "w\\046b"
    assert dns.parse(message.replace(b"\1X", b"\2\xc3\xa9")).name == "\\195\\169"


@pytest.mark.parametrize(
    ("message", "code"),
    [
        (b"", -1),
        (b"\0" * 11, -1),
        (b"\0\1\x80\0" + b"\0" * 8, -1),  # a response
        (b"\0\1\x28\0\0\1" + b"\0" * 6, dns.NOTIMP),  # an update
        (b"\0\1\1\0\0\0" + b"\0" * 6, dns.FORMERR),  # nothing is asked
        (b"\0\1\1\0\0\2" + b"\0" * 6, dns.FORMERR),
        (question(b"web")[:14], dns.FORMERR),
        (question(b"web")[:-1], dns.FORMERR),
        (b"\0\1\1\0\0\1" + b"\0" * 6 + b"\xc0\x0c\0\1\0\1", dns.FORMERR),  # a pointer to itself
        (b"\0\1\1\0\0\1" + b"\0" * 6 + b"\1a" * 128 + b"\0\0\1\0\1", dns.FORMERR),  # 257 bytes
        (b"\0\1\1\0\0\1" + b"\0" * 6 + b"\x40" + b"a" * 64 + b"\0\0\1\0\1", dns.FORMERR),  # 64 in a label
    ],
)
def test_what_is_malformed_is_refused_or_ignored(message: bytes, code: int) -> None:
    with pytest.raises(dns.Malformed) as caught:
        dns.parse(message)
    assert caught.value.code == code


@given(st.binary(max_size=600))
@example(b"\0\1\1\0\0\1\0\0\0\0\xff\xff" + b"\1a\0\0\1\0\1" + b"\xc0" * 300)
def test_no_bytes_break_it(message: bytes) -> None:
    known = Known(({"web": ("10.0.0.2", "fd00::2")},), {"10.0.0.2": "web.net"}, True)
    try:
        query = dns.parse(message)
    except dns.Malformed as error:
        if error.code >= 0:
            assert len(dns.refusal(message, error.code)) == dns.HEADER
        return
    assert len(query.name) < 4 * 256
    response = dns.answer(query, own_records(query, known) or (), limit=query.size)
    assert len(response) <= query.size
    assert dns.answers(response, query, query.id)
    dns.answers(message, query, query.id)


@given(st.binary(min_size=20, max_size=200), st.integers(0, 19), st.integers(0, 255))
def test_changed_queries_do_not_break_it(tail: bytes, place: int, value: int) -> None:
    message = bytearray(question(b"web.front", edns=1232) + tail)
    message[place] = value
    try:
        dns.parse(bytes(message))
    except dns.Malformed:
        pass


def test_an_answer_that_is_too_long_is_cut_and_says_so() -> None:
    query = dns.parse(question(b"web"))
    records = [dns.address_record(f"10.0.0.{number}", 600) for number in range(100)]
    short = dns.answer(query, records, limit=512)
    flags, _questions, count = struct.unpack_from(">3H", short, 2)
    assert len(short) <= 512 and flags & 0x0200 and count < 100
    assert not struct.unpack_from(">H", dns.answer(query, records), 2)[0] & 0x0200
    response = dns.answer(query, records)
    cut = dns.cut(response, query)
    assert struct.unpack_from(">H", cut, 2)[0] & 0x0200 and len(cut) <= 512
    assert dns.cut(short, query) == short


def test_answers_to_other_questions_are_not_taken() -> None:
    query = dns.parse(question(b"web"))
    good = dns.answer(query)
    assert dns.answers(good, query, 7)
    assert not dns.answers(good, query, 8)
    assert not dns.answers(question(b"web"), query, 7)
    assert not dns.answers(dns.answer(dns.parse(question(b"wob"))), query, 7)
    assert dns.answers(dns.refusal(question(b"web"), dns.REFUSED), query, 7)


def test_addresses_behind_reverse_names() -> None:
    assert dns.address_of("2.0.18.172.in-addr.arpa") == "172.18.0.2"
    assert dns.address_of("2." + "0." * 27 + "0.0.d.f.ip6.arpa") == "fd00::2"
    for other in ("256.0.18.172.in-addr.arpa", "18.172.in-addr.arpa", "x.ip6.arpa", "web", "²." * 4 + "in-addr.arpa"):
        assert dns.address_of(other) == ""


class TestOwnNames:
    known = Known(
        ({"web": ("172.18.0.2",), "db": ("172.18.0.3", "fd00::3")}, {"web": ("172.19.0.9",), "all": ("172.19.0.9",)}),
        {"172.18.0.2": "web.front"},
        True,
    )

    def ask(self, name: bytes, kind: int) -> list[bytes] | None:
        return own_records(dns.parse(question(name, kind)), self.known)

    def test_the_first_network_that_knows_a_name_answers(self) -> None:
        assert self.ask(b"WEB", dns.A) == [dns.address_record("172.18.0.2", 600)]
        assert self.ask(b"all", dns.A) == [dns.address_record("172.19.0.9", 600)]

    def test_other_types_of_a_name_that_is_known_are_empty(self) -> None:
        """So that an IPv4 network's container does not wait for somebody else's AAAA."""
        for kind in (dns.AAAA, 15, 65):
            assert self.ask(b"web", kind) == []
        assert self.ask(b"db", dns.AAAA) == [dns.address_record("fd00::3", 600)]

    def test_other_names_are_others_to_answer(self) -> None:
        assert self.ask(b"example.com", dns.A) is None
        assert self.ask(b"3.0.18.172.in-addr.arpa", dns.PTR) is None

    def test_addresses_have_names(self) -> None:
        (record,) = self.ask(b"2.0.18.172.in-addr.arpa", dns.PTR) or []
        assert record.endswith(b"\3web\5front\0")

    @pytest.mark.parametrize("network", ["a" * 64, "a" * 300, "a." * 130, "é" * 32])
    def test_a_name_that_no_record_can_have_is_not_told(self, network: str) -> None:
        known = Known(({},), {"172.18.0.2": f"web.{network}"}, True)
        assert own_records(dns.parse(question(b"2.0.18.172.in-addr.arpa", dns.PTR)), known) == []
