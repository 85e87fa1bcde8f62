"""What the commands about contexts share: the place that they are kept in, and the values of ``--docker``."""

from __future__ import annotations

import os
import sys

from wherry.cli.endpoint import docker_config
from wherry.client.address import parse
from wherry.client.contexts import FILES, Context, Store
from wherry.errors import InvalidArgument

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wherry.cli.main import Call

DOCKER = (
    ("description", "", "string", "", "Description of the context"),
    ("docker", "", "stringToString", "[]", "set the docker endpoint"),
)
_KEYS = ("host", "ca", "cert", "key", "skip-tls-verify", "from")
_MOST = 1 << 20


def store(call: Call) -> Store:
    """Docker's contexts of the person who typed the command."""
    return Store(docker_config(call.environ()))


def warn_of_host(call: Call) -> None:
    """``DOCKER_HOST`` is stronger than what was chosen."""
    if call.environ().get("DOCKER_HOST"):
        print(
            "Warning: DOCKER_HOST environment variable overrides the active context. To use a context, either set the "
            "global --context flag, or unset DOCKER_HOST environment variable.",
            file=sys.stderr,
        )


def with_docker(call: Call, context: Context) -> Context:
    """``context`` with what ``--docker`` says.  Raises `InvalidArgument`."""
    given = _pairs(call)
    if "from" in given:
        if len(given) > 1:
            raise InvalidArgument('unable to create docker endpoint config: "from" is for itself alone')
        other = store(call).get(given["from"])
        return context.replace(host=other.host, skip_verify=other.skip_verify, tls=other.tls)
    host = given.get("host", "")
    if not host:
        raise InvalidArgument(
            "unable to create docker endpoint config: invalid docker endpoint options",
            hint="give --docker host=unix:///PATH, host=tcp://HOST:PORT or host=ssh://HOST",
        )
    parse(host)
    tls = []
    for key, file in zip(("ca", "cert", "key"), FILES, strict=True):
        if given.get(key):
            tls.append((file, _read(given[key])))
    if ("cert" in given) != ("key" in given):
        raise InvalidArgument("unable to create docker endpoint config: cert and key go together")
    return context.replace(host=host, skip_verify=_truth(given.get("skip-tls-verify", "")), tls=tuple(tls))


def _pairs(call: Call) -> dict[str, str]:
    found: dict[str, str] = {}
    for text in call.get("docker", "").split(","):
        name, equals, value = text.partition("=")
        if not text:
            continue
        if not equals:
            problem = f"{text} must be formatted as key=value"
            raise InvalidArgument(f'invalid argument "{text}" for "--docker" flag: {problem}')
        if name not in _KEYS:
            raise InvalidArgument(
                f"unable to create docker endpoint config: unrecognized config key: {name}",
                hint=f"known are {', '.join(_KEYS)}",
            )
        found[name] = value
    return found


def _truth(text: str) -> bool:
    if text.lower() not in ("", "true", "t", "1", "false", "f", "0"):
        raise InvalidArgument(f"unable to create docker endpoint config: skip-tls-verify: invalid boolean {text}")
    return text.lower() in ("true", "t", "1")


def _read(path: str) -> bytes:
    if os.path.isdir(path):
        raise InvalidArgument(f"read {path}: is a directory")
    with open(path, "rb") as file:
        return file.read(_MOST)
