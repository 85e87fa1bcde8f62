"""Where a registry may send us.

A registry answers with addresses of its own choice: a token server (``realm``), a redirect, the ``urls`` of a foreign
layer.  One that lives in the internet has no business with this machine's loopback or with the metadata service of
the cloud that it runs in (CVE-2026-48978, CVE-2026-33540), so every address is looked at when the socket is
connected, after the name was resolved.
"""

from __future__ import annotations

import ipaddress

from wherry.record import Record

_METADATA = frozenset(("fd00:ec2::254", "100.100.100.200", "168.63.129.16", "192.0.0.192"))
_NAT64 = ipaddress.ip_network("64:ff9b::/96")

GLOBAL, PRIVATE, LOOPBACK, LOCAL = "global", "private", "loopback", "link-local"


def kind(address: str) -> str:
    """``global``, ``private``, ``loopback`` or ``link-local`` (with metadata services, multicast and the like)."""
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return GLOBAL
    if isinstance(ip, ipaddress.IPv6Address):
        inner = ip.ipv4_mapped or ip.sixtofour or (ip.teredo[1] if ip.teredo else None)
        if ip in _NAT64:
            inner = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
        if inner is not None:
            return kind(str(inner))
    if ip.is_link_local or ip.is_multicast or str(ip) in _METADATA:
        return LOCAL
    if ip.is_loopback or ip.is_unspecified:
        return LOOPBACK
    return GLOBAL if ip.is_global else PRIVATE


def literal(host: str) -> str:
    """The address that ``host`` (no port) spells out, ``localhost`` included; empty for any other name."""
    bare = host.strip("[]").rstrip(".").lower()
    if bare == "localhost" or bare.endswith(".localhost"):
        return "127.0.0.1"
    try:
        return str(ipaddress.ip_address(bare.partition("%")[0]))
    except ValueError:
        pass
    if bare and all(part[:1].isdigit() for part in bare.split(".")):  # 127.1, 0x7f.1, 2130706433: as inet_aton reads it
        import socket

        try:
            return socket.inet_ntoa(socket.inet_aton(bare))
        except OSError:
            return ""
    return ""


def is_loopback(host: str) -> bool:
    """Whether ``host`` (no port) is ``localhost`` or an address of 127.0.0.0/8 or ::1 (no name is looked up)."""
    bare = host.strip("[]").lower()
    if bare == "localhost":
        return True
    try:
        return ipaddress.ip_address(bare).is_loopback
    except ValueError:
        return False


class Guard(Record):
    """What one registry may send us to.  ``origin`` is the `kind` of the registry's own address."""

    origin: str = GLOBAL

    def allows(self, host: str, address: str) -> bool:
        """Whether a connection to ``address``, found for ``host``, may be made."""
        found = kind(address)
        if found == LOCAL:
            return self.origin == LOCAL
        if found == LOOPBACK:
            return self.origin in (LOOPBACK, LOCAL)
        if found == PRIVATE and self.origin == GLOBAL:
            return not literal(host)  # a name of a private address is common inside companies; a bare number is not
        return True
