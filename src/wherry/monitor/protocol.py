"""What a monitor and its clients say to each other over ``monitor.sock``.

The framing is the Docker Engine API's for attached streams (v1.50, *Attach to a container*): one byte of kind, three
zero bytes, four bytes of big-endian length, then the payload.  Kinds 0-2 are the standard streams; an empty STDIN
frame is end-of-file.  Kind 3 is a JSON object.

A client first says what it wants: ``{"attach": {"stdin": bool, "stdout": bool, "stderr": bool}}`` or ``{"wait":
true}``, and is told ``{"started": pid}``.  Any client may give commands: ``{"signal": n}``, ``{"resize": [rows,
columns]}``, ``{"stop": {"signal": n, "timeout": seconds, "keep": bool, "shutdown": bool}}`` (SIGKILL after
``timeout``, never when that is negative; ``keep``: it is going to be started again; ``shutdown``: nobody asked, the
machine goes down), ``{"pause": true, "hold": bool}`` (``hold``: until this client goes), ``{"unpause": true, "hold":
bool}`` (``hold``: if this client's pause is still in force), ``{"update": {"record": text, "resources": {}}}``; one
that is not attached gets an answer to each, ``{"done": true}`` or what `describe_error` makes of an error.  In the end
every client is told ``{"exited": status, "oom_killed": bool, "restarting": bool}``: with ``restarting``, the monitor is
going to start the container again and listens for new clients meanwhile.
"""

from __future__ import annotations

import _struct as struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from wherry.errors import WherryError

STDIN, STDOUT, STDERR, CONTROL = 0, 1, 2, 3
MAX_PAYLOAD = 1 << 16

_HEADER = struct.Struct("!BxxxI")


def frame(kind: int, payload: bytes) -> bytes:
    """One frame; ``payload`` is at most MAX_PAYLOAD bytes."""
    return _HEADER.pack(kind, len(payload)) + payload


def control(message: dict[str, Any]) -> bytes:
    """A CONTROL frame."""
    from wherry.fastjson import dumps

    return frame(CONTROL, dumps(message).encode())


class Decoder:
    """Cuts a byte stream into frames.  Raises ValueError at a frame that no sender of ours makes.

    ``pending`` is the part of a frame that has come.
    """

    def __init__(self) -> None:
        self.pending = bytearray()

    def feed(self, data: bytes) -> Iterator[tuple[int, bytes]]:
        """The frames that ``data`` completes, in order."""
        pending = self.pending
        pending += data
        start = 0
        while len(pending) - start >= _HEADER.size:
            kind, length = _HEADER.unpack_from(pending, start)
            if kind > CONTROL or length > MAX_PAYLOAD:
                raise ValueError(f"not a monitor frame: kind {kind}, {length} bytes")
            end = start + _HEADER.size + length
            if len(pending) < end:
                break
            yield kind, bytes(pending[start + _HEADER.size : end])
            start = end
        del pending[:start]


def describe_error(error: BaseException) -> dict[str, Any]:
    """An error as a message that `raise_error` turns into the same error in another process."""
    from wherry.errors import WherryError

    if not isinstance(error, WherryError):
        return {"error": "WherryError", "message": f"{type(error).__name__}: {error}", "hint": ""}
    return {"error": type(error).__name__, "message": error.message, "hint": error.hint}


def raise_error(message: dict[str, Any]) -> None:
    """Raise what `describe_error` described."""
    raise error_from(message)


def error_from(message: dict[str, Any]) -> WherryError:
    """What `describe_error` described."""
    from wherry import errors

    cls: type[WherryError] = getattr(errors, message["error"], errors.WherryError)
    error = cls.__new__(cls)
    errors.WherryError.__init__(error, message["message"], hint=message["hint"])
    return error


def exit_code(message: dict[str, Any]) -> int:
    """The exit status that goes with what `describe_error` described."""
    from wherry import errors

    return int(getattr(errors, message["error"], errors.WherryError).exit_code)


def parse_control(payload: bytes) -> dict[str, Any]:
    """The object in a CONTROL frame.  Raises ValueError."""
    from wherry.fastjson import loads

    message = loads(payload)
    if not isinstance(message, dict):
        raise ValueError("a control frame holds a JSON object")
    return message
