"""The trusted certificates, as update-ca-certificates(8) leaves them: a bundle, and links named by subject.

OpenSSL finds an issuer in a directory by a hash of its name (openssl-rehash(1)): SHA-1 over the name in its canonical
form, in which text is UTF-8, lower case where it is ASCII, and without needless blanks (X509_NAME_hash, x_name.c).
"""

from __future__ import annotations

import base64
import hashlib
import re

from wherry.errors import Corrupt

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

_PEM = re.compile(rb"-----BEGIN CERTIFICATE-----(.*?)-----END CERTIFICATE-----", re.DOTALL)
_BUNDLE = "etc/ssl/certs/ca-certificates.crt"
_SEQUENCE, _SET, _UTF8 = 0x30, 0x31, 0x0C
_TEXT = {0x0C: "utf-8", 0x13: "ascii", 0x14: "latin-1", 0x16: "ascii", 0x1A: "ascii", 0x1C: "utf-32-be",
         0x1E: "utf-16-be"}  # fmt: skip
_BLANKS = " \t\n\v\f\r"


def files(certificates: Mapping[str, bytes]) -> tuple[dict[str, bytes], dict[str, str]]:
    """The files and the links (path → target) for certificates in PEM, by their path ("usr/share/ca-certificates/…").

    Raises `Corrupt` for what is no certificate.
    """
    links: dict[str, str] = {}
    bundle = []
    numbers: dict[str, int] = {}
    for path in sorted(certificates):
        match = _PEM.search(certificates[path])
        if match is None:
            raise Corrupt(f"/{path} is no certificate")
        bundle.append(certificates[path] if certificates[path].endswith(b"\n") else certificates[path] + b"\n")
        name = path.rpartition("/")[2].removesuffix(".crt").replace(" ", "_").replace(",", "_").replace("(", "=")
        name = name.replace(")", "=") + ".pem"
        links[f"etc/ssl/certs/{name}"] = f"/{path}"
        try:
            number = subject_hash(base64.b64decode(match[1]))
        except (ValueError, IndexError):
            raise Corrupt(f"/{path} is no certificate") from None
        count = numbers.get(number, 0)
        numbers[number] = count + 1
        links[f"etc/ssl/certs/{number}.{count}"] = name
    return {_BUNDLE: b"".join(bundle)}, links


def subject_hash(certificate: bytes) -> str:
    """The hash of the subject of a certificate in DER, eight hexadecimal digits.  Raises ValueError, IndexError."""
    _tag, body, _rest = _read(_read(certificate)[1])  # the part that is signed
    if body[0] == 0xA0:  # the version
        body = _read(body)[2]
    for _ in range(4):  # serial number, algorithm, issuer, validity
        body = _read(body)[2]
    tag, subject, _rest = _read(body)
    if tag != _SEQUENCE:
        raise ValueError("no subject")
    canonical = b"".join(_canonical_set(one) for _tag, one in _all(subject))
    return f"{int.from_bytes(hashlib.sha1(canonical, usedforsecurity=False).digest()[:4], 'little'):08x}"


def _canonical_set(attributes: bytes) -> bytes:
    encoded = []
    for _tag, attribute in _all(attributes):
        (kind, identifier), (tag, value) = list(_all(attribute))
        if tag in _TEXT:
            text = value.decode(_TEXT[tag]).strip(_BLANKS)
            text = "".join(letter.lower() if letter.isascii() else letter for letter in text)
            tag, value = _UTF8, re.sub(f"[{_BLANKS}]+", " ", text).encode()
        encoded.append(_write(_SEQUENCE, _write(kind, identifier) + _write(tag, value)))
    return _write(_SET, b"".join(sorted(encoded)))


def _read(data: bytes) -> tuple[int, bytes, bytes]:
    """One DER element: its tag, its content, and what follows it (X.690, 8.1)."""
    length, at = data[1], 2
    if length & 0x80:
        count = length & 0x7F
        length, at = int.from_bytes(data[2 : 2 + count], "big"), 2 + count
    if len(data) < at + length:
        raise ValueError("cut short")
    return data[0], data[at : at + length], data[at + length :]


def _all(data: bytes) -> list[tuple[int, bytes]]:
    found = []
    while data:
        tag, content, data = _read(data)
        found.append((tag, content))
    return found


def _write(tag: int, content: bytes) -> bytes:
    size = len(content)
    if size < 0x80:
        return bytes((tag, size)) + content
    digits = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(digits))) + digits + content
