"""The expressions that rules of nf_tables consist of (linux/netfilter/nf_tables.h, ``enum nft_*_attributes``).

Each function gives the bytes of one expression.  Values travel in sixteen registers of four bytes; `register` n is the
n-th, and a value of 16 bytes takes four in a row.
"""

from __future__ import annotations

from _struct import pack

from wherry.linux.netlink import attribute, nested, text
from wherry.linux.nftables import IPV4, integer, verdict

NETWORK, TRANSPORT = 1, 2  # where a payload's offset counts from
IIFNAME, OIFNAME, NFPROTO, PROTOCOL, IIFKIND, OIFKIND = 6, 7, 15, 16, 26, 27  # keys of meta; PROTOCOL: transport's
ESTABLISHED_OR_RELATED = 2 | 4  # of conntrack's states
DESTINATION_CHANGED = 1 << 5  # of conntrack's status: IPS_DST_NAT
_STATE, _STATUS = 0, 2  # keys of ct
_LOCAL = 2  # RTN_LOCAL
_EQUAL, _NOT_EQUAL = 0, 1
_DESTINATION, _TYPE_OF_ADDRESS = 2, 3  # of fib: its flags and its result


def register(number: int) -> int:
    """The kernel's number of a register (NFT_REG32_00 …)."""
    return 8 + number


def _expression(name: str, data: bytes) -> bytes:
    return nested(1, text(1, name) + nested(2, data))


def meta(key: int, to: int = 0) -> bytes:
    """Load something known about the packet into a register."""
    return _expression("meta", integer(1, register(to)) + integer(2, key))


def payload(base: int, offset: int, length: int, to: int = 0) -> bytes:
    """Load bytes of the packet."""
    where = integer(2, base) + integer(3, offset) + integer(4, length)
    return _expression("payload", integer(1, register(to)) + where)


def compare(value: bytes, *, equal: bool = True, at: int = 0) -> bytes:
    """Go on with the rule when registers hold ``value``, or when they do not."""
    how = integer(2, _EQUAL if equal else _NOT_EQUAL)
    return _expression("cmp", integer(1, register(at)) + how + nested(3, attribute(1, value)))


def immediate(value: bytes, to: int = 0) -> bytes:
    """Load a constant."""
    return _expression("immediate", integer(1, register(to)) + nested(2, attribute(1, value)))


def masked(mask: bytes, at: int = 0) -> bytes:
    """Clear the bits that ``mask`` does not have."""
    both = integer(1, register(at)) + integer(2, register(at)) + integer(3, len(mask))
    return _expression("bitwise", both + nested(4, attribute(1, mask)) + nested(5, attribute(1, bytes(len(mask)))))


def lookup(name: str, to: int | None = None, at: int = 0) -> bytes:
    """Go on when a set has what registers hold; with ``to``, load the value that a map has for it."""
    data = text(1, name) + integer(2, register(at))
    return _expression("lookup", data + (integer(3, register(to)) if to is not None else b""))


def judge_by(name: str, at: int = 0) -> bytes:
    """Do what a map of verdicts says about what registers hold; go on with the next rule when it says nothing."""
    return _expression("lookup", text(1, name) + integer(2, register(at)) + integer(3, 0))


def judge(code: int, chain: str = "") -> bytes:
    """End the rule with a verdict."""
    return _expression("immediate", integer(1, 0) + nested(2, verdict(code, chain)))


def dnat(family: int, address: int, port: int) -> bytes:
    """Send the connection to the address and port in these registers."""
    where = integer(3, register(address)) + integer(5, register(port))
    return _expression("nat", integer(1, 1) + integer(2, family) + where + integer(7, 2))


def masquerade() -> bytes:
    """Give the connection the address of the interface that it leaves by."""
    return _expression("masq", b"")


def name_of(interface: str) -> bytes:
    """An interface's name as registers hold it."""
    return interface.encode().ljust(16, b"\0")


def iif(name: str, *, equal: bool = True) -> bytes:
    """Comes from the interface."""
    return meta(IIFNAME) + compare(name_of(name), equal=equal)


def oif(name: str, *, equal: bool = True) -> bytes:
    """Leaves by the interface."""
    return meta(OIFNAME) + compare(name_of(name), equal=equal)


def is_of(family: int) -> bytes:
    """Is IPv4 or IPv6."""
    return meta(NFPROTO) + compare(bytes((family,)))


def source(family: int, to: int = 0) -> bytes:
    """Load the source address."""
    return payload(NETWORK, 12, 4, to) if family == IPV4 else payload(NETWORK, 8, 16, to)


def destination(family: int, to: int = 0) -> bytes:
    """Load the destination address."""
    return payload(NETWORK, 16, 4, to) if family == IPV4 else payload(NETWORK, 24, 16, to)


def to_local() -> bytes:
    """Its destination is an address of this host."""
    what = integer(2, _TYPE_OF_ADDRESS) + integer(3, _DESTINATION)
    return _expression("fib", integer(1, register(0)) + what) + compare(pack("=I", _LOCAL))


def state(bits: int) -> bytes:
    """Its connection's state is one of these."""
    return _connection(_STATE, bits)


def status(bits: int) -> bytes:
    """Its connection has one of these status bits."""
    return _connection(_STATUS, bits)


def _connection(key: int, bits: int) -> bytes:
    load = _expression("ct", integer(1, register(0)) + integer(2, key))
    return load + masked(pack("=I", bits)) + compare(bytes(4), equal=False)
