"""PAX extended header records (POSIX.1-2017 pax, "pax Extended Header"; star's and libarchive's attributes)."""

from __future__ import annotations

import base64
import binascii
import urllib.parse

from wherry.errors import Corrupt

#: Records of a global header that say something about one file only; ignored there, as Go's reader does.
_NOT_GLOBAL = ("path", "linkpath", "size")
_STAR = b"SCHILY.xattr."
_LIBARCHIVE = b"LIBARCHIVE.xattr."


class Pax:
    """The records of one header.  ``text`` has the plain ones, ``xattrs`` extended attributes by name, ``sparse`` the
    (offset, size) list of the sparse format 0.0."""

    __slots__ = ("sparse", "text", "xattrs")

    def __init__(self) -> None:
        self.text: dict[str, bytes] = {}
        self.xattrs: dict[str, bytes] = {}
        self.sparse: list[int] = []

    def over(self, below: Pax | None) -> Pax:
        """These records where they say something, ``below``'s elsewhere."""
        if below is None:
            return self
        merged = Pax()
        merged.text = below.text | self.text
        merged.xattrs = below.xattrs | self.xattrs
        merged.sparse = self.sparse
        return merged

    def for_all(self) -> Pax:
        """Without what cannot hold for more than one file."""
        kept = Pax()
        kept.text = {
            key: value for key, value in self.text.items() if key not in _NOT_GLOBAL and not key.startswith("GNU.")
        }
        kept.xattrs = self.xattrs
        return kept


def parse(data: bytes) -> Pax:
    """The records in ``data``.  Raises `Corrupt` for anything that is not exactly records."""
    pax = Pax()
    position, end = 0, len(data)
    while position < end:
        if not data[position:].strip(b"\0"):
            break  # some writers pad the last block inside the stated size
        space = data.find(b" ", position, position + 20)
        digits = data[position:space] if space > 0 else b""
        if not digits.isdigit():
            raise Corrupt("layer has a damaged PAX header: a record does not begin with its length")
        stop = position + int(digits)
        if stop > end or stop <= space + 2 or data[stop - 1] != 0x0A:
            raise Corrupt("layer has a damaged PAX header: a record's length is wrong")
        key, equals, value = data[space + 1 : stop - 1].partition(b"=")
        if not equals or not key or b"\0" in key:
            raise Corrupt("layer has a damaged PAX header: a record has no name")
        _record(pax, key, value)
        position = stop
    if len(pax.sparse) % 2:
        raise Corrupt("layer has a damaged sparse file: an offset without a size")
    return pax


def _record(pax: Pax, key: bytes, value: bytes) -> None:
    if key.startswith(_STAR):
        pax.xattrs[_name(key[len(_STAR) :])] = value
    elif key.startswith(_LIBARCHIVE):
        name = _name(urllib.parse.unquote_to_bytes(key[len(_LIBARCHIVE) :]))
        try:
            pax.xattrs.setdefault(name, base64.b64decode(value + b"=" * (-len(value) % 4), validate=True))
        except binascii.Error:
            raise Corrupt("layer has a damaged PAX header: an extended attribute is not base64") from None
    elif key in (b"GNU.sparse.offset", b"GNU.sparse.numbytes"):
        if (key == b"GNU.sparse.offset") != (len(pax.sparse) % 2 == 0):
            raise Corrupt("layer has a damaged sparse file: an offset without a size")
        pax.sparse.append(number(value))
    else:
        name = key.decode("utf-8", "surrogateescape")
        if b"\0" in value and name in ("path", "linkpath", "GNU.sparse.name"):
            raise Corrupt("layer has a damaged PAX header: a name contains a zero byte")
        pax.text[name] = value


def _name(raw: bytes) -> str:
    if not raw or b"\0" in raw or len(raw) > 255:
        raise Corrupt("layer has a damaged PAX header: an extended attribute's name is not valid")
    return raw.decode("utf-8", "surrogateescape")


def number(value: bytes) -> int:
    """A decimal number that is not negative and fits 63 bits.  Raises `Corrupt`."""
    if not value.isdigit() or len(value) > 19:
        raise Corrupt(f"layer has a damaged PAX header: {value[:30]!r} is not a number")
    return int(value)


def nanoseconds(value: bytes) -> int:
    """A PAX time, seconds with an optional fraction and sign, in nanoseconds.  Raises `Corrupt`."""
    negative = value.startswith(b"-")
    whole, _, fraction = value.removeprefix(b"-").partition(b".")
    if not whole.isdigit() or len(whole) > 19 or (fraction and not fraction.isdigit()):
        raise Corrupt(f"layer has a damaged PAX header: {value[:30]!r} is not a time")
    total = int(whole) * 1_000_000_000 + int(fraction[:9].ljust(9, b"0"))
    return -total if negative else total
