"""Credentials that come with a request: ``X-Registry-Auth`` (Engine API, *Authentication*).

What the server's own user has in its file of logins is not for its clients: a request without credentials is anonymous.
"""

from __future__ import annotations

import base64
import binascii

from wherry.api.fields import parse
from wherry.errors import InvalidArgument, WherryError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wherry.engine.engine import Engine

HEADER = "X-Registry-Auth"
_MOST = 64 << 10


def use(engine: Engine, header: str, name: str) -> None:
    """Have ``engine`` show these credentials, and no others, to the registry of the image ``name``.

    They belong to that registry alone, whatever server the client thinks they are for.  What cannot be read is none, as
    in Docker: some clients send "null".
    """
    from wherry.oci.reference import parse as parse_reference
    from wherry.registry.credentials import Credential

    engine.credentials = ()
    if not header:
        return
    try:
        asked = parse(_decoded(header))
        credential = Credential(
            asked.text("username"), asked.text("password"), asked.text("identitytoken"), asked.text("registrytoken")
        )
    except InvalidArgument:
        return
    if credential == Credential():
        return
    try:
        host = parse_reference(name).domain
    except WherryError:
        return  # the use case says what is wrong with the name
    engine.credentials = ((host, credential),)


def _decoded(header: str) -> bytes:
    if len(header) > _MOST:
        raise InvalidArgument(f"{HEADER} is too long")
    padded = header.rstrip("=") + "=" * (-len(header.rstrip("=")) % 4)
    try:
        return base64.b64decode(padded.replace("+", "-").replace("/", "_"), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise InvalidArgument(f"{HEADER} is not base64 of a JSON object") from None
