"""Talking netlink(7): messages of attributes, several requests in one send, dumps.

What the kernel is told is made by `wherry.linux.links`; this module knows the envelope alone, which is the same for
every netlink family (Linux ``uapi/linux/netlink.h``, ``net/netlink/af_netlink.c``).
"""

from __future__ import annotations

import _socket
import os
from _struct import pack, unpack_from

from wherry.errors import SystemFailure
from wherry.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Protocol, Self

    class Elsewhere(Protocol):
        """Who opens in another network namespace what this process cannot open there itself."""

        def socket(self, family: int, kind: int, protocol: int, /) -> _socket.socket:
            """A socket that was made there."""

        def open(self, path: str, flags: int, /) -> int:
            """A descriptor of a file below /proc/sys/net, as it is there."""


elsewhere: Elsewhere | None = None
"""Set while network code of this process is to work in another namespace (`wherry.linux.netns`)."""

ROUTE = 0  # NETLINK_ROUTE: rtnetlink(7)

REQUEST, ACK, DUMP = 0x1, 0x4, 0x300
REPLACE, EXCLUSIVE, CREATE, APPEND = 0x100, 0x200, 0x400, 0x800

NESTED = 0x8000

_ERROR, _DONE = 2, 3
_CAPPED, _HAS_EXTACK = 0x100, 0x200  # NLM_F_CAPPED, NLM_F_ACK_TLVS
_HEADER = 16
_EXTACK_MESSAGE = 1
_SOL_NETLINK, _CAP_ACK, _EXT_ACK, _STRICT = 270, 10, 11, 12
_BUFFER = 1 << 16
_SNDBUFFORCE = 32  # SO_SNDBUFFORCE
_SECONDS = 30.0  # the kernel answers at once; what holds its lock longer than that is broken
_EINTR_DUMP = 0x10  # NLM_F_DUMP_INTR: what was listed has changed meanwhile
_DUMP_TRIES = 20
_KERNEL = (0, 0)


class Message(Record):
    """One request: its type, flags besides `REQUEST`, what follows the header, and what it does, for errors."""

    type: int
    flags: int
    body: bytes
    does: str


class NetlinkFailure(SystemFailure):
    """The kernel refused a request; ``reason`` is what it said about it besides the number, or empty."""

    def __init__(self, operation: str, errno: int, reason: str = "") -> None:
        super().__init__(operation, "netlink", errno)
        self.reason = reason
        if reason:
            self.args = (f"{operation}: {reason} ({os.strerror(errno).lower()})",)
            self.message = self.args[0]


def attribute(kind: int, content: bytes) -> bytes:
    """One attribute, padded to four bytes."""
    return pack("=HH", len(content) + 4, kind) + content + bytes(-len(content) % 4)


def text(kind: int, value: str) -> bytes:
    """An attribute that holds a string."""
    return attribute(kind, value.encode() + b"\0")


def number(kind: int, value: int) -> bytes:
    """An attribute that holds 32 bits."""
    return attribute(kind, pack("=I", value))


def nested(kind: int, *parts: bytes) -> bytes:
    """An attribute that holds attributes."""
    return attribute(kind | NESTED, b"".join(parts))


def attributes(data: bytes, start: int = 0) -> dict[int, bytes]:
    """Attributes by type; of one that comes twice, the last."""
    found: dict[int, bytes] = {}
    while start + 4 <= len(data):
        length, kind = unpack_from("=HH", data, start)
        if length < 4:
            break
        found[kind & 0x3FFF] = data[start + 4 : start + length]
        start += length + 3 & ~3
    return found


def each(data: bytes) -> Iterator[bytes]:
    """The contents of a list's attributes, which have the same type."""
    start = 0
    while start + 4 <= len(data):
        (length,) = unpack_from("=H", data, start)
        if length < 4:
            break
        yield data[start + 4 : start + length]
        start += length + 3 & ~3


def string(content: bytes) -> str:
    """What an attribute with a string holds."""
    return content.partition(b"\0")[0].decode("utf-8", "replace")


def open_socket(family: int, kind: int, protocol: int = 0) -> _socket.socket:
    """A socket of the network namespace that is worked in, for good."""
    if elsewhere is not None:
        return elsewhere.socket(family, kind, protocol)
    return _socket.socket(family, kind, protocol)


def open_parameter(path: str, flags: int) -> int:
    """A descriptor of a kernel parameter of the network namespace that is worked in."""
    return os.open(path, flags) if elsewhere is None else elsewhere.open(path, flags)


def has_parameters(directory: str) -> bool:
    """Whether the network namespace that is worked in has such parameters."""
    if elsewhere is None:
        return os.path.isdir(directory)
    try:
        os.close(elsewhere.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC))
    except OSError:
        return False
    return True


class Socket:
    """A netlink socket: it belongs to the network namespace that its maker worked in, for good.

    Requests are addressed to the kernel by name: it judges them by who sends them then, and not by who made the socket
    as well (``__netlink_ns_capable``).
    """

    __slots__ = ("_sequence", "_socket")

    def __init__(self, protocol: int = ROUTE) -> None:
        try:
            self._socket = open_socket(_socket.AF_NETLINK, _socket.SOCK_RAW | _socket.SOCK_CLOEXEC, protocol)
        except OSError as error:
            raise SystemFailure("speak netlink", "socket", error.errno or 0) from None
        self._sequence = 0
        for option in (_EXT_ACK, _CAP_ACK, _STRICT):
            try:
                self._socket.setsockopt(_SOL_NETLINK, option, 1)
            except OSError:
                pass  # older than 4.12 or 4.20: errors say less, dumps more
        self._socket.settimeout(_SECONDS)

    def do(self, *messages: Message) -> None:
        """Have requests carried out in this order, in one send.

        The kernel goes on after one that fails, so callers send together what they undo together.  Raises
        `NetlinkFailure` for the first that failed, after all have been tried.
        """
        first = self._sequence + 1
        last = self._send(messages, ACK)
        failure: NetlinkFailure | None = None
        for kind, flags, sequence, content in self._answers():
            if kind != _ERROR or not first <= sequence <= last:
                continue
            (errno,) = unpack_from("=i", content)
            if errno and failure is None:
                failure = NetlinkFailure(messages[sequence - first].does, -errno, _reason(flags, content))
            if sequence == last:
                break
        if failure is not None:
            raise failure

    def send_batch(self, encode: Callable[[int], bytes], count: int, does: str) -> None:
        """A transaction of ``count`` changes, of which the last is acknowledged (nfnetlink's batches).

        ``encode`` gives its messages, the envelope numbered as it is told and the changes from there on.  Raises
        `NetlinkFailure` for the first change that was refused: then none has been made.
        """
        first = self._sequence + 1
        self._sequence += count + 2
        data = encode(first)
        try:
            if len(data) > _BUFFER:
                self._socket.setsockopt(_socket.SOL_SOCKET, _SNDBUFFORCE, len(data) * 2)
            self._socket.sendto(data, _KERNEL)
        except OSError as error:
            raise NetlinkFailure(does, error.errno or 0) from None
        for kind, flags, sequence, content in self._answers():
            if kind == _ERROR and first <= sequence <= first + count:
                (errno,) = unpack_from("=i", content)
                if errno:
                    raise NetlinkFailure(does, -errno, _reason(flags, content))
                if sequence == first + count:
                    return

    def dump(self, message: Message) -> list[bytes]:
        """What a listing gives: the part after the header of each message.  Raises `NetlinkFailure`."""
        for _ in range(_DUMP_TRIES):
            found: list[bytes] = []
            sequence, interrupted = self._send((message,), DUMP), False
            for kind, flags, answered, content in self._answers():
                if answered != sequence:
                    continue
                interrupted = interrupted or bool(flags & _EINTR_DUMP)
                if kind == _ERROR or (kind == _DONE and len(content) >= 4):
                    (errno,) = unpack_from("=i", content)
                    if errno:
                        raise NetlinkFailure(message.does, -errno, _reason(flags, content))
                if kind in (_ERROR, _DONE):
                    break
                found.append(content)
            if not interrupted:
                break
        return found

    def get(self, message: Message) -> bytes | None:
        """What a question for one object gives; None where there is none (ENODEV, ENOENT, ESRCH)."""
        sequence = self._send((message,), 0)
        for kind, flags, answered, content in self._answers():
            if answered != sequence:
                continue
            if kind != _ERROR:
                return content
            errno = -unpack_from("=i", content)[0]
            if errno in (2, 3, 19):
                return None
            raise NetlinkFailure(message.does, errno, _reason(flags, content))
        return None

    def _send(self, messages: tuple[Message, ...], flags: int) -> int:
        """Sends them; only the last is acknowledged when it goes well.  Gives its number."""
        data = bytearray()
        for message in messages:
            self._sequence += 1
            more = REQUEST | message.flags | (flags if message is messages[-1] else 0)
            data += pack("=IHHII", _HEADER + len(message.body), message.type, more, self._sequence, 0)
            data += message.body
            data += bytes(-len(message.body) % 4)
        try:
            self._socket.sendto(data, _KERNEL)
        except OSError as error:
            raise NetlinkFailure(messages[0].does, error.errno or 0) from None
        return self._sequence

    def _answers(self) -> Iterator[tuple[int, int, int, bytes]]:
        """(type, flags, number, content) of each message that comes."""
        while True:
            try:
                data = self._socket.recv(_BUFFER)
            except OSError as error:
                raise NetlinkFailure("wait for the kernel's answer", error.errno or 110) from None
            start = 0
            while start + _HEADER <= len(data):
                length, kind, flags, sequence, _port = unpack_from("=IHHII", data, start)
                if length < _HEADER:
                    break
                yield kind, flags, sequence, data[start + _HEADER : start + length]
                start += length + 3 & ~3

    def close(self) -> None:
        """Close it."""
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()


def _reason(flags: int, content: bytes) -> str:
    """The kernel's own words (NLMSGERR_ATTR_MSG), which follow the header of the request, or all of it."""
    if not flags & _HAS_EXTACK or len(content) < 4 + _HEADER:
        return ""
    length = _HEADER if flags & _CAPPED else unpack_from("=I", content, 4)[0]
    found = attributes(content, 4 + (length + 3 & ~3))
    return string(found.get(_EXTACK_MESSAGE, b"")).rstrip(".")
