"""What a client joins to a container's streams: all that is known of it before there is a monitor to talk to."""

from __future__ import annotations

from wherry.record import Record


class Streams(Record):
    """Descriptors, or None for a stream that is not attached."""

    stdin: int | None
    stdout: int | None
    stderr: int | None
    terminal: bool = False
    sig_proxy: bool = True
    detach_keys: bytes = b"\x10\x11"
