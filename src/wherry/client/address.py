"""Where an engine is: ``unix://PATH``, ``tcp://HOST:PORT``, ``ssh://[USER@]HOST[:PORT][PATH]`` (docker(1), *-H*)."""

from __future__ import annotations

from wherry.errors import InvalidArgument, NotSupported
from wherry.record import Record

_PLAIN_PORT, _TLS_PORT = 2375, 2376


class Tls(Record):
    """Files of a client on TCP: whom it trusts, who it is.  ``verify`` False takes whatever certificate comes."""

    authority: str = ""
    certificate: str = ""
    key: str = ""
    verify: bool = True
    server_name: str = ""  # that the certificate is to name, when not the host's


class Address(Record):
    """One place.  ``path`` is a unix socket: here, or at the far end of ssh ("": where its engine says).

    ``source`` says who wanted it, for messages: ``-H``, ``DOCKER_HOST``, ``the context NAME``.
    """

    kind: str
    host: str = ""
    port: int = 0
    user: str = ""
    path: str = ""
    tls: Tls | None = None
    source: str = ""

    def __str__(self) -> str:
        if self.kind == "unix":
            return f"unix://{self.path}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        user = f"{self.user}@" if self.user else ""
        return f"{self.kind}://{user}{host}{f':{self.port}' if self.port else ''}{self.path}"


def parse(text: str, *, tls: Tls | None = None, source: str = "") -> Address:
    """The place that ``text`` names.  Without a scheme it is TCP, as docker(1) has it.

    Raises `InvalidArgument`, `NotSupported` for the schemes of other systems.
    """
    kind, separator, rest = text.strip().partition("://")
    if not separator:
        kind, rest = "tcp", text.strip()
    if kind == "unix":
        if not rest.startswith("/"):
            raise _wrong(text, source, "the path of a unix socket is absolute")
        return Address("unix", path=rest, source=source)
    if kind in ("tcp", "http", "https"):
        place, slash, _path = rest.partition("/")
        host, port = _host_and_port(place, text, source)
        if not host and not (place and not slash):
            raise _wrong(text, source, "it names no host")
        return Address("tcp", host or "localhost", port or (_TLS_PORT if tls else _PLAIN_PORT), tls=tls, source=source)
    if kind == "ssh":
        place, slash, path = rest.partition("/")
        user, _at, place = place.rpartition("@")
        if ":" in user:
            raise _wrong(text, source, "plain-text password is not supported")
        host, port = _host_and_port(place, text, source)
        if not host:
            raise _wrong(text, source, "it names no host")
        if host.startswith("-") or user.startswith("-"):  # ssh(1) would take it for an option
            raise _wrong(text, source, "neither a host nor a user begins with a dash")
        return Address("ssh", host, port, user, slash + path if path else "", source=source)
    if kind in ("npipe", "fd"):
        raise NotSupported(f"cannot connect to {text}: {kind}:// is not a place for clients on Linux", hint=_FORMS)
    raise _wrong(text, source, f"{kind}:// is not known")


_FORMS = "write unix:///PATH, tcp://HOST:PORT or ssh://[USER@]HOST[:PORT]"


def _host_and_port(place: str, text: str, source: str) -> tuple[str, int]:
    host, colon, port = place.rpartition(":")
    if not colon or port.endswith("]"):
        host, port = place, ""
    if host.startswith("[") != host.endswith("]") or (":" in host and not host.startswith("[")):
        raise _wrong(text, source, "an IPv6 address stands in brackets")
    if (colon and not port and host != place) or (port and not (port.isascii() and port.isdigit())):
        raise _wrong(text, source, "the port is a number")
    if port and not 0 < int(port) < 1 << 16:
        raise _wrong(text, source, "the port is a number up to 65535")
    host = host.strip("[]")
    if any(character.isspace() or not character.isprintable() for character in host):
        raise _wrong(text, source, "a host has no blanks")
    return host, int(port or 0)


def _wrong(text: str, source: str, why: str) -> InvalidArgument:
    where = f" ({source})" if source else ""
    return InvalidArgument(f"unable to parse docker host `{text}`{where}: {why}", hint=_FORMS)
