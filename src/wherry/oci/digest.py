"""Content digests: ``sha256:<64 hex>`` or ``sha512:<128 hex>`` (OCI image spec, descriptor.md#digests).

A digest becomes a file name and part of a URL, so nothing that is not exactly of this form passes `parse`.
"""

from __future__ import annotations

from wherry.errors import InvalidArgument

TYPE_CHECKING = False
if TYPE_CHECKING:
    from hashlib import _Hash

_LENGTHS = {"sha256": 64, "sha512": 128}
_HEX = frozenset("0123456789abcdef")


def is_digest(text: object) -> bool:
    """Whether ``text`` is a digest that `parse` would accept."""
    if not isinstance(text, str):
        return False
    algorithm, colon, encoded = text.partition(":")
    return bool(colon) and _LENGTHS.get(algorithm) == len(encoded) and _HEX.issuperset(encoded)


def parse(text: object) -> str:
    """``text`` unchanged when it is a digest of a supported algorithm.  Raises `InvalidArgument` otherwise."""
    if isinstance(text, str) and is_digest(text):
        return text
    shown = text[:140] if isinstance(text, str) else type(text).__name__
    if isinstance(text, str):
        algorithm, colon, encoded = text.partition(":")
        if colon and algorithm.isalnum() and algorithm not in _LENGTHS:
            raise InvalidArgument(f"unsupported digest algorithm: {shown!r}")
        if algorithm in _LENGTHS and len(encoded) != _LENGTHS[algorithm]:
            raise InvalidArgument(f"invalid checksum digest length: {shown!r}")
    raise InvalidArgument(f"invalid checksum digest format: {shown!r}")


def is_hex(text: str) -> bool:
    """Whether ``text`` is not empty and all lower-case hexadecimal, as ids and their prefixes are."""
    return bool(text) and _HEX.issuperset(text)


def algorithm(digest: str) -> str:
    """``sha256`` of ``sha256:…``."""
    return digest.partition(":")[0]


def hex_part(digest: str) -> str:
    """What follows the algorithm; a valid file name when ``digest`` came from `parse`."""
    return digest.partition(":")[2]


def hasher(digest: str) -> _Hash:
    """A fresh hash object of the digest's algorithm."""
    import hashlib

    return hashlib.new(algorithm(digest), usedforsecurity=True)


def of(data: bytes) -> str:
    """The sha256 digest of ``data``."""
    import hashlib

    return "sha256:" + hashlib.sha256(data).hexdigest()
