"""Docker's ``config.json`` written: what ``login`` keeps and ``logout`` takes away.

The file is shared with Docker and its tools, so everything in it that is not a login stays as it is, and a file that is
not understood is not touched at all (CVE-2021-41092).  It is replaced as a whole, mode 0600; a symbolic link to it
stays one.  Secrets go to the credential helper where one is configured for the host, else into the file.
"""

from __future__ import annotations

import base64
import fcntl
import json
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from wherry.errors import InvalidArgument, SystemFailure
from wherry.registry import helpers
from wherry.registry.credentials import HUB, Credential, canonical, host_of

_MAX_FILE = 1 << 20


def check(path: str) -> None:
    """Raises `InvalidArgument` when the file at ``path`` could not be written back without loss."""
    _load(os.path.realpath(path))


def key_of(host: str) -> str:
    """What stands for ``host`` in ``auths`` and is told to helpers."""
    return HUB if canonical(host) == "docker.io" else host


def keep(path: str, host: str, credential: Credential) -> str:
    """Keeps the login for ``host``; the path of the file when the secret stands in it, "" when a helper has it.

    Raises `InvalidArgument` when the file is malformed or the helper refuses, `SystemFailure`; nothing is kept then.
    """
    key = key_of(host)
    with _changing(path) as config:
        helper = _helper(config, host)
        auths = _auths(config, path)
        for other in [one for one in auths if host_of(one) == canonical(host) and one != key]:
            del auths[other]
        if helper:
            username = "<token>" if credential.identity_token else credential.username
            try:
                helpers.store(helper, key, username, credential.identity_token or credential.password)
            except helpers.HelperFailed as error:
                raise InvalidArgument(f"error saving credentials: {error}") from None
            auths[key] = {}
            return ""
        text = f"{credential.username}:{'' if credential.identity_token else credential.password}"
        entry = {"auth": base64.b64encode(text.encode()).decode()}
        if credential.identity_token:
            entry["identitytoken"] = credential.identity_token
        auths[key] = entry
    return path


def forget(path: str, host: str) -> tuple[str, ...]:
    """Takes the login for ``host`` away, from the file and from its helper; what went wrong with the helper.

    Raises `InvalidArgument` when the file is malformed, `SystemFailure`.
    """
    problems: list[str] = []
    with _changing(path) as config:
        helper = _helper(config, host)
        if helper:
            try:
                helpers.erase(helper, key_of(host))
            except helpers.HelperFailed as error:
                problems.append(f"could not erase credentials: {error}")
        auths = _auths(config, path)
        for key in [one for one in auths if host_of(one) == canonical(host)]:
            del auths[key]
    return tuple(problems)


def _helper(config: dict[str, Any], host: str) -> object:
    """The helper of exactly this host, or the one of all, or nothing."""
    chosen = config.get("credHelpers")
    if isinstance(chosen, dict):
        for key, helper in chosen.items():
            if host_of(key) == canonical(host):
                return helper
    return config.get("credsStore")


def _auths(config: dict[str, Any], path: str) -> dict[str, Any]:
    found = config.setdefault("auths", {})
    if not isinstance(found, dict):
        raise _odd(path, "auths is not an object")
    return found


def _odd(path: str, why: str) -> InvalidArgument:
    return InvalidArgument(f"{path} is not a configuration file of Docker: {why}", hint="it was left as it is")


@contextmanager
def _changing(path: str) -> Iterator[dict[str, Any]]:
    """The document, written back when the block ends well and has changed it.  One process at a time."""
    target = os.path.realpath(path)
    directory = os.path.dirname(target)
    try:
        os.makedirs(directory, mode=0o700, exist_ok=True)
        lock = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise SystemFailure("keep a login", f"open {directory}", error.errno or 5) from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        config = _load(target)
        before, had_none = json.dumps(config), "auths" not in config
        yield config
        if had_none and not config.get("auths"):
            config.pop("auths", None)
        if json.dumps(config) != before:
            _replace(target, (json.dumps(config, indent="\t", ensure_ascii=False) + "\n").encode())
    finally:
        os.close(lock)


def _load(path: str) -> dict[str, Any]:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise _odd(path, (error.strerror or "cannot be read").lower()) from None
    with open(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise _odd(path, "not a regular file")
        text = file.read(_MAX_FILE + 1)
    if not text.strip():
        return {}
    try:
        if len(text) > _MAX_FILE:
            raise ValueError("the file is too large")
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _odd(path, str(error)[:120]) from None
    if not isinstance(value, dict):
        raise _odd(path, "not a JSON object")
    return value


def _replace(path: str, data: bytes) -> None:
    """Puts ``data`` in place of the file, whole or not at all, mode 0600, with the owner that it had."""
    aside = f"{path}.{os.getpid()}.{os.urandom(4).hex()}"
    try:
        fd = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            with open(fd, "wb") as file:
                os.fchmod(fd, 0o600)
                if os.geteuid() == 0:
                    owner = os.stat(path if os.path.exists(path) else os.path.dirname(path))
                    os.fchown(fd, owner.st_uid, owner.st_gid)
                file.write(data)
                file.flush()
                os.fsync(fd)
            os.rename(aside, path)
        except BaseException:
            os.unlink(aside)
            raise
    except OSError as error:
        raise SystemFailure("keep a login", f"write {path}", error.errno or 5) from error
