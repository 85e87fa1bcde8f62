"""The log of a container whose driver is ``journald``: what journalctl(1) shows of it, as `docker logs` reads it.

moby, ``daemon/logger/journald/read.go``.  A journal has no place in the container's directory, and outlives it.
"""

from __future__ import annotations

import os
import select
import time

from wherry.errors import NotSupported, WherryError
from wherry.fastjson import JSONError, loads
from wherry.monitor.log import rfc3339
from wherry.monitor.log_records import Entry, normal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from subprocess import Popen
    from typing import Any

    from wherry.monitor.call import Call

_PLACES = ("/usr/bin/journalctl", "/bin/journalctl")
_BLOCK = 1 << 16
_OURS = frozenset(  # the fields of every entry; all others are labels and variables that --log-opt chose
    "MESSAGE MESSAGE_ID PRIORITY CODE_FILE CODE_LINE CODE_FUNC ERRNO IMAGE_NAME SYSLOG_FACILITY SYSLOG_IDENTIFIER"
    " SYSLOG_PID SYSLOG_TIMESTAMP CONTAINER_ID CONTAINER_ID_FULL CONTAINER_NAME CONTAINER_TAG CONTAINER_LOG_EPOCH"
    " CONTAINER_LOG_ORDINAL CONTAINER_PARTIAL_MESSAGE CONTAINER_PARTIAL_ID CONTAINER_PARTIAL_ORDINAL"
    " CONTAINER_PARTIAL_LAST".split()
)


def read(identity: str, since: int, until: int, tail: int, call: Call | None) -> Iterator[list[Entry]]:
    """A container's entries, as `wherry.engine.logs.Wanted` has its numbers; with ``call``, until the container ends.

    Raises `NotSupported` where there is no journalctl, `WherryError` in its words when it fails.
    """
    program = next((path for path in _PLACES if os.access(path, os.X_OK)), "")
    if not program:
        raise NotSupported(
            "configured logging driver does not support reading",
            hint="the journal is read with journalctl, which is not on this host; it is a part of systemd",
        )
    _sync(program)
    show = [program, "--quiet", "--all", "--no-pager", "--output=json", f"CONTAINER_ID_FULL={identity}"]
    some = [f"--since=@{since // 1_000_000_000}"] if since else []
    some += [f"--until=@{until // 1_000_000_000 + 1}"] if until and call is None else []
    first = _Reader([*show, *some, *([f"--lines={max(tail, 1)}"] if tail >= 0 else [])])
    for entries in first.rest():
        yield entries if tail else []  # the last one says where to go on
    if call is None:
        return
    begin = [f"--after-cursor={first.cursor}"] if first.cursor else some
    following = _Reader([*show, "--follow", "--no-tail", *begin])
    try:
        call.say({"wait": True})
        yield from following.until_ended(call, until)
    finally:
        following.close()
        call.channel.close()
    _sync(program)  # and read what it wrote last
    yield from _Reader([*show, *([f"--after-cursor={following.cursor}"] if following.cursor else begin)]).rest()


def _sync(program: str) -> None:
    """Have the journal take in what it was sent; only root may ask for it."""
    import subprocess

    if os.geteuid() == 0:
        subprocess.run([program, "--sync"], stdin=subprocess.DEVNULL, capture_output=True, check=False)


class _Reader:
    """What one journalctl shows; ``cursor`` is where it stands."""

    def __init__(self, argv: list[str]) -> None:
        import subprocess

        self.cursor = ""
        self._rest = b""
        pipe = subprocess.PIPE
        self._process: Popen[bytes] = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe)
        assert self._process.stdout is not None and self._process.stderr is not None
        self._out, self._problem = self._process.stdout, self._process.stderr

    def rest(self) -> Iterator[list[Entry]]:
        """All that is there."""
        try:
            while block := os.read(self._out.fileno(), _BLOCK):
                yield self._entries(block)
            self._check()
        finally:
            self.close()

    def until_ended(self, call: Call, until: int) -> Iterator[list[Entry]]:
        """What comes until the container's monitor says that it has ended, or the time ``until`` is over."""
        poll = select.poll()
        poll.register(self._out.fileno(), select.POLLIN)
        poll.register(call.channel.fileno(), select.POLLIN)
        while True:
            left = max((until - time.time_ns()) // 1_000_000 + 1, 0) if until else None
            ready = [fd for fd, _event in poll.poll(left)]
            if self._out.fileno() in ready:
                block = os.read(self._out.fileno(), _BLOCK)
                if not block:
                    return self._check()
                yield self._entries(block)
            elif ready:
                message = call.hear()
                if message is None or "exited" in message:
                    return
            if until and time.time_ns() > until:
                return

    def close(self) -> None:
        """End it."""
        self._process.kill()
        self._out.close()
        self._problem.close()
        self._process.wait()

    def _check(self) -> None:
        problem = self._problem.read().decode(errors="replace").strip()
        if self._process.wait() and problem:
            raise WherryError(f"reading the journal: {problem.splitlines()[0]}")

    def _entries(self, block: bytes) -> list[Entry]:
        *lines, self._rest = (self._rest + block).split(b"\n")
        documents = [document for document in map(_document, lines) if document]
        if documents:
            self.cursor = str(documents[-1].get("__CURSOR", self.cursor))
        return [entry for entry in map(entry_of, documents) if entry is not None]


def _document(line: bytes) -> dict[str, Any]:
    try:
        found: dict[str, Any] = loads(line)
        return found
    except JSONError:
        return {}


def entry_of(document: dict[str, Any]) -> Entry | None:
    """What journalctl shows as JSON; None for what is none of ours.

    Text that is not UTF-8 comes as a list of bytes, a field that is there several times as a list of texts.
    """
    text = document.get("MESSAGE")
    if isinstance(text, list):
        text = bytes(text) if all(isinstance(one, int) for one in text) else str(text[0]).encode()
    elif isinstance(text, str):
        text = text.encode("utf-8", "surrogatepass")
    else:
        return None
    if document.get("CONTAINER_PARTIAL_MESSAGE") != "true":
        text += b"\n"
    when = document.get("SYSLOG_TIMESTAMP") or rfc3339(int(document["__REALTIME_TIMESTAMP"]) * 1000)
    chosen = {name: value for name, value in document.items() if name not in _OURS and not name.startswith("_")}
    attributes = {name: value for name, value in chosen.items() if isinstance(value, str)}
    return Entry(text, "stderr" if document.get("PRIORITY") == "3" else "stdout", normal(when), attributes)
