"""Who signed a Release file: one of the keys of Debian's archive, as this package ships them.

The keys in ``data/debian/archive-keys.asc`` are those of the package debian-archive-keyring; their source and
fingerprints are in ``data/debian/README``.
"""

from __future__ import annotations

import datetime
import os

from wherry.errors import Corrupt, NotSupported

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

KEYS = os.path.join(os.path.dirname(__file__), "..", "..", "data", "debian", "archive-keys.asc")
"""The keys that are trusted where a project names no others."""


def signed_text(document: bytes, what: str, keys: str = "") -> str:
    """The text of a document with an inline signature (RFC 9580, 7), when a trusted key has signed it.

    ``keys`` is a file with the certificates to trust; those that have expired or are revoked are not, as for apt.
    Raises `Corrupt` for what no trusted key has signed, `NotSupported` without the library.
    """
    pysequoia = _library()
    trusted = _trusted(pysequoia, keys)
    try:
        verified = pysequoia.verify(document, store=lambda _ids: trusted)
    except Exception as error:  # the library has no class of its own
        reason = str(error).strip().splitlines()[0] if str(error).strip() else "no valid signature"
        raise Corrupt(
            f"{what} is not signed by a key of the archive: {reason[:200]}",
            hint="the mirror or somebody on the way has changed it, or its keys are newer than this version of wherry",
        ) from None
    if not verified.valid_sigs or verified.bytes is None:
        raise Corrupt(f"{what} is not signed by a key of the archive")
    return bytes(verified.bytes).decode("utf-8", "replace")


def _trusted(pysequoia: Any, path: str) -> Sequence[Any]:
    try:
        found: Sequence[Any] = pysequoia.Cert.split_file(path or KEYS)
    except Exception as error:
        raise NotSupported(f"cannot read the keys of the Debian archive: {path or KEYS}: {error}") from None
    now = datetime.datetime.now(datetime.UTC)
    return [one for one in found if not one.is_revoked and (one.expiration is None or one.expiration > now)]


def _library() -> Any:
    try:
        import pysequoia
    except ImportError:
        raise NotSupported(
            "a Debian base needs the library pysequoia, which checks signatures",
            hint="install it with: pip install 'wherry[env]'",
        ) from None
    return pysequoia
