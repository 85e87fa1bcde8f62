"""The sockets that `wherry serve` answers on.

A unix socket is as powerful as its owner: for root, as root.  It is open to its owner and one group.  TCP is only
offered with certificates on both sides (docs.docker.com/engine/security/protect-access).
"""

from __future__ import annotations

import os
import socket
import stat

from wherry.errors import Conflict, InvalidArgument, NotFound, SystemFailure
from wherry.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    import ssl
    from collections.abc import Sequence

FIRST_FD = 3  # sd_listen_fds(3)
GROUP = "wherry"
NAME = "wherry.sock"
_PORT = 2376


class Identity(Record):
    """The files of a server on TCP: whose clients it lets in, who it is, and its key."""

    authority: str = ""
    certificate: str = ""
    key: str = ""


def listen(hosts: Sequence[str], *, run: str, group: str, identity: Identity, inherited: int) -> list[socket.socket]:
    """A listening socket for each of ``hosts`` (by default the unix socket in the run root ``run``).

    ``inherited`` is how many sockets systemd has handed over.  Raises `InvalidArgument`, `Conflict` when a server
    answers there already, `NotFound` for the group, `SystemFailure`.
    """
    made: list[socket.socket] = []
    try:
        for host in hosts or (["fd://"] if inherited else [f"unix://{run}/{NAME}"]):
            kind, separator, place = host.partition("://")
            if kind == "unix" and place:
                made.append(_unix(place, run, group))
            elif kind == "tcp" and place:
                if not (identity.authority and identity.certificate and identity.key):
                    raise InvalidArgument(
                        f"refusing to listen on {host} without client certificates: whoever connects is root",
                        hint="give --tlscacert, --tlscert and --tlskey, or reach the unix socket over ssh",
                    )
                made.append(_tcp(place))
            elif kind == "fd" and separator:
                if not inherited:
                    raise InvalidArgument("fd:// needs sockets from systemd, and there are none")
                made += [socket.socket(fileno=FIRST_FD + number) for number in range(inherited)]
            else:
                raise InvalidArgument(f"invalid host: {host}", hint="write unix:///PATH, tcp://ADDRESS:PORT or fd://")
    except BaseException:
        close(made)
        raise
    return made


def close(sockets: Sequence[socket.socket]) -> None:
    """Close them; those that were made here are removed from the file system."""
    for one in sockets:
        one.close()
        if isinstance(one, _Named) and os.path.exists(one.path):
            os.unlink(one.path)


class _Named(socket.socket):
    """A unix socket whose file was made here."""

    path = ""


def _unix(path: str, run: str, group: str) -> socket.socket:
    if not path.startswith("/"):
        raise InvalidArgument(f"invalid host: unix://{path}: the path must be absolute")
    number = _group(group)
    _clear(path)
    listener = _Named(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        os.fchmod(listener.fileno(), 0o600)  # before it has a name, so that nobody is too early
        listener.bind(path)
        listener.path = path
        if number is not None:
            os.chown(path, -1, number)
            if os.path.dirname(path) == run:
                os.chown(run, -1, number)
                os.chmod(run, 0o710)  # to pass through; everything else in it is closed
        os.chmod(path, 0o660)
        listener.listen()
    except OSError as error:
        listener.close()
        raise SystemFailure(f"listen on unix://{path}", "bind", error.errno or 0) from None
    return listener


def _group(name: str) -> int | None:
    """The group that may connect; none but the owner's where the usual one does not exist."""
    import grp

    try:
        return grp.getgrnam(name or GROUP).gr_gid if os.geteuid() == 0 or name else None
    except KeyError:
        if name:
            raise NotFound("group", name, f"group {name} does not exist") from None
        return None


def _clear(path: str) -> None:
    """Remove the socket that a killed server has left.  Raises `Conflict` when something else is there."""
    try:
        if not stat.S_ISSOCK(os.lstat(path).st_mode):
            raise Conflict(f"cannot listen on unix://{path}: the file exists and is no socket")
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            os.unlink(path)
            return
        except OSError as error:
            raise SystemFailure(f"listen on unix://{path}", "connect", error.errno or 0) from None
    raise Conflict(f"cannot listen on unix://{path}: another server answers there")


def _tcp(place: str) -> socket.socket:
    address, colon, port = place.rpartition(":")
    if not colon:
        address, port = place, str(_PORT)
    if not (port.isascii() and port.isdigit() and int(port) < 1 << 16):
        raise InvalidArgument(f"invalid host: tcp://{place}: the port is a number up to 65535")
    address = address.strip("[]")
    try:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        return socket.create_server((address, int(port)), family=family)
    except OSError as error:
        raise SystemFailure(f"listen on tcp://{place}", "bind", error.errno or 22) from None


def names(identity: Identity) -> frozenset[str]:
    """The hosts that the certificate is for."""
    import ssl

    decode = ssl._ssl._test_decode_cert  # type: ignore[attr-defined]  # the library has no public way to read one
    try:
        found = decode(identity.certificate)
    except (OSError, ssl.SSLError) as error:
        raise InvalidArgument(f"cannot use the certificates: {error}") from None
    return frozenset([value.lower() for kind, value in found.get("subjectAltName", ()) if kind == "DNS"])


def tls(identity: Identity) -> ssl.SSLContext:
    """TLS in which both sides have to show who they are.  Raises `InvalidArgument`."""
    import ssl

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.verify_mode = ssl.CERT_REQUIRED
    try:
        context.load_verify_locations(identity.authority)
        context.load_cert_chain(identity.certificate, identity.key)
    except (OSError, ssl.SSLError) as error:
        raise InvalidArgument(f"cannot use the certificates: {error}") from None
    return context
