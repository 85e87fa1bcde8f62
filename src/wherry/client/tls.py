"""TLS to an engine, behind a plain socket: whoever uses the connection need not know of it.

Each side can end its half of the connection alone, which Python's ``SSLSocket`` cannot do: attached input ends while
output goes on.  So the protocol runs over two memory buffers in a thread of its own.
"""

from __future__ import annotations

import select
import socket
import ssl
import threading

from wherry.client.address import Address, Tls
from wherry.errors import InvalidArgument, Unauthorized

_CHUNK = 64 << 10
_MOST_WAITING = 256 << 10


def context(tls: Tls) -> ssl.SSLContext:
    """What the files say.  Raises `InvalidArgument` naming the one that cannot be used."""
    made = ssl.create_default_context()
    made.minimum_version = ssl.TLSVersion.TLSv1_2
    if not tls.verify:
        made.check_hostname = False
        made.verify_mode = ssl.CERT_NONE
    if tls.authority and tls.verify:
        made = _only(made, tls.authority)
    if bool(tls.certificate) != bool(tls.key):
        missing = "--tlskey" if tls.certificate else "--tlscert"
        raise InvalidArgument("a client certificate and its key go together", hint=f"give {missing} as well")
    if tls.certificate:
        try:
            made.load_cert_chain(tls.certificate, tls.key)
        except (OSError, ssl.SSLError) as error:
            raise _unusable(f"certificate {tls.certificate} with key {tls.key}", error) from None
    return made


def _only(made: ssl.SSLContext, authority: str) -> ssl.SSLContext:
    """Trust nobody but ``authority``."""
    chosen = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    chosen.minimum_version = made.minimum_version
    try:
        chosen.load_verify_locations(authority)
    except (OSError, ssl.SSLError) as error:
        raise _unusable(f"CA certificate {authority}", error) from None
    return chosen


def _unusable(what: str, error: OSError) -> InvalidArgument:
    why = reason(error) if isinstance(error, ssl.SSLError) else (error.strerror or str(error)).lower()
    return InvalidArgument(
        f"cannot use the {what}: {why}", hint="see --tlscacert, --tlscert, --tlskey, DOCKER_CERT_PATH"
    )


class Tunnel:
    """A connection over TLS.  ``plain`` is the socket to use; ``problem`` what ended it before its time, or ""."""

    def __init__(self, wire: socket.socket, address: Address) -> None:
        """Shakes hands; raises `Unauthorized` when the other side is not who it should be."""
        assert address.tls is not None
        self.problem = ""
        self._wire = wire
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context(address.tls).wrap_bio(
            self._incoming, self._outgoing, server_hostname=address.tls.server_name or address.host
        )
        try:
            self._shake_hands()
        except ssl.SSLError as error:
            raise _refused(address, error) from None
        wire.settimeout(None)
        wire.setblocking(False)
        self.plain, self._inner = socket.socketpair()
        self._inner.setblocking(False)
        self._thread = threading.Thread(target=self._run, name="tls", daemon=True)
        self._thread.start()

    def _shake_hands(self) -> None:
        while True:
            try:
                self._tls.do_handshake()
                self._wire.sendall(self._outgoing.read())
                return
            except ssl.SSLWantReadError:
                self._wire.sendall(self._outgoing.read())
                data = self._wire.recv(_CHUNK)
                if not data:
                    raise ssl.SSLError("the connection was closed during the handshake") from None
                self._incoming.write(data)

    def _run(self) -> None:
        try:
            self._relay()
        except (ssl.SSLEOFError, ConnectionError):
            pass  # it went without a word
        except ssl.SSLError as error:
            self.problem = reason(error)
        except OSError as error:
            self.problem = (error.strerror or str(error)).lower()
        finally:
            self._inner.close()
            self._wire.close()

    def _relay(self) -> None:
        """Until the other side has ended its half, or our user has closed."""
        up = bytearray()  # encrypted, for the other side
        down = bytearray()  # plain, for our user
        listening, talking = True, True  # the other side may say more; our user may
        poll = select.poll()
        while listening or down:
            self._receive(down)  # what came with the handshake, or with the last reading
            up += self._outgoing.read()
            poll.register(self._wire, _events(listening and len(down) < _MOST_WAITING, bool(up)))
            poll.register(self._inner, _events(talking and len(up) < _MOST_WAITING, bool(down)))
            for fd, event in poll.poll(0 if down and not listening else None):
                if fd == self._wire.fileno():
                    if event & select.POLLOUT and up:
                        del up[: self._wire.send(up)]
                    if event & ~select.POLLOUT and listening:
                        listening = self._take(down)
                else:
                    if event & select.POLLOUT and down:
                        del down[: self._inner.send(down)]
                    if event & ~select.POLLOUT and talking:
                        talking = self._give()
                    elif event & select.POLLHUP:
                        return
            if not listening and down:
                self._inner.setblocking(True)
                self._inner.sendall(down)
                down.clear()

    def _take(self, down: bytearray) -> bool:
        """Read from the wire; whether there may be more."""
        try:
            data = self._wire.recv(_CHUNK)
        except BlockingIOError:
            return True
        if data:
            self._incoming.write(data)
        else:
            self._incoming.write_eof()
        return self._receive(down) and bool(data)

    def _receive(self, down: bytearray) -> bool:
        """Decrypt what is there; False when the other side has said all."""
        while True:
            try:
                data = self._tls.read(_CHUNK)
            except ssl.SSLWantReadError:
                return True
            except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
                return False
            if not data:
                return False
            down += data

    def _give(self) -> bool:
        """Encrypt what our user says; False at the end of it, which the other side is told."""
        try:
            data = self._inner.recv(_CHUNK)
        except BlockingIOError:
            return True
        if data:
            self._tls.write(data)
            return True
        try:
            self._tls.unwrap()
        except ssl.SSLError:
            pass  # it has not ended its half yet
        return False


def _events(reading: bool, writing: bool) -> int:
    return (select.POLLIN if reading else 0) | (select.POLLOUT if writing else 0)


def reason(error: ssl.SSLError) -> str:
    """What OpenSSL says, in words."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"certificate verify failed: {error.verify_message.lower()}"
    return (error.reason or str(error.args[-1] if error.args else error)).replace("_", " ").lower()


def _refused(address: Address, error: ssl.SSLError) -> Unauthorized:
    why = reason(error)
    if error.reason in ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "RECORD_LAYER_FAILURE", "UNEXPECTED_EOF_WHILE_READING"):
        hint = "does it speak TLS? without, leave out --tls and --tlsverify (DOCKER_TLS_VERIFY)"
    elif isinstance(error, ssl.SSLCertVerificationError):
        hint = "--tlscacert (or ca.pem in DOCKER_CERT_PATH) names the authority that signed its certificate"
    else:
        hint = "--tlscert and --tlskey (or cert.pem and key.pem in DOCKER_CERT_PATH) say who you are"
    return Unauthorized(f"cannot connect to the engine at {address}: TLS: {why}", hint=hint)
