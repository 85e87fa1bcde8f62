"""Credentials as ``docker login`` leaves them, read: ``config.json`` and credential helpers (`logins` writes them).

A credential belongs to exactly one host.  Hosts are compared as whole strings, ports included: no prefixes, no
substrings, no domains (CVE-2026-59891, GO-2026-6225).  A file or helper that is broken yields no credential and a note
for the error message, never that of another host (CVE-2021-41092).
"""

from __future__ import annotations

import base64
import binascii
import json
import os
import stat
import threading
from typing import Any

from wherry.record import Record
from wherry.registry import helpers
from wherry.registry.failures import printable

_MAX_FILE = 1 << 20
HUB = "https://index.docker.io/v1/"
"""The key of Docker Hub in ``auths`` and for helpers."""
_HUB_NAMES = frozenset(("docker.io", "index.docker.io", "registry-1.docker.io"))


class Credential(Record):
    """A user name with a password, or an identity token (OAuth2 refresh token), or a ready bearer token."""

    username: str = ""
    password: str = ""
    identity_token: str = ""
    registry_token: str = ""

    def basic(self) -> str:
        """The value of an ``Authorization`` header (RFC 7617)."""
        return "Basic " + base64.b64encode(f"{self.username}:{self.password}".encode()).decode("ascii")

    def __repr__(self) -> str:
        return f"Credential({self.username!r}, …)"


class Credentials:
    """The credentials of one ``config.json`` (empty path: none).  Thread-safe; the file is read on first use."""

    def __init__(self, path: str = "", given: tuple[tuple[str, Credential], ...] = ()) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._config: dict[str, Any] | None = None
        self._found: dict[str, Credential | None] = {canonical(host): credential for host, credential in given}
        self._notes: dict[str, str] = {}

    def get(self, host: str) -> Credential | None:
        """The credential for ``host`` (a reference's domain: ``docker.io``, ``localhost:5000``), or None."""
        host = host.lower()
        with self._lock:
            if host not in self._found:
                self._found[host] = self._look_up(host)
            return self._found[host]

    def note(self, host: str) -> str:
        """Why there is no credential for ``host`` although something tried to give one; empty otherwise."""
        with self._lock:
            return self._notes.get(host.lower()) or self._notes.get("", "")

    def _look_up(self, host: str) -> Credential | None:
        if self._config is None:
            self._config = self._load()
        config = self._config
        helpers = config.get("credHelpers")
        if isinstance(helpers, dict):
            for key, helper in helpers.items():
                if host_of(key) == canonical(host):
                    return self._ask(helper, key if canonical(host) != "docker.io" else HUB, host)
        if config.get("credsStore"):
            key = HUB if canonical(host) == "docker.io" else host
            found = self._ask(config["credsStore"], key, host)
            if found:
                return found
        auths = config.get("auths")
        if isinstance(auths, dict):
            for key, entry in auths.items():
                if host_of(key) == canonical(host) and isinstance(entry, dict):
                    found = self._entry(entry, key, host)
                    if found:
                        return found
        return None

    def _load(self) -> dict[str, Any]:
        if not self._path:
            return {}
        try:
            descriptor = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
            with open(descriptor, "rb") as file:
                if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                    raise ValueError("not a regular file")
                text = file.read(_MAX_FILE + 1)
            if len(text) > _MAX_FILE:
                raise ValueError("the file is too large")
            value = json.loads(text)
            if not isinstance(value, dict):
                raise ValueError("not a JSON object")
            return value
        except (FileNotFoundError, NotADirectoryError):
            return {}
        except (OSError, ValueError, RecursionError) as error:
            self._notes[""] = f"credentials were not read from {self._path}: {printable(str(error), 120)}"
            return {}

    def _entry(self, entry: dict[str, Any], key: str, host: str) -> Credential | None:
        text = {name: entry[name] for name in entry if isinstance(entry[name], str)}
        if text.get("registrytoken"):
            return Credential(registry_token=text["registrytoken"])
        username, password = text.get("username", ""), text.get("password", "")
        if text.get("auth"):
            try:
                decoded = base64.b64decode(text["auth"], validate=True).decode()
            except (binascii.Error, ValueError):
                decoded = ""
            username, colon, password = decoded.partition(":")
            password = password.strip("\0")
            if not colon:
                self._notes[host] = f"the entry {printable(key, 80)!r} of {self._path} is malformed"
                return None
        if text.get("identitytoken"):
            return Credential(username, identity_token=text["identitytoken"])
        return Credential(username, password) if username else None

    def _ask(self, helper: Any, key: str, host: str) -> Credential | None:
        try:
            answer = helpers.get(helper, key)
        except helpers.HelperFailed as error:
            self._notes[host] = str(error)
            return None
        return self._answer(answer, f"docker-credential-{helper}", key, host) if answer else None

    def _answer(self, output: bytes, program: str, key: str, host: str) -> Credential | None:
        try:
            value = json.loads(output)
            server, username, secret = value.get("ServerURL") or "", value["Username"], value["Secret"]
            if not (isinstance(server, str) and isinstance(username, str) and isinstance(secret, str)):
                raise ValueError
        except (ValueError, KeyError, AttributeError, RecursionError):
            self._notes[host] = f"error getting credentials: {program} gave an answer that is not understood"
            return None
        if server and host_of(server) != host_of(key):
            self._notes[host] = f"error getting credentials: {program} answered for {printable(server, 80)!r}"
            return None
        if username == "<token>":
            return Credential(identity_token=secret)
        return Credential(username, secret) if username else None


def canonical(host: str) -> str:
    """``host`` in lower case; the names of Docker Hub are one."""
    host = host.lower()
    return "docker.io" if host in _HUB_NAMES else host


def host_of(key: str) -> str:
    """The host that a key of ``auths`` stands for: ``https://host[:port]/v1/`` and ``host[:port]`` are the same.

    Empty when the key is anything else, such as one with a path of a repository.
    """
    rest = key.partition("://")[2] if key.startswith(("https://", "http://")) else key
    host, _, path = rest.partition("/")
    if path.strip("/") not in ("", "v1", "v2") or not host or any(character in host for character in "@?#\\ "):
        return ""
    return canonical(host)
