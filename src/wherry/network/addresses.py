"""Arithmetic of subnets and addresses, and the choice of ones that are free.  Pure.

Addresses are text ("172.17.0.2"); ``ipaddress`` would cost 5 ms of every `run`.
"""

from __future__ import annotations

import _socket

from wherry.errors import InvalidArgument, StorageFull
from wherry.network.model import Subnet
from wherry.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


class Pool(Record):
    """``base`` is divided into subnets with prefixes of ``size`` bits."""

    base: str
    size: int


DEFAULT_POOLS = (
    Pool("172.17.0.0/16", 16),
    Pool("172.18.0.0/16", 16),
    Pool("172.19.0.0/16", 16),
    Pool("172.20.0.0/14", 16),
    Pool("172.24.0.0/14", 16),
    Pool("172.28.0.0/14", 16),
    Pool("192.168.0.0/16", 20),
)
"""Docker's own (``default-address-pools`` in dockerd(8))."""


class Range:
    """The addresses from ``first`` to ``last``, as numbers of 32 or 128 ``bits``."""

    __slots__ = ("bits", "first", "last", "prefix")

    def __init__(self, text: str) -> None:
        """Raises `InvalidArgument` for what is not "address/prefix"."""
        host, slash, prefix = text.partition("/")
        packed = _packed(host) if slash else b""
        self.bits = len(packed) * 8
        if not slash or not prefix.isascii() or not prefix.isdigit() or int(prefix) > self.bits:
            raise InvalidArgument(f"invalid CIDR address: {text}", hint="write for example 172.30.0.0/16")
        self.prefix = int(prefix)
        mask = (1 << self.bits - self.prefix) - 1
        self.first = int.from_bytes(packed, "big") & ~mask
        self.last = self.first | mask

    @property
    def text(self) -> str:
        """The range with its first address, as "172.17.0.0/16"."""
        return f"{to_text(self.first, self.bits)}/{self.prefix}"

    def overlaps(self, other: Range) -> bool:
        """Whether they have an address in common."""
        return self.bits == other.bits and self.first <= other.last and other.first <= self.last

    def holds(self, address: str) -> bool:
        """Whether it has this address.  Raises `InvalidArgument` for what is none."""
        packed = _packed(address)
        return len(packed) * 8 == self.bits and self.first <= int.from_bytes(packed, "big") <= self.last

    def within(self, other: Range) -> bool:
        """Whether ``other`` has all of it."""
        return self.bits == other.bits and other.first <= self.first and self.last <= other.last


def _packed(address: str) -> bytes:
    try:
        return _socket.inet_pton(_socket.AF_INET6 if ":" in address else _socket.AF_INET, address)
    except (OSError, ValueError):
        raise InvalidArgument(f"invalid IP address: {address}") from None


def to_text(number: int, bits: int) -> str:
    """The address with this number."""
    family = _socket.AF_INET if bits == 32 else _socket.AF_INET6
    return _socket.inet_ntop(family, number.to_bytes(bits // 8, "big"))


def normal(address: str) -> str:
    """The same address in the one form that the kernel writes.  Raises `InvalidArgument` for what is none."""
    packed = _packed(address)
    return to_text(int.from_bytes(packed, "big"), len(packed) * 8)


def first_host(subnet: str) -> str:
    """The first address that an interface may have; the gateway where none was asked for."""
    found = Range(subnet)
    return to_text(found.first + (found.prefix < found.bits - 1), found.bits)


def free_subnet(pools: Iterable[Pool], taken: Iterable[str]) -> str:
    """The first subnet of the pools that overlaps nothing in ``taken``.  Raises `StorageFull` in Docker's words."""
    ranges = [Range(text) for text in taken]
    for pool in pools:
        for candidate in _divided(pool):
            overlapping = Range(candidate)
            if not any(overlapping.overlaps(one) for one in ranges):
                return candidate
    raise StorageFull(
        "all predefined address pools have been fully subnetted",
        hint="remove networks that nobody uses (wherry network prune), or add pools in networks.toml",
    )


def _divided(pool: Pool) -> Iterator[str]:
    base = Range(pool.base)
    step = 1 << base.bits - pool.size
    for first in range(base.first, base.last + 1, step):
        yield f"{to_text(first, base.bits)}/{pool.size}"


def private_ipv6(identity: str) -> str:
    """A subnet of unique local addresses (RFC 4193) for the network with this id of hexadecimal digits."""
    return Range(f"fd{identity[:2]}:{identity[2:6]}:{identity[6:10]}:{identity[10:14]}::/64").text


def free_address(subnet: Subnet, taken: Iterable[str], wanted: str = "") -> str:
    """``wanted``, or the lowest address of the subnet that is free, without prefix.

    Neither the network's own addresses nor ``taken`` ones are given.  Raises `InvalidArgument` when the wanted one is
    of another subnet or in use, `StorageFull` when none is left.
    """
    whole = Range(subnet.subnet)
    used = {subnet.gateway, *[address for _name, address in subnet.aux_addresses], *taken}
    if wanted:
        if not whole.holds(wanted):
            raise InvalidArgument(
                f"invalid address {wanted}: it is not in the subnet {subnet.subnet}",
                hint="the address must be one of the network's own, which `wherry network inspect` shows",
            )
        if wanted in used or not _usable(whole, wanted):
            raise InvalidArgument("Address already in use", hint=f"{wanted} is taken")
        return wanted
    part = Range(subnet.ip_range) if subnet.ip_range else whole
    for number in range(part.first, part.last + 1):
        candidate = to_text(number, whole.bits)
        if candidate not in used and _usable(whole, candidate):
            return candidate
    raise StorageFull("no available IPv4 addresses on this network's address pools" if whole.bits == 32
                      else "no available IPv6 addresses on this network's address pools")  # fmt: skip


def _usable(whole: Range, address: str) -> bool:
    """Whether it is neither the subnet's own name nor its broadcast address."""
    if whole.prefix >= whole.bits - 1:
        return True
    number = int.from_bytes(_packed(address), "big")
    return number != whole.first and (whole.bits == 128 or number != whole.last)


def mac_of(ipv4: str) -> str:
    """The hardware address that goes with an IPv4 address: who has the address next has it too, so no neighbour of the
    old one is misled.  Random, locally administered, without one."""
    if not ipv4:
        import os

        return "02:42:" + os.urandom(4).hex(":")
    return "02:42:" + _packed(ipv4).hex(":")
