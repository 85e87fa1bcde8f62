"""Signatures of images by public key, as cosign writes them; the key alone is trusted, no log and no certificate.

Two forms are read: "simple signing" payloads in the tag ``sha256-….sig`` (github.com/sigstore/cosign,
specs/SIGNATURE_SPEC.md), and sigstore bundles with a DSSE envelope among the image's referrers
(github.com/secure-systems-lab/dsse, protocol.md).  Verifying needs the package ``cryptography``.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterator
from typing import Any

from wherry.errors import Corrupt, Forbidden, InvalidArgument, NotFound, NotSupported
from wherry.oci import digest as digests
from wherry.oci.manifest import Descriptor, Manifest, parse_manifest
from wherry.oci.reference import Reference
from wherry.record import Record
from wherry.registry import fetch, listing
from wherry.registry.client import Client
from wherry.registry.policy import MATCH, Rule

SIMPLE_SIGNING = "application/vnd.dev.cosign.simplesigning.v1+json"
SIGNATURE = "dev.cosignproject.cosign/signature"
BUNDLE = "application/vnd.dev.sigstore.bundle."
IN_TOTO = "application/vnd.in-toto+json"
_MAX_BLOB = 1 << 20
_MAX_SIGNATURES = 100


class Claim(Record):
    """What somebody signed: ``message`` with ``signature``; ``digests`` and ``repository`` are what the message says.

    ``repository`` is empty when it says nothing of that.
    """

    message: bytes
    signature: bytes
    digests: tuple[str, ...]
    repository: str


def verify(client: Client, reference: Reference, found: tuple[str, ...], rules: tuple[Rule, ...]) -> None:
    """Sees to it that the image is signed as every one of ``rules`` requires.

    ``found`` are the digests that stand for it: of the index that its name points at, and of its manifest.  Raises
    `Forbidden` when it is not, `NotSupported` without the package ``cryptography``, `InvalidArgument` for a file that
    is no public key, `Unavailable`, `Unauthorized`.
    """
    if not rules:
        return
    keys = [(rule, [_key(path, rule) for path in rule.keys]) for rule in rules]
    claims = list(_claims(client, reference, found))
    for rule, known in keys:
        if not any(_holds(claim, rule, known, reference, found) for claim in claims):
            why = "none of its signatures is by a key of the policy" if claims else "it has no signature"
            if any(_holds(claim, rule.replace(identity=""), known, reference, found) for claim in claims):
                why = "it is signed for another repository, or for none by name"
            raise Forbidden(
                f"{reference.familiar()}: {why}", hint=f"{rule.file} requires one for {rule.name or 'everything'}"
            )


def _holds(claim: Claim, rule: Rule, keys: list[Any], reference: Reference, found: tuple[str, ...]) -> bool:
    if not any(digest in found for digest in claim.digests):
        return False
    if rule.identity == MATCH and claim.repository != reference.name:
        return False
    return any(_is_signed(key, claim.message, claim.signature) for key in keys)


def _claims(client: Client, reference: Reference, found: tuple[str, ...]) -> Iterator[Claim]:
    """What is claimed of any of the digests; what cannot be read claims nothing."""
    for digest in found:
        tied = reference.replace(tag="", digest=digest)
        name = f"{digests.algorithm(digest)}-{digests.hex_part(digest)}.sig"
        try:
            fetched = client.manifest(reference.replace(tag=name, digest=""))
            yield from _simple(client, reference, fetched.body, fetched.media_type)
        except (NotFound, Corrupt, NotSupported):
            pass
        for entry in listing.referrers(client, tied)[:_MAX_SIGNATURES]:
            if entry.artifact_type.startswith(BUNDLE):
                try:
                    yield from _bundles(client, reference, entry)
                except (NotFound, Corrupt, NotSupported):
                    continue


def _simple(client: Client, reference: Reference, body: bytes, media_type: str) -> Iterator[Claim]:
    parsed = parse_manifest(body, media_type)
    if not isinstance(parsed, Manifest):
        return
    for layer in parsed.layers[:_MAX_SIGNATURES]:
        if layer.media_type != SIMPLE_SIGNING:
            continue
        message = _blob(client, reference, layer)
        critical = _object(_object(_json(message)).get("critical"))
        digest = _object(critical.get("image")).get("docker-manifest-digest")
        repository = _object(critical.get("identity")).get("docker-reference")
        if critical.get("type") == "cosign container image signature" and isinstance(digest, str):
            signature = _base64(dict(layer.annotations).get(SIGNATURE))
            yield Claim(message, signature, (digest,), repository if isinstance(repository, str) else "")


def _bundles(client: Client, reference: Reference, entry: Descriptor) -> Iterator[Claim]:
    fetched = client.manifest(reference.replace(tag="", digest=entry.digest), entry)
    parsed = parse_manifest(fetched.body, fetched.media_type)
    for layer in parsed.layers if isinstance(parsed, Manifest) else ():
        envelope = _object(_object(_json(_blob(client, reference, layer))).get("dsseEnvelope"))
        payload, kind = _base64(envelope.get("payload")), envelope.get("payloadType")
        if kind != IN_TOTO:
            continue
        subjects = _object(_json(payload)).get("subject")
        message = b"DSSEv1 %d %b %d %b" % (len(kind), kind.encode(), len(payload), payload)
        for subject in subjects if isinstance(subjects, list) else ():
            digest = _object(_object(subject).get("digest")).get("sha256")
            name = _object(subject).get("name")
            signatures = envelope.get("signatures")
            for one in signatures if isinstance(signatures, list) else ():
                signature = _base64(_object(one).get("sig"))
                yield Claim(message, signature, (f"sha256:{digest}",), name if isinstance(name, str) else "")


def _blob(client: Client, reference: Reference, layer: Descriptor) -> bytes:
    kept = fetch.Memory(layer, _MAX_BLOB)
    fetch.download(client, reference, layer, kept)
    return bytes(kept.body)


def _json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _base64(value: Any) -> bytes:
    try:
        return base64.b64decode(value, validate=True) if isinstance(value, str) else b""
    except (binascii.Error, ValueError):
        return b""


def _key(path: str, rule: Rule) -> Any:
    """The public key of a PEM file."""
    try:
        from cryptography.exceptions import UnsupportedAlgorithm
        from cryptography.hazmat.primitives.serialization import load_pem_public_key
    except ImportError:
        raise NotSupported(
            f"{rule.file} requires signatures, and this installation cannot verify any",
            hint="pip install 'wherry[signatures]'",
        ) from None
    try:
        with open(path, "rb") as file:
            return load_pem_public_key(file.read(_MAX_BLOB))
    except OSError as error:
        raise InvalidArgument(f"{rule.file}: key {path}: {(error.strerror or 'cannot be read').lower()}") from None
    except (ValueError, UnsupportedAlgorithm):
        raise InvalidArgument(f"{rule.file}: key {path} is not a public key in PEM form") from None


def _is_signed(key: Any, message: bytes, signature: bytes) -> bool:
    """Whether ``signature`` of ``message`` is by ``key``: ECDSA and RSA (PKCS #1 1.5) with SHA-256, or Ed25519."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
    from cryptography.hazmat.primitives.hashes import SHA256

    try:
        if isinstance(key, ec.EllipticCurvePublicKey):
            key.verify(signature, message, ec.ECDSA(SHA256()))
        elif isinstance(key, rsa.RSAPublicKey):
            key.verify(signature, message, padding.PKCS1v15(), SHA256())
        elif isinstance(key, ed25519.Ed25519PublicKey):
            key.verify(signature, message)
        else:
            return False
        return True
    except InvalidSignature:
        return False
