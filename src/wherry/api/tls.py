"""TLS under the server, in which each side may end its half alone.

asyncio's own closes the connection when the client has said all, which loses the output of a container whose input
ends first (``docker run -i``); nor does it send the alert that says why a client is refused.
"""

from __future__ import annotations

import asyncio
import ssl

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_CHUNK = 256 << 10
_PATIENCE = 30.0  # seconds for a handshake


class Tls(asyncio.Protocol):
    """The bytes of one connection; ``factory`` makes what speaks over it, once the client is known."""

    def __init__(self, context: ssl.SSLContext, factory: Callable[[], asyncio.Protocol]) -> None:
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.session = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self._factory = factory
        self._raw: asyncio.Transport
        self._timer: asyncio.TimerHandle | None = None
        self._ended = False
        self.upper: asyncio.Protocol | None = None

    # -- the wire's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Somebody has connected, and has to show who it is."""
        assert isinstance(transport, asyncio.Transport)
        self._raw = transport
        self._timer = asyncio.get_running_loop().call_later(_PATIENCE, transport.abort)

    def data_received(self, data: bytes) -> None:
        """Decrypt."""
        self._incoming.write(data)
        self.advance()

    def eof_received(self) -> bool:
        """The client has gone: who only ends its half says so within TLS."""
        return False

    def pause_writing(self) -> None:
        """The client does not keep up."""
        if self.upper is not None:
            self.upper.pause_writing()

    def resume_writing(self) -> None:
        """It does again."""
        if self.upper is not None:
            self.upper.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """The client has gone."""
        self._ended = True
        if self._timer is not None:
            self._timer.cancel()
        if self.upper is not None:
            self.upper.connection_lost(exc)

    # -- ours

    def advance(self) -> None:
        """Do with what has come as much as can be done."""
        try:
            if self.upper is None:
                self.session.do_handshake()
                self._begin()
            self._read()
        except ssl.SSLWantReadError:
            self.flush()
        except ssl.SSLError:
            self._ended = True
            self.flush()  # the alert
            self._raw.close()

    def _begin(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self.flush()
        self.upper = self._factory()
        self.upper.connection_made(TlsTransport(self, self._raw))

    def _read(self) -> None:
        """Raises SSLWantReadError when there is no more for now."""
        while not self._ended and self._raw.is_reading():
            assert self.upper is not None
            try:
                data = self.session.read(_CHUNK)
            except ssl.SSLZeroReturnError:
                data = b""
            if data:
                self.upper.data_received(data)
                continue
            self._ended = True
            if not self.upper.eof_received():
                self.close()

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Encrypt and send."""
        if data and not self._raw.is_closing():
            self.session.write(data)
            self.flush()

    def flush(self) -> None:
        """Send what is encrypted."""
        if self._outgoing.pending and not self._raw.is_closing():
            self._raw.write(self._outgoing.read())

    def close(self) -> None:
        """Say that nothing more comes, and close when it is sent."""
        if self._raw.is_closing():
            return
        try:
            self.session.unwrap()
        except ssl.SSLError:
            pass  # the client has not ended its half, and need not
        self.flush()
        self._raw.close()


class TlsTransport(asyncio.Transport):
    """What is spoken inside, as a transport of asyncio's."""

    def __init__(self, tls: Tls, raw: asyncio.Transport) -> None:
        super().__init__()
        self._tls = tls
        self._raw = raw

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Of the connection, and of TLS."""
        known = {"ssl_object": self._tls.session, "sslcontext": self._tls.session.context}
        return known.get(name) or self._raw.get_extra_info(name, default)

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Somebody else speaks from now on."""
        assert isinstance(protocol, asyncio.Protocol)
        self._tls.upper = protocol

    def get_protocol(self) -> asyncio.BaseProtocol:
        """Who speaks."""
        assert self._tls.upper is not None
        return self._tls.upper

    def is_reading(self) -> bool:
        """Whether what comes is taken."""
        return self._raw.is_reading()

    def pause_reading(self) -> None:
        """Take no more for now."""
        self._raw.pause_reading()

    def resume_reading(self) -> None:
        """Take what comes, and what came meanwhile."""
        if not self._raw.is_reading() and not self._raw.is_closing():
            self._raw.resume_reading()
            asyncio.get_running_loop().call_soon(self._tls.advance)

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """When to have the writer wait."""
        self._raw.set_write_buffer_limits(high, low)

    def get_write_buffer_size(self) -> int:
        """Bytes that wait."""
        return self._raw.get_write_buffer_size()

    def get_write_buffer_limits(self) -> tuple[int, int]:
        """When the writer waits."""
        return self._raw.get_write_buffer_limits()

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send."""
        self._tls.write(data)

    def can_write_eof(self) -> bool:
        """Nothing here wants to."""
        return False

    def is_closing(self) -> bool:
        """Whether it ends."""
        return self._raw.is_closing()

    def close(self) -> None:
        """When everything is sent."""
        self._tls.close()

    def abort(self) -> None:
        """At once."""
        self._raw.abort()
