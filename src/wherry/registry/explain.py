"""What urllib3, ssl and the socket say, in the words in which Docker says it."""

from __future__ import annotations

import http.client
import socket
import ssl
from urllib.parse import urlsplit

from urllib3 import exceptions as failed

from wherry.errors import Unavailable
from wherry.registry.failures import Transient, printable


class NotTls(Unavailable):
    """The server does not speak TLS."""


def show(method: str, url: str) -> str:
    """``Get "https://host/path"``, without the query, which may hold a signature."""
    verb = {"GET": "Get", "HEAD": "Head", "POST": "Post"}.get(method, method)
    return f'{verb} "{printable(url.partition("?")[0], 250)}"'


def explain(error: Exception, method: str, url: str, *, known: bool) -> Unavailable:
    """The error of urllib3, said as Docker says it.  ``known`` hosts answered before, so their silence may pass."""
    where = show(method, url)
    if isinstance(error, failed.ProxyError):
        return _kind_for(known)(f"{where}: proxyconnect: {printable(str(error.args[0]), 160)}")
    inner = error.args[0] if error.args and isinstance(error, failed.SSLError) else error
    if isinstance(inner, ssl.SSLCertVerificationError):
        return Unavailable(f"{where}: tls: failed to verify certificate: {_untrusted(inner)}", hint=_TRUST_HINT)
    if isinstance(inner, ssl.SSLError) and not isinstance(inner, ssl.SSLEOFError | ssl.SSLZeroReturnError):
        return _tls_failure(where, inner, known)
    if isinstance(error, failed.NameResolutionError):
        code = getattr(error.__cause__, "errno", None)
        text = "no such host" if code in (socket.EAI_NONAME, socket.EAI_NODATA) else "temporary failure"
        return _kind_for(known and text != "no such host")(f"{where}: lookup {urlsplit(url).hostname}: {text}")
    if isinstance(error, failed.NewConnectionError | failed.ConnectTimeoutError):
        said = error.args[-1] if error.args else error
        return _kind_for(known)(f"{where}: dial tcp {urlsplit(url).netloc}: {_last(str(said))}")
    if isinstance(error, failed.ReadTimeoutError | TimeoutError):
        return Transient(f"{where}: timeout awaiting {'more of the body' if method == 'read' else 'response headers'}")
    if isinstance(error, failed.LocationValueError | ValueError) and not isinstance(error, failed.ProtocolError):
        return Unavailable(f"{where}: malformed URL or answer: {printable(str(error), 120)}")
    cause = error.args[-1] if error.args and isinstance(error.args[-1], Exception) else error
    if isinstance(cause, http.client.LineTooLong) or "got more than" in str(cause):
        return Unavailable(f"{where}: malformed HTTP response: the header is too large")
    if isinstance(cause, http.client.BadStatusLine) and not isinstance(cause, http.client.RemoteDisconnected):
        return Unavailable(f"{where}: malformed HTTP response")
    text = cause.strerror if isinstance(cause, OSError) and cause.strerror else ""
    return Transient(f"{where}: {text.lower() if text else 'unexpected EOF'}")


def _kind_for(known: bool) -> type[Unavailable]:
    """`Transient` for a host that answered before, `Unavailable` for one that never did."""
    return Transient if known else Unavailable


_TRUST_HINT = "put its CA certificate into certs.d/<host:port>/ca.crt, or set insecure = true for it in registries.toml"


def _tls_failure(where: str, error: ssl.SSLError, known: bool) -> Unavailable:
    reason = (error.reason or "").upper()
    if reason in ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "HTTP_REQUEST", "PACKET_LENGTH_TOO_LONG"):
        hint = "if it has no TLS on purpose, set insecure = true for it in registries.toml"
        return NotTls(f"{where}: http: server gave HTTP response to HTTPS client", hint=hint)
    if "ALERT" in reason and ("CERTIFICATE" in reason or "UNKNOWN_CA" in reason or "HANDSHAKE" in reason):
        hint = "the registry may want a client certificate: certs.d/<host:port>/client.cert and client.key"
        return Unavailable(f"{where}: remote error: tls: {reason.lower().replace('_', ' ')}", hint=hint)
    text = f"{where}: tls: {(error.reason or 'failure').lower().replace('_', ' ')}"
    return Transient(text) if known else NotTls(text)


def _untrusted(error: ssl.SSLCertVerificationError) -> str:
    code = error.verify_code
    if code in (18, 19, 20, 21):
        return "x509: certificate signed by unknown authority"
    if code in (9, 10):
        return "x509: certificate has expired or is not yet valid"
    return f"x509: {printable(error.verify_message or str(error), 160)}"


def _last(text: str) -> str:
    said = text.rpartition(": ")[2].lower()
    return f"connect: {said}" if said else "connect: failed"
