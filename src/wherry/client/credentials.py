"""The credentials of this machine's user, as they go along with a request (Engine API, *Authentication*)."""

from __future__ import annotations

import base64
import json


def header(directory: str, registry: str) -> str:
    """``X-Registry-Auth`` for a registry, from the logins in ``directory``; "" when there are none.

    Without a directory or a registry it is a header that says so.
    """
    found: dict[str, str] = {}
    if directory and registry:
        from wherry.registry.credentials import Credential, Credentials
        from wherry.registry.logins import key_of

        credential = Credentials(f"{directory}/config.json").get(registry)
        if credential is None or credential == Credential():
            return ""
        given = {
            "username": credential.username,
            "password": credential.password,
            "identitytoken": credential.identity_token,
            "registrytoken": credential.registry_token,
        }
        found = {name: value for name, value in given.items() if value} | {"serveraddress": key_of(registry)}
    return base64.urlsafe_b64encode(json.dumps(found).encode()).decode()
