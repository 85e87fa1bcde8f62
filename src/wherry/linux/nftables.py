"""nf_tables by netlink: transactions of tables, chains, sets, elements and rules (linux/netfilter/nf_tables.h).

A `Batch` is one transaction: all of it becomes true at one instant, or nothing does.  Rules are sequences of the
expressions of `wherry.linux.nftables_rules`.  Names are the kernel's, at most 255 bytes; interfaces' at most 15.
"""

from __future__ import annotations

import _socket
import os
from _struct import pack, unpack_from
from errno import ENOENT
from sys import byteorder

from wherry.errors import SystemFailure
from wherry.linux.netlink import (
    ACK,
    APPEND,
    CREATE,
    EXCLUSIVE,
    REQUEST,
    Message,
    NetlinkFailure,
    Socket,
    attribute,
    attributes,
    each,
    nested,
    open_socket,
    string,
    text,
)
from wherry.linux.syscall import fill_scratch
from wherry.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

INET, IPV4, IPV6 = 1, 2, 10  # families of tables: NFPROTO_*
PREROUTING, LOCAL_IN, FORWARD, LOCAL_OUT, POSTROUTING = range(5)  # hooks
RAW, DSTNAT, FILTER, SRCNAT = -300, -100, 0, 100  # priorities
DROP, ACCEPT, JUMP, GOTO, RETURN = 0, 1, -3, -4, -5  # verdicts

#: Types of keys and values: nft(8)'s number, bytes alone, bytes in a concatenation.
IPV4_ADDR, IPV6_ADDR = (7, 4, 4), (8, 16, 16)
INET_PROTO, INET_SERVICE, IFNAME = (12, 1, 4), (13, 2, 4), (41, 16, 16)
VERDICT = (0xFFFFFF00, 0, 0)

_NETFILTER = 12
_NEWTABLE, _DELTABLE, _NEWCHAIN, _GETCHAIN, _DELCHAIN = 0, 2, 3, 4, 5
_NEWRULE, _DELRULE, _NEWSET, _DELSET, _NEWSETELEM, _GETSETELEM, _DELSETELEM = 6, 8, 9, 11, 12, 13, 14
_SUBSYSTEM = 10 << 8
_BATCH_BEGIN, _BATCH_END = 16, 17
_RESOURCE = 0x0A00 if byteorder == "little" else 0x000A  # nf_tables', most significant byte first
_MOST_ELEMENTS = 300  # in one message: an attribute has at most 65,535 bytes
_SO_ATTACH_FILTER, _GROUPS = 26, 1 << 6  # the group NFNLGRP_NFTABLES alone
_BPF_LOAD_WORD, _BPF_LOAD_WORD_AT, _BPF_LOAD_HALF_AT, _BPF_LOAD_BYTE_AT = 0x20, 0x40, 0x48, 0x50  # linux/filter.h
_BPF_LOAD_X, _BPF_TO_X, _BPF_TO_X_NUMBER, _BPF_STORE, _BPF_JUMP_EQUAL, _BPF_RETURN = 0x61, 0x07, 0x01, 0x02, 0x15, 0x06
_BPF_ADD_X, _BPF_AND, _BPF_SHIFT_LEFT = 0x0C, 0x54, 0x64
_NAME_AT, _ALL, _MOST_STEPS = 24, 0xFFFFFFFF, 256
_PORT_TRIES = 3
_PORT = 0x5748 << 16  # of our own sockets, which change rules; no process has such an id, which ports usually are
_INTERVAL, _MAP = 4, 8
_INTERVAL_END = 1
_HOST_ORDER = pack("=BBI", 0, 4, 1)  # for nft(8): keys are in the host's order of bytes (libnftnl's udata)


class Element(Record):
    """An element of a set or map.  ``end``: where an interval ends, the first key that is not in it."""

    key: bytes
    value: bytes = b""
    chain: str = ""  # in a map of verdicts: the chain to jump to
    end: bool = False


class Chain(Record):
    """A base chain, as `Batch.base_chain` adds it and `base_chains` lists it; ``family`` is its table's."""

    family: int
    table: str
    name: str
    kind: str  # "filter", "nat", "route"
    hook: int
    priority: int
    policy: int = ACCEPT


def integer(kind: int, value: int) -> bytes:
    """32 bits, the most significant byte first, as nf_tables has them."""
    return attribute(kind, pack(">I", value & 0xFFFFFFFF))


def verdict(code: int, chain: str = "") -> bytes:
    """What becomes of a packet, as data of a rule or of an element (NFTA_DATA_VERDICT)."""
    return nested(2, integer(1, code) + (text(2, chain) if chain else b""))


class Batch:
    """One transaction on the table ``table``; ``len`` is how many changes it has.

    Adding a table or a chain that exists changes nothing, adding a set too; adding an element that is there is EEXIST
    (with ``exclusive``) and deleting what is not there ENOENT, each for the transaction as a whole.
    """

    def __init__(self, table: str, family: int = INET) -> None:
        self._family = family
        self._name = text(1, table)
        self._messages: list[tuple[int, int, bytes]] = []
        self._sets = 0

    def __len__(self) -> int:
        return len(self._messages)

    def _add(self, kind: int, flags: int, body: bytes) -> None:
        self._messages.append((_SUBSYSTEM | kind, flags, body))

    def add_table(self) -> None:
        """The table itself."""
        self._add(_NEWTABLE, CREATE, self._name + integer(2, 0))

    def delete_table(self) -> None:
        """The table and everything in it."""
        self._add(_DELTABLE, 0, self._name)

    def add_chain(self, name: str) -> None:
        """A chain to jump to."""
        self._add(_NEWCHAIN, CREATE, self._name + text(3, name))

    def base_chain(self, name: str, kind: str, hook: int, priority: int) -> None:
        """A chain that packets come to; what it does not decide is accepted."""
        place = nested(4, integer(1, hook) + integer(2, priority))
        self._add(_NEWCHAIN, CREATE, self._name + text(3, name) + place + integer(5, ACCEPT) + text(7, kind))

    def flush_chain(self, name: str) -> None:
        """Delete the rules of a chain."""
        self._add(_DELRULE, 0, self._name + text(2, name))

    def delete_chain(self, name: str) -> None:
        """A chain that nothing refers to any more, with its rules."""
        self._add(_DELCHAIN, 0, self._name + text(3, name))

    def add_rule(self, chain: str, *expressions: bytes) -> None:
        """A rule at the end of a chain."""
        self._add(_NEWRULE, CREATE | APPEND, self._name + text(2, chain) + nested(4, b"".join(expressions)))

    def add_set(self, name: str, key: Sequence[tuple[int, int, int]], *, interval: bool = False) -> None:
        """A set of keys; several types are a concatenation."""
        self._add_set(name, key, b"", _INTERVAL * interval)

    def add_map(
        self,
        name: str,
        key: Sequence[tuple[int, int, int]],
        value: Sequence[tuple[int, int, int]],
        *,
        interval: bool = False,
    ) -> None:
        """A map from keys to values, or to verdicts (``[VERDICT]``)."""
        kind, size = _type(value)
        data = integer(6, kind) + (integer(7, size) if size else b"")
        self._add_set(name, key, data, _MAP | _INTERVAL * interval)

    def _add_set(self, name: str, key: Sequence[tuple[int, int, int]], data: bytes, flags: int) -> None:
        self._sets += 1
        kind, size = _type(key)
        body = self._name + text(2, name) + integer(3, flags) + integer(4, kind) + integer(5, size) + data
        order = attribute(13, _HOST_ORDER) if IFNAME in key else b""
        self._add(_NEWSET, CREATE, body + integer(10, self._sets) + order)

    def add_elements(self, name: str, elements: Sequence[Element], *, exclusive: bool = False) -> None:
        """Elements of a set or map."""
        for part in _parts(elements):
            body = self._name + text(2, name) + nested(3, b"".join([_element(one) for one in part]))
            self._add(_NEWSETELEM, CREATE | EXCLUSIVE * exclusive, body)

    def delete_elements(self, name: str, elements: Sequence[Element]) -> None:
        """Elements of a set or map, found by their keys."""
        for part in _parts(elements):
            keys = [_element(Element(one.key, end=one.end)) for one in part]
            self._add(_DELSETELEM, 0, self._name + text(2, name) + nested(3, b"".join(keys)))

    def encode(self, sequence: int = 0) -> bytes:
        """The messages of the transaction, numbered from ``sequence``; the kernel acknowledges the last change."""
        edge = pack("=BBH", 0, 0, _RESOURCE)
        out = [_message(_BATCH_BEGIN, REQUEST, sequence, edge)]
        last = len(self._messages)
        for number, (kind, flags, body) in enumerate(self._messages, 1):
            ask = REQUEST | flags | (ACK if number == last else 0)
            out.append(_message(kind, ask, sequence + number, _family(self._family) + body))
        out.append(_message(_BATCH_END, REQUEST, sequence + last + 1, edge))
        return b"".join(out)


def _type(types: Sequence[tuple[int, int, int]]) -> tuple[int, int]:
    if len(types) == 1:
        return types[0][0], types[0][1]
    kind = 0
    for one in types:
        kind = kind << 6 | one[0]
    return kind, sum([one[2] for one in types])


def _parts(elements: Sequence[Element]) -> list[Sequence[Element]]:
    return [elements[at : at + _MOST_ELEMENTS] for at in range(0, len(elements), _MOST_ELEMENTS)]


def _element(element: Element) -> bytes:
    body = nested(1, attribute(1, element.key))
    if element.chain:
        body += nested(2, verdict(JUMP, element.chain))
    elif element.value:
        body += nested(2, attribute(1, element.value))
    if element.end:
        body += integer(3, _INTERVAL_END)
    return nested(1, body)


def _message(kind: int, flags: int, sequence: int, body: bytes) -> bytes:
    return pack("=IHHII", 16 + len(body), kind, flags, sequence, 0) + body


def _family(family: int) -> bytes:
    return pack("=BBH", family, 0, 0)


class Connection(Socket):
    """``with Connection() as nft:`` a netlink socket, of the network namespace that the thread is in.

    Raises `SystemFailure` where the kernel has no netfilter netlink (EPROTONOSUPPORT), and `NetlinkFailure` for what it
    refuses: EPERM without CAP_NET_ADMIN; EOPNOTSUPP, EINVAL or ENOENT for what it does not have.
    """

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__(_NETFILTER)
        for _ in range(_PORT_TRIES):
            try:
                self._socket.bind((_PORT | int.from_bytes(os.urandom(2), "big"), 0))
                return
            except OSError:
                continue  # somebody has this one; in the end the kernel chooses, and others look at what we change

    def commit(self, batch: Batch) -> None:
        """Carry out a transaction; an empty one is nothing.  Raises `NetlinkFailure` with its first error."""
        if len(batch):
            self.send_batch(batch.encode, len(batch), "change the rules of the firewall")

    def chain_use(self, table: str, chain: str, family: int = INET) -> int:
        """How many rules and references a chain has; -1 when there is no such chain (or table)."""
        body = _family(family) + text(1, table) + text(3, chain)
        found = self.get(Message(_SUBSYSTEM | _GETCHAIN, 0, body, "look for a chain of the firewall"))
        return -1 if found is None else int(unpack_from(">I", attributes(found, 4)[6])[0])

    def base_chains(self) -> list[Chain]:
        """The base chains of all tables of all families."""
        found = []
        for body in self.dump(Message(_SUBSYSTEM | _GETCHAIN, 0, _family(0), "list the chains of the firewall")):
            values = attributes(body, 4)
            if 4 not in values:
                continue
            place = attributes(values[4])
            (hook,), (priority,) = unpack_from(">I", place[1]), unpack_from(">i", place[2])
            policy = unpack_from(">I", values[5])[0] if 5 in values else ACCEPT
            names = string(values[1]), string(values[3]), string(values.get(7, b""))
            found.append(Chain(body[0], *names, hook, priority, policy))
        return found

    def elements(self, table: str, name: str, family: int = INET) -> list[Element]:
        """The elements of a set or map; none when it is not there."""
        body = _family(family) + text(1, table) + text(2, name)
        try:
            parts = self.dump(Message(_SUBSYSTEM | _GETSETELEM, 0, body, f"list {name} of the firewall"))
        except NetlinkFailure as error:
            if error.errno != ENOENT:
                raise
            return []
        return [_parse_element(data) for part in parts for data in each(attributes(part, 4).get(3, b""))]


def _parse_element(data: bytes) -> Element:
    values = attributes(data)
    value = attributes(values.get(2, b""))
    chain = attributes(value[2]).get(2, b"") if 2 in value else b""
    flags = unpack_from(">I", values[3])[0] if 3 in values else 0
    key = attributes(values.get(1, b"")).get(1, b"")
    return Element(key, value.get(1, b""), string(chain), bool(flags & _INTERVAL_END))


def deletions(table: str) -> _socket.socket:
    """A socket that becomes readable when somebody else than us deletes this table, or chains, rules or sets in it; it
    does not block.

    The kernel tells of a transaction in messages, one after another in one packet or several, each of which begins with
    its table's name.  A filter (bpf, in socket(7)) looks at as many of a packet's as it has room for, and lets the
    packet through if there are more.
    """
    try:
        kind = _socket.SOCK_RAW | _socket.SOCK_CLOEXEC | _socket.SOCK_NONBLOCK
        socket = open_socket(_socket.AF_NETLINK, kind, _NETFILTER)
    except OSError as error:
        raise SystemFailure("watch the rules of the firewall", "socket", error.errno or 0) from None
    try:
        program = _filter(table)
        address = fill_scratch(program)
        socket.setsockopt(_socket.SOL_SOCKET, _SO_ATTACH_FILTER, pack("@HP", len(program) // 8, address))
        socket.bind((0, _GROUPS))
    except OSError as error:
        socket.close()
        raise SystemFailure("watch the rules of the firewall", "setsockopt", error.errno or 0) from None
    return socket


def _filter(table: str) -> bytes:
    """The program (linux/filter.h).  X is where a message begins; a load from beyond the packet ends it with 0.

    Loads are most significant byte first, the kernel's numbers in messages in the host's order.
    """
    low, high = (0, 1) if byteorder == "little" else (3, 2)  # the bytes of a message's length
    name = table.encode() + b"\0"
    name += bytes(-len(name) % 4)
    tests: list[tuple[int, int, int]] = []  # what is loaded, from where, and what it is to be
    for at in range(0, len(name), 4):
        tests.append((_BPF_LOAD_WORD_AT, _NAME_AT + at, int.from_bytes(name[at : at + 4], "big")))
    go_on = 2 * len(tests) + 1
    steps = [(_BPF_LOAD_HALF_AT, 0, 0, 4)]  # the type
    kinds = [_SUBSYSTEM | kind for kind in (_DELTABLE, _DELCHAIN, _DELRULE, _DELSET)]
    for left, kind in zip((3, 2, 1, 0), kinds, strict=True):
        steps.append((_BPF_JUMP_EQUAL, left, 0 if left else go_on, _as_loaded("=H", kind)))
    for left, (load, at, value) in enumerate(tests):
        steps += [(load, 0, 0, at), (_BPF_JUMP_EQUAL, 0, go_on - 2 * left - 2, value)]
    steps += [
        (_BPF_RETURN, 0, 0, _ALL),
        (_BPF_LOAD_BYTE_AT, 0, 0, high),  # the next message: X += length
        (_BPF_SHIFT_LEFT, 0, 0, 8),
        (_BPF_ADD_X, 0, 0, 0),
        (_BPF_STORE, 0, 0, 0),
        (_BPF_LOAD_BYTE_AT, 0, 0, low),
        (_BPF_LOAD_X, 0, 0, 0),
        (_BPF_ADD_X, 0, 0, 0),
        (_BPF_TO_X, 0, 0, 0),
    ]
    first = [
        (_BPF_LOAD_WORD, 0, 0, 12),  # whose transaction it is
        (_BPF_AND, 0, 0, _as_loaded("=I", 0xFFFF << 16)),
        (_BPF_JUMP_EQUAL, 0, 1, _as_loaded("=I", _PORT)),
        (_BPF_RETURN, 0, 0, 0),
        (_BPF_TO_X_NUMBER, 0, 0, 0),
    ]
    count = (_MOST_STEPS - len(first) - 1) // len(steps)
    return _packed(first) + _packed(steps) * count + _packed([(_BPF_RETURN, 0, 0, _ALL)])


def _packed(steps: list[tuple[int, int, int, int]]) -> bytes:
    return b"".join([pack("=HBBI", *step) for step in steps])


def _as_loaded(form: str, number: int) -> int:
    return int.from_bytes(pack(form, number), "big")


def drain(socket: _socket.socket) -> None:
    """Read what has come."""
    while True:
        try:
            if not socket.recv(1 << 16):
                return
        except BlockingIOError:
            return
        except OSError:  # ENOBUFS: some of it was lost, and does not matter
            continue
