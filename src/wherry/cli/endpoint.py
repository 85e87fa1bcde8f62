"""Which engine a command speaks to: options before the environment, the environment before what is configured.

As docker(1) has it: ``--host``, ``--context``, ``DOCKER_HOST``, ``DOCKER_CONTEXT``, then the ``currentContext`` of
Docker's ``config.json``.  The context ``default`` is this machine's own engine, which needs no connection; so is
everything where ``--root`` or ``--run-root`` says where that is.
"""

from __future__ import annotations

import os

from wherry.client import contexts
from wherry.client.address import Address, Tls, parse
from wherry.client.http import Remote
from wherry.client.verbs import not_there as _not_there
from wherry.errors import InvalidArgument

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from wherry.errors import NotSupported

DEFAULT = contexts.DEFAULT


def choose(options: Mapping[str, Any], environ: Mapping[str, str]) -> Remote | None:
    """The engine to speak to; None for this machine's own.

    Raises `InvalidArgument` for an address that is none, `NotFound` for a context.
    """
    address = find(options, environ)
    return Remote(address, docker_config(environ)) if address is not None else None


def find(options: Mapping[str, Any], environ: Mapping[str, str]) -> Address | None:
    """Its address; None for this machine's own."""
    hosts, context = options.get("host", []), options.get("context", "")
    if hosts and context:
        raise InvalidArgument("conflicting options: cannot specify both --host and --context")
    local = [name for name in ("root", "run-root") if options.get(name)]
    if local and (hosts or context not in ("", DEFAULT)):
        other = "--host" if hosts else "--context"
        raise InvalidArgument(f"conflicting options: cannot specify both --{local[0]} and {other}")
    if len(hosts) > 1:
        raise InvalidArgument("Specify only one -H")
    if hosts:
        return parse(hosts[0], tls=_tls(options, environ), source="-H")
    name, source = current(options, environ)
    if source == "DOCKER_HOST":
        return parse(environ["DOCKER_HOST"], tls=_tls(options, environ), source="DOCKER_HOST")
    if name == DEFAULT:
        return None
    return contexts.Store(docker_config(environ)).address(name, source)


def current(options: Mapping[str, Any], environ: Mapping[str, str]) -> tuple[str, str]:
    """The name of the context that is in use, and what says so."""
    if options.get("context"):
        return options["context"], "--context"
    if options.get("host"):
        return DEFAULT, "-H"
    if options.get("root") or options.get("run-root"):
        return DEFAULT, "--root"
    if environ.get("DOCKER_HOST"):
        return DEFAULT, "DOCKER_HOST"
    if environ.get("DOCKER_CONTEXT"):
        return environ["DOCKER_CONTEXT"], "DOCKER_CONTEXT"
    directory = docker_config(environ)
    return contexts.Store(directory).current() or DEFAULT, f"currentContext in {directory}/config.json"


def docker_config(environ: Mapping[str, str]) -> str:
    """The directory of Docker's client."""
    return environ.get("DOCKER_CONFIG") or os.path.join(environ.get("HOME") or "/", ".docker")


def _tls(options: Mapping[str, Any], environ: Mapping[str, str]) -> Tls | None:
    """What options and environment say of TLS; its files have Docker's names where none are given."""
    verify = options.get("tlsverify", bool(environ.get("DOCKER_TLS_VERIFY")))
    if not (verify or options.get("tls", bool(environ.get("DOCKER_TLS")))):
        return None
    directory = environ.get("DOCKER_CERT_PATH") or docker_config(environ)

    def file(option: str, name: str) -> str:
        usual = os.path.join(directory, name)
        return str(options.get(option) or (usual if os.path.exists(usual) else ""))

    return Tls(file("tlscacert", "ca.pem"), file("tlscert", "cert.pem"), file("tlskey", "key.pem"), bool(verify))


def not_there(command: str, remote: Remote) -> NotSupported:
    """See `wherry.client.verbs.not_there`."""
    return _not_there(remote, command)
