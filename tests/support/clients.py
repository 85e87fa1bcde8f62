"""Registry clients for tests: short patience, somewhere to put a blob, credentials on disk."""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path

from wherry.errors import Corrupt
from wherry.registry.config import RegistryConfig
from wherry.registry.retry import RetryPolicy

QUICK = RegistryConfig(
    connect_timeout=2.0, read_timeout=0.6, retry=RetryPolicy(tries=4, budget=5.0, first=0.01, longest=0.02)
)


class Kept:
    """A writer that remembers what happened to it."""

    def __init__(self, digest: str, size: int, begun: bytes = b"") -> None:
        self.digest, self.size = digest, size
        self.body = bytearray(begun)
        self.offset = len(begun)
        self.restarts = 0
        self.committed = False

    def write(self, piece: bytes) -> None:
        if self.offset + len(piece) > self.size:
            raise Corrupt("too long")
        self.body += piece
        self.offset += len(piece)

    def restart(self) -> None:
        self.body.clear()
        self.offset = 0
        self.restarts += 1

    def commit(self) -> None:
        if "sha256:" + hashlib.sha256(self.body).hexdigest() != self.digest:
            raise Corrupt(f"blob {self.digest} does not match its digest")
        self.committed = True


def docker_config(directory: Path, logins: dict[str, str]) -> str:
    """A ``config.json`` with ``{host: "user:password"}``; returns its path."""
    path = directory / "config.json"
    auths = {host: {"auth": base64.b64encode(login.encode()).decode()} for host, login in logins.items()}
    path.write_text(json.dumps({"auths": auths}))
    return str(path)
