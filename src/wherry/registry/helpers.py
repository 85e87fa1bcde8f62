"""Credential helpers: programs that keep secrets for Docker and for us (the protocol of docker-credential-helpers).

A helper gets its action as the only argument and everything else, secrets included, on standard input.
"""

from __future__ import annotations

import json

from wherry.registry.failures import printable

MAX_ANSWER = 1 << 20
_TIME = 30.0
_NAME = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")


class HelperFailed(Exception):
    """A helper is not there or refused.  ``said`` is what it printed, on one line."""

    def __init__(self, message: str, said: str = "") -> None:
        super().__init__(message)
        self.said = said


def get(helper: object, key: str) -> bytes:
    """The answer for the server ``key``, not parsed; empty when the helper has nothing.  Raises `HelperFailed`."""
    try:
        return _run(helper, "get", key.encode(), "getting credentials")
    except HelperFailed as error:
        if "credentials not found" in error.said:
            return b""
        raise


def store(helper: object, key: str, username: str, secret: str) -> None:
    """Has a secret kept for the server ``key``.  Raises `HelperFailed`."""
    body = json.dumps({"ServerURL": key, "Username": username, "Secret": secret}).encode()
    _run(helper, "store", body, "storing credentials")


def erase(helper: object, key: str) -> None:
    """Has the secret of the server ``key`` forgotten; no error when there is none.  Raises `HelperFailed`."""
    try:
        _run(helper, "erase", key.encode(), "erasing credentials")
    except HelperFailed as error:
        if "credentials not found" not in error.said:
            raise


def _run(helper: object, action: str, body: bytes, doing: str) -> bytes:
    if not isinstance(helper, str) or not helper or not _NAME.issuperset(helper):
        raise HelperFailed("the name of the credential helper is malformed")
    import subprocess  # slow to import, and most registries need no helper

    program = f"docker-credential-{helper}"
    try:
        done = subprocess.run([program, action], input=body, capture_output=True, timeout=_TIME)
    except (OSError, subprocess.SubprocessError) as error:
        missing = isinstance(error, FileNotFoundError)
        why = "executable file not found in $PATH" if missing else printable(str(error), 120)
        raise HelperFailed(f'error {doing}: exec: "{program}": {why}') from None
    if done.returncode:
        said = printable((done.stdout or done.stderr)[:1000].decode(errors="replace"), 160)
        raise HelperFailed(f"error {doing}: {program}: {said or f'exit status {done.returncode}'}", said)
    return done.stdout[: MAX_ANSWER + 1]
