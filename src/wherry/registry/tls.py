"""TLS settings of a host: Docker's ``certs.d``, and what registries.toml says."""

from __future__ import annotations

import functools
import os
import ssl

from wherry.errors import InvalidArgument
from wherry.record import Record
from wherry.registry.config import Endpoint, RegistryConfig
from wherry.registry.net import TlsSocket


class _Material(Record):
    """Paths of PEM files: ``authorities`` besides the system's, ``clients`` as (certificate, key)."""

    authorities: tuple[str, ...] = ()
    clients: tuple[tuple[str, str], ...] = ()
    verify: bool = True


def context_for(config: RegistryConfig, host: str, name: str, sender: Endpoint | None = None) -> ssl.SSLContext:
    """The TLS settings for ``host``, whose table in registries.toml is ``name``.

    The system's authorities and those of ``<directory>/<host>/*.crt``, client certificates from ``*.cert`` with
    ``*.key`` there, as dockerd(8) reads ``certs.d``.  ``sender`` is the registry that sent us to ``host``, if it is
    another: its authorities count as well, its client certificates and its being insecure do not.  Raises
    `InvalidArgument` for a certificate that cannot be loaded.
    """
    settings = config.host(name)
    authorities, clients = [], []
    for directory in config.certificates:
        found, pairs = _listed(os.path.join(directory, host))
        authorities += found
        clients += pairs
        if sender is not None:
            authorities += _listed(os.path.join(directory, sender.host))[0]
    authorities += [settings.ca] if settings.ca else []
    clients += [(settings.client_cert, settings.client_key)] if settings.client_cert else []
    if sender is not None and config.host(sender.account).ca:
        authorities.append(config.host(sender.account).ca)
    if not authorities and not clients and not settings.insecure:
        return _usual()
    return _context(_Material(tuple(authorities), tuple(clients), not settings.insecure))


@functools.cache
def _usual() -> ssl.SSLContext:
    """One for all hosts without settings of their own: reading the system's authorities takes 30 ms."""
    return _context(_Material())


def _context(material: _Material) -> ssl.SSLContext:
    context = ssl.create_default_context() if material.verify else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.sslsocket_class = TlsSocket
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if not material.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    for path in material.authorities:
        try:
            context.load_verify_locations(cafile=path)
        except (OSError, ValueError) as error:
            raise InvalidArgument(f"cannot read the CA certificate {path}: {_why(error)}") from None
    for certificate, key in material.clients:
        try:
            context.load_cert_chain(certificate, key, password=lambda: "")
        except (OSError, ValueError) as error:
            raise InvalidArgument(f"cannot read the client certificate {certificate}: {_why(error)}") from None
    return context


def _listed(directory: str) -> tuple[list[str], list[tuple[str, str]]]:
    """The authorities and client certificates of a host's directory."""
    try:
        names = sorted(os.listdir(directory))
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return [], []
    pairs = []
    for name in names:
        if name.endswith(".cert"):
            key = name.removesuffix(".cert") + ".key"
            if key not in names:
                raise InvalidArgument(
                    f"missing key {key} for client certificate {name}",
                    hint="CA certificates must use the extension .crt",
                )
            pairs.append((os.path.join(directory, name), os.path.join(directory, key)))
    return [os.path.join(directory, name) for name in names if name.endswith(".crt")], pairs


def _why(error: Exception) -> str:
    if isinstance(error, ssl.SSLError):
        return (error.reason or "malformed").lower().replace("_", " ")
    return str(getattr(error, "strerror", None) or error).lower()
