"""``docker logs``."""

from __future__ import annotations

import os
import select
import time

from wherry.container.logging import DEFAULT
from wherry.container.logging import path as log_path
from wherry.engine.containers import ALIVE, find, load
from wherry.engine.stop import call_monitor
from wherry.errors import InvalidArgument, NotSupported
from wherry.monitor.log_reader import LogReader
from wherry.monitor.log_records import normal
from wherry.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from wherry.engine.engine import Engine
    from wherry.monitor.call import Call
    from wherry.monitor.log_records import Entry
    from wherry.store.containers import ContainerRow

_NO_INOTIFY_MS = 250


class Wanted(Record):
    """Which part of a log: ``since`` and ``until`` are epoch nanoseconds or 0, ``tail`` is a number of lines or -1."""

    since: int = 0
    until: int = 0
    tail: int = -1
    follow: bool = False


def _readable(engine: Engine, name: str) -> tuple[ContainerRow, str]:
    """A container and the driver of its log."""
    row = find(engine, name)
    driver = load(row).options.log_driver or DEFAULT
    if driver == "none":
        raise NotSupported("configured logging driver does not support reading", hint=f"{name} keeps no log")
    return row, driver


def read(engine: Engine, name: str, wanted: Wanted) -> Iterator[list[Entry]]:
    """The container's output in pieces; with ``follow``, until it ends, also when it is removed meanwhile.

    Raises `NotFound`, `NotSupported` when there is no log to read.
    """
    row, driver = _readable(engine, name)
    call = call_monitor(engine, row) if wanted.follow and row.status in ALIVE else None
    if driver == "journald":
        from wherry.engine import journal

        found = journal.read(row.id, wanted.since, wanted.until, wanted.tail, call)
        return _between(found, _text(wanted.since), _text(wanted.until))
    path = log_path(engine.layout.container(row.id), row.id, driver)
    watch = _watch(os.path.dirname(path)) if call is not None else -1
    found = _read(LogReader(path, wanted.tail, driver), call, watch, wanted)
    return _between(found, _text(wanted.since), _text(wanted.until))


def texts(
    engine: Engine, name: str, wanted: Wanted, *, details: bool = False, timestamps: bool = False
) -> Iterator[list[tuple[str, bytes]]]:
    """What `read` gives as people see it: "stdout" or "stderr", and text, with what else is known of it in front."""
    for entries in read(engine, name, wanted):
        yield [(entry.stream, _shown(entry, details, timestamps)) for entry in entries]


def _shown(entry: Entry, details: bool, timestamps: bool) -> bytes:
    text = entry.details.encode() + b" " + entry.text if details else entry.text
    return entry.time.encode() + b" " + text if timestamps else text


def _between(pieces: Iterator[list[Entry]], since: str, until: str) -> Iterator[list[Entry]]:
    """The entries of a time; nothing is read that comes after it."""
    for entries in pieces:
        if since:
            entries = [entry for entry in entries if entry.time >= since]
        if until and entries and entries[-1].time > until:
            yield [entry for entry in entries if entry.time <= until]
            return
        yield entries


def _read(reader: LogReader, call: Call | None, watch: int, wanted: Wanted) -> Iterator[list[Entry]]:
    try:
        if call is not None:
            call.say({"wait": True})
        while True:
            yield from reader.read()
            if call is None or (wanted.until and time.time_ns() > wanted.until):
                return
            if _ended(call, watch, wanted.until):
                call.channel.close()
                call = None  # and read what it wrote last
    finally:
        reader.close()
        if watch >= 0:
            os.close(watch)
        if call is not None:
            call.channel.close()


def _watch(directory: str) -> int:
    from wherry.linux import inotify

    try:
        return inotify.watch(directory)
    except OSError:
        return -1  # this user has too many already


def _ended(call: Call, watch: int, until: int) -> bool:
    """Wait until there may be more to read; whether the container has ended."""
    poll = select.poll()
    poll.register(call.channel.fileno(), select.POLLIN)
    timeout = None if watch >= 0 else _NO_INOTIFY_MS
    if watch >= 0:
        poll.register(watch, select.POLLIN)
    if until:
        left = max((until - time.time_ns()) // 1_000_000 + 1, 0)
        timeout = left if timeout is None else min(left, timeout)
    for fd, _event in poll.poll(timeout):
        if fd == watch:
            try:
                os.read(watch, 1 << 16)
            except BlockingIOError:
                pass
        else:
            message = call.hear()
            if message is None or "exited" in message:
                return True
    return False


def _text(nanoseconds: int) -> str:
    """A time as log lines have it; "" for 0."""
    if not nanoseconds:
        return ""
    second, fraction = divmod(nanoseconds, 1_000_000_000)
    return normal(time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second)) + f".{fraction:09d}Z")


_LAST = (1 << 63) - 1


def timestamp(text: str, name: str) -> int:
    """Epoch nanoseconds of a time: RFC 3339 and its beginnings (local time where no zone is given), a duration back
    from now, or epoch seconds with a fraction.  0 for ""; what is later than 2262 is as late as 64 bits can say.

    Raises `InvalidArgument`, naming the option ``name``.
    """
    if not text:
        return 0
    from wherry.container.parse import duration

    whole, point, fraction = text.partition(".")
    if whole.isascii() and whole.isdigit() and (not point or (fraction.isascii() and fraction.isdigit())):
        if text != "0":
            late = len(whole.lstrip("0")) > 10  # digits
            return _LAST if late else min(int(whole) * 1_000_000_000 + int(f"{fraction[:9]:0<9}"), _LAST)
        return 0
    try:
        return max(time.time_ns() - duration(text), -_LAST)
    except InvalidArgument:
        pass
    moment = _rfc3339(text)
    if moment is None:
        raise InvalidArgument(
            f'invalid value for "{name}": failed to parse value as time or duration: "{text}"',
            hint="write for example 2013-01-02T13:23:37Z, 42m or 1357133017",
        )
    return min(moment, _LAST)


def _rfc3339(text: str) -> int | None:
    from datetime import datetime

    whole, point, rest = text.partition(".")
    digits = rest[: len(rest) - len(rest.lstrip("0123456789"))]
    if point and not digits:
        return None
    try:
        moment = datetime.fromisoformat(whole + rest[len(digits) :])
        seconds = int(moment.timestamp())  # of the local time zone when it names none
    except (ValueError, OverflowError):
        return None
    return seconds * 1_000_000_000 + int(f"{digits[:9]:0<9}")
