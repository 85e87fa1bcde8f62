"""Messages of the domain name system (RFC 1035, RFC 6891), as far as a forwarding server needs them.  Pure.

What comes from containers is hostile: a query is looked at up to its first question and its OPT record, everything is
bounded, and what cannot be understood is `Malformed`.
"""

from __future__ import annotations

from _socket import AF_INET, AF_INET6, inet_ntop, inet_pton
from _struct import pack, unpack_from

from wherry.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

A, PTR, AAAA, OPT, ANY = 1, 12, 28, 41, 255
IN = 1
NOERROR, FORMERR, SERVFAIL, NXDOMAIN, NOTIMP, REFUSED = range(6)
HEADER = 12
SMALL = 512  # bytes of a datagram without EDNS
LARGEST = 65535
_MOST_EDNS = 4096  # what we send in a datagram at most
_MOST_NAME, _MOST_LABEL = 255, 63
_MOST_RECORDS = 16  # looked through for an OPT record
_QR, _AA, _TC, _RD, _RA, _CD = 0x8000, 0x0400, 0x0200, 0x0100, 0x0080, 0x0010
_OPCODE = 0x7800


class Malformed(ValueError):
    """Not a query that can be understood.  ``code`` is what to answer; -1: nothing."""

    def __init__(self, code: int = -1) -> None:
        super().__init__(code)
        self.code = code


class Query(Record):
    """One question.  ``name`` is lower-case text without the last dot, "" for the root; bytes that are not ASCII are
    written as \\ddd.  ``question`` is its part of the message; ``edns`` the datagram that the client takes, or 0."""

    id: int
    flags: int
    name: str
    type: int
    class_: int
    question: bytes
    edns: int

    @property
    def size(self) -> int:
        """The largest datagram to answer with."""
        return max(SMALL, min(self.edns, _MOST_EDNS))


def parse(message: bytes) -> Query:
    """The query in a message.  Raises `Malformed`."""
    if len(message) < HEADER:
        raise Malformed
    identity, flags, questions, answers, authorities, additional = unpack_from(">6H", message)
    if flags & _QR:
        raise Malformed
    if flags & _OPCODE:
        raise Malformed(NOTIMP)
    if questions != 1:
        raise Malformed(FORMERR)
    labels, end = _labels(message, HEADER)
    if end + 4 > len(message):
        raise Malformed(FORMERR)
    kind, class_ = unpack_from(">HH", message, end)
    question = message[HEADER : end + 4]
    edns = _edns(message, end + 4, answers + authorities + additional)
    return Query(identity, flags, _written(labels), kind, class_, question, edns)


def _labels(message: bytes, at: int) -> tuple[list[bytes], int]:
    """The labels of a name that is not compressed, and where it ends."""
    labels: list[bytes] = []
    start = at
    while True:
        if at >= len(message) or at - start >= _MOST_NAME:
            raise Malformed(FORMERR)
        size = message[at]
        if size == 0:
            return labels, at + 1
        if size > _MOST_LABEL or at + 1 + size >= len(message):
            raise Malformed(FORMERR)
        labels.append(message[at + 1 : at + 1 + size])
        at += 1 + size


def _written(labels: list[bytes]) -> str:
    plain = b".".join(labels)
    if plain.isascii() and plain.decode().isprintable() and plain.count(b".") == max(0, len(labels) - 1):
        return plain.decode().lower()
    return ".".join(["".join([_letter(byte) for byte in label]) for label in labels])


def _letter(byte: int) -> str:
    return chr(byte).lower() if 33 <= byte < 127 and byte not in b".\\" else f"\\{byte:03d}"


def _edns(message: bytes, at: int, count: int) -> int:
    """The size in the OPT record, 0 when there is none that can be found."""
    for _ in range(min(count, _MOST_RECORDS)):
        while at < len(message) and message[at]:
            if message[at] >= 0xC0:
                at += 1  # a pointer ends a name
                break
            at += 1 + message[at]
        at += 1
        if at + 10 > len(message):
            return 0
        kind, class_, _ttl, size = unpack_from(">HHIH", message, at)
        if kind == OPT:
            return int(class_)
        at += 10 + size
    return 0


def answer(query: Query, records: Sequence[bytes] = (), code: int = NOERROR, *, limit: int = LARGEST) -> bytes:
    """A response of our own; what is longer than ``limit`` is cut and says so."""
    flags = _QR | _RA | (query.flags & (_RD | _CD)) | code
    tail = b"\0" + pack(">HHIH", OPT, _MOST_EDNS, 0, 0) if query.edns else b""
    kept: list[bytes] = []
    room = limit - HEADER - len(query.question) - len(tail)
    for record in records:
        room -= len(record)
        if room < 0:
            flags |= _TC
            break
        kept.append(record)
    header = pack(">6H", query.id, flags, 1, len(kept), 0, 1 if tail else 0)
    return header + query.question + b"".join(kept) + tail


def refusal(message: bytes, code: int) -> bytes:
    """A response to a query that was not understood (at least a header long)."""
    identity, flags = unpack_from(">HH", message)
    return pack(">6H", identity, _QR | _RA | (flags & (_RD | _OPCODE)) | code, 0, 0, 0, 0)


def address_record(address: str, seconds: int) -> bytes:
    """The record that a name has this address; the name is the question's."""
    family, kind = (AF_INET6, AAAA) if ":" in address else (AF_INET, A)
    data = inet_pton(family, address)
    return pack(">HHHIH", 0xC000 | HEADER, kind, IN, seconds, len(data)) + data


def fits(name: str) -> bool:
    """Whether a name of ours can be in a record (RFC 1035, 2.3.4)."""
    return (
        len(name.encode()) < _MOST_NAME - 1 and max([len(label) for label in name.encode().split(b".")]) <= _MOST_LABEL
    )


def name_record(name: str, seconds: int) -> bytes:
    """The record that an address has this name (PTR), which `fits`."""
    data = b"".join([bytes((len(label),)) + label for label in name.encode().split(b".") if label]) + b"\0"
    return pack(">HHHIH", 0xC000 | HEADER, PTR, IN, seconds, len(data)) + data


def address_of(name: str) -> str:
    """The address that a name below in-addr.arpa or ip6.arpa stands for; "" for every other name."""
    if name.endswith(".in-addr.arpa"):
        parts = name[: -len(".in-addr.arpa")].split(".")
        if len(parts) == 4 and all(part.isascii() and part.isdigit() and len(part) < 4 for part in parts):
            numbers = [int(part) for part in parts]
            if max(numbers) < 256:
                return ".".join([str(number) for number in reversed(numbers)])
    if name.endswith(".ip6.arpa"):
        nibbles = name[: -len(".ip6.arpa")].split(".")
        if len(nibbles) == 32 and all(len(one) == 1 and one in "0123456789abcdef" for one in nibbles):
            return inet_ntop(AF_INET6, bytes.fromhex("".join(reversed(nibbles))))
    return ""


def with_id(message: bytes, identity: int) -> bytes:
    """The same message under another number."""
    return pack(">H", identity) + message[2:]


def answers(response: bytes, query: Query, identity: int) -> bool:
    """Whether a response is one to the query that was forwarded under this number."""
    if len(response) < HEADER:
        return False
    number, flags, questions = unpack_from(">3H", response)
    if number != identity or not flags & _QR:
        return False
    if questions == 0:  # some servers leave it out of an error
        return bool(flags & 0xF)
    end = HEADER + len(query.question)
    return questions == 1 and response[HEADER:end].lower() == query.question.lower()


def cut(response: bytes, query: Query) -> bytes:
    """A response that fits in the client's datagram, which asks for a stream when this one does not."""
    if len(response) <= query.size:
        return response
    (flags,) = unpack_from(">H", response, 2)
    return pack(">6H", query.id, flags | _TC, 1, 0, 0, 0) + query.question
