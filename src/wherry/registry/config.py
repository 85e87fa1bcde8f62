"""What is configured about registries: ``registries.toml`` (docs/registries.md) and ``certs.d`` directories.

Later files override earlier ones, registry by registry and key by key, so a user's file completes the host's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from wherry.errors import InvalidArgument
from wherry.record import Record
from wherry.registry import address
from wherry.registry.credentials import Credential
from wherry.registry.failures import printable
from wherry.registry.retry import RetryPolicy

_HUB_HOST = "registry-1.docker.io"
_HOST_KEYS: dict[str, Any] = {
    "mirrors": list,
    "insecure": bool,
    "ca": str,
    "client-cert": str,
    "client-key": str,
    "trust": list,
}
_TIME_KEYS = {"connect-timeout": 10.0, "read-timeout": 30.0, "retries": 4, "retry-time": 120.0}
_MAX_FILE = 1 << 20


class HostSettings(Record):
    """One registry's table.  Paths are absolute; ``trust`` are hosts that it may send us to at any address."""

    mirrors: tuple[str, ...] = ()
    insecure: bool = False
    ca: str = ""
    client_cert: str = ""
    client_key: str = ""
    trust: tuple[str, ...] = ()


class Endpoint(Record):
    """One server to ask.  ``host`` is ``name[:port]``; ``prefix`` goes before the repository, without slashes around;
    ``account`` is what credentials are looked up by; ``schemes`` are tried in order."""

    host: str
    account: str
    schemes: tuple[str, ...] = ("https",)
    prefix: str = ""
    mirror: bool = False


class Proxies(Record):
    """URLs of proxies, empty for none, and ``no_proxy`` as curl and Go read it: hosts and domains with commas."""

    http: str = ""
    https: str = ""
    no_proxy: str = ""


class RegistryConfig(Record):
    """Everything that is configured.  Times in seconds."""

    hosts: tuple[tuple[str, HostSettings], ...] = ()
    certificates: tuple[str, ...] = ()
    docker_config: str = ""
    proxies: Proxies = Proxies()
    connect_timeout: float = 10.0
    read_timeout: float = 30.0
    retry: RetryPolicy = RetryPolicy()
    credentials: tuple[tuple[str, Credential], ...] = ()  # by host, before those of docker_config

    @staticmethod
    def load(
        files: Sequence[str] = (),
        *,
        certificates: Sequence[str] = (),
        docker_config: str = "",
        proxies: Proxies | None = None,
    ) -> RegistryConfig:
        """Reads ``files`` that exist, in order.

        ``certificates`` are directories laid out as Docker's ``/etc/docker/certs.d``; ``docker_config`` is the path of
        Docker's ``config.json``.  Raises `InvalidArgument` that names the file and the key.
        """
        hosts: dict[str, HostSettings] = {}
        times: dict[str, float] = dict(_TIME_KEYS)
        for file in files:
            document = _read(file)
            for key, value in document.items():
                if key == "registry" and isinstance(value, dict):
                    for name, table in value.items():
                        name = _host_name(file, name)
                        hosts[name] = _host(file, name, table, hosts.get(name, HostSettings()))
                elif key == "transport" and isinstance(value, dict):
                    times |= _times(file, value)
                else:
                    raise InvalidArgument(f"{file}: unknown key {printable(key, 60)!r}")
        return RegistryConfig(
            tuple(hosts.items()),
            tuple(certificates),
            docker_config,
            proxies or Proxies(),
            times["connect-timeout"],
            times["read-timeout"],
            RetryPolicy(tries=int(times["retries"]) + 1, budget=times["retry-time"]),
        )

    def host(self, name: str) -> HostSettings:
        """The settings of exactly this registry: ``docker.io``, ``localhost:5000``."""
        name = name.lower()
        for key, settings in self.hosts:
            if key == name:
                return settings
        return HostSettings()

    def plain_allowed(self, host: str) -> bool:
        """Whether ``host`` (with port) may be spoken to without TLS: configured insecure, or on loopback."""
        return self.host(host).insecure or address.is_loopback(split_host(host)[0])

    def endpoints(self, domain: str) -> tuple[Endpoint, ...]:
        """Whom to ask for a repository of ``domain``: its mirrors in order, then itself."""
        found = [_mirror(self, url) for url in self.host(domain).mirrors]
        host = _HUB_HOST if domain == "docker.io" else domain.lower()
        schemes = ("https", "http") if self.plain_allowed(domain) else ("https",)
        return (*found, Endpoint(host, domain.lower(), schemes))


def split_host(host: str) -> tuple[str, int | None]:
    """``name[:port]`` or ``[address]:port`` in two; brackets are kept.  Raises `InvalidArgument`."""
    name, colon, port = host.rpartition(":")
    if not colon or host.endswith("]"):
        return host, None
    if not (port.isascii() and port.isdigit() and 0 < int(port[:6]) < 65536):
        raise InvalidArgument(f"invalid port in {printable(host, 100)!r}")
    return name, int(port)


def _mirror(config: RegistryConfig, url: str) -> Endpoint:
    parts = urlsplit(url if "://" in url else f"https://{url}")
    schemes: tuple[str, ...] = (parts.scheme,) if "://" in url else ("https",)
    if "://" not in url and config.plain_allowed(parts.netloc):
        schemes = ("https", "http")
    host = parts.netloc.lower()
    return Endpoint(host, "docker.io" if host == _HUB_HOST else host, schemes, parts.path.strip("/"), mirror=True)


def _read(file: str) -> dict[str, Any]:
    try:
        with open(file, "rb") as stream:
            data = stream.read(_MAX_FILE + 1)
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as error:
        raise InvalidArgument(f"{file}: {(error.strerror or str(error)).lower()}") from None
    if len(data) > _MAX_FILE:
        raise InvalidArgument(f"{file}: larger than {_MAX_FILE} bytes")
    import tomllib  # a tenth of the start of a pull, and most people have no such file

    try:
        return tomllib.loads(data.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidArgument(f"{file}: {printable(str(error), 200)}") from None


def _host_name(file: str, name: str) -> str:
    name = name.lower()
    if name in ("index.docker.io", _HUB_HOST):
        name = "docker.io"
    try:
        good = name and not any(character in name for character in "/@?#\\ ") and ".." not in name and split_host(name)
    except InvalidArgument:
        good = False
    if not good:
        raise InvalidArgument(f"{file}: {printable(name, 100)!r} is not a registry: write its host, or host:port")
    return name


def _host(file: str, name: str, table: Any, base: HostSettings) -> HostSettings:
    where = f'{file}: registry."{name}"'
    if not isinstance(table, dict):
        raise InvalidArgument(f"{where} is not a table")
    changes: dict[str, Any] = {}
    for key, value in table.items():
        kind = _HOST_KEYS.get(key)
        if kind is None:
            raise InvalidArgument(f"{where}: unknown key {printable(key, 60)!r}")
        if not isinstance(value, kind) or (kind is list and not all(isinstance(item, str) for item in value)):
            wanted = {list: "a list of strings", bool: "true or false", str: "a string"}[kind]
            raise InvalidArgument(f"{where}: {key} must be {wanted}")
        changes[key.replace("-", "_")] = tuple(value) if kind is list else value
    for url in changes.get("mirrors", ()):
        _check_mirror(where, url)
    changes["trust"] = tuple(host.lower() for host in changes.get("trust", base.trust))
    for key in ("ca", "client_cert", "client_key"):
        if changes.get(key) and not changes[key].startswith("/"):
            raise InvalidArgument(f"{where}: {key.replace('_', '-')} must be an absolute path")
    settings = base.replace(**changes)
    if bool(settings.client_cert) != bool(settings.client_key):
        raise InvalidArgument(f"{where}: client-cert and client-key belong together")
    return settings


def _check_mirror(where: str, url: str) -> None:
    try:
        parts = urlsplit(url if "://" in url else f"https://{url}")
    except ValueError:
        parts = urlsplit("")
    if parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.netloc or parts.query:
        raise InvalidArgument(f"{where}: {printable(url, 100)!r} is not the URL of a mirror")
    try:
        split_host(parts.netloc)
    except InvalidArgument as error:
        raise InvalidArgument(f"{where}: {error.message}") from None


def _times(file: str, table: Mapping[str, Any]) -> dict[str, float]:
    found: dict[str, float] = {}
    for key, value in table.items():
        if key not in _TIME_KEYS:
            raise InvalidArgument(f"{file}: transport: unknown key {printable(key, 60)!r}")
        lowest = 0 if key.startswith("retr") else 0.1
        whole = key == "retries"
        if isinstance(value, bool) or not isinstance(value, int if whole else int | float) or not lowest <= value < 1e6:
            raise InvalidArgument(f"{file}: transport: {key} must be a {'number' if whole else 'number of seconds'}")
        found[key] = value
    return found
