"""Questions to name servers."""

from __future__ import annotations

import struct

from wherry.network import dns


def question(name: bytes, kind: int = dns.A, *, edns: int = 0, identity: int = 7) -> bytes:
    """A query as resolvers send it."""
    labels = b"".join(bytes((len(label),)) + label for label in name.split(b".") if label)
    tail = b"\0" + struct.pack(">HHIH", dns.OPT, edns, 0, 0) if edns else b""
    header = struct.pack(">6H", identity, 0x0100, 1, 0, 0, 1 if edns else 0)
    return header + labels + b"\0" + struct.pack(">HH", kind, dns.IN) + tail
