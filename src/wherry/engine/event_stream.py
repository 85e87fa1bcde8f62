"""``docker events``: what happened, and what happens, in whatever process.

A follower sleeps until a file of the database is written to (inotify(7)), and reads what was committed since it last
read: nothing is missed and nothing comes twice (docs/decisions/0095-events.md).
"""

from __future__ import annotations

import os
import select
import time

from wherry.errors import InvalidArgument
from wherry.record import Record
from wherry.store.events import after, newest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from typing import Any

    from wherry.engine.engine import Engine
    from wherry.store.events import Event

    Filters = Mapping[str, Sequence[str]]

FILTERS = (
    "config", "container", "daemon", "event", "image", "label", "network", "node", "plugin", "scope", "secret",
    "service", "type", "volume",
)  # fmt: skip
_OF_KIND = ("container", "network", "volume", "plugin", "daemon", "node", "service", "secret", "config")
_WITH_DETAILS = ("health_status", "exec_create", "exec_start")
_NO_INOTIFY_MS = 250


class Wanted(Record):
    """Which events: ``since`` and ``until`` are epoch nanoseconds, or 0.

    Without ``until`` they never end; with neither they begin now.  ``filters`` are Docker's.
    """

    since: int = 0
    until: int = 0
    filters: Filters = {}


def stream(engine: Engine, wanted: Wanted, stop: int = -1) -> Iterator[list[Event]]:
    """The events in the order in which they were committed, in pieces, as they come; from this call on none is missed.

    ``stop`` is a descriptor that becomes readable when the caller wants no more.  Raises `InvalidArgument` for a filter
    that is none, and when it would have to end before it begins.
    """
    matches = matcher(wanted.filters)
    since, until = wanted.since, wanted.until
    if until and until < since:
        raise InvalidArgument(f"`since` time ({_seconds(since)}) cannot be after `until` time ({_seconds(until)})")
    return _stream(engine, wanted, matches, 0 if since or until else newest(engine.db), stop)


def _stream(
    engine: Engine, wanted: Wanted, matches: Callable[[Event], bool], last: int, stop: int
) -> Iterator[list[Event]]:
    db, since, until = engine.db, wanted.since, wanted.until
    watch = -1 if until and until <= time.time_ns() else _watch(os.path.dirname(db.path))
    ended = False
    try:
        while True:
            ended = ended or bool(until and until <= time.time_ns())
            found = after(db, last, settled=True)
            if found:
                last = found[-1].number
                yield [one for one in found if one.time >= since and (not until or one.time <= until) and matches(one)]
            if ended:
                return
            ended = _stopped(watch, stop, until)
    finally:
        if watch >= 0:
            os.close(watch)


def _seconds(nanoseconds: int) -> str:
    return f"{nanoseconds // 1_000_000_000}.{nanoseconds % 1_000_000_000:09d}"


def _watch(directory: str) -> int:
    from wherry.linux import inotify

    try:
        return inotify.watch(directory)
    except OSError:
        return -1  # this user has too many already


def _stopped(watch: int, stop: int, until: int) -> bool:
    """Wait until there may be more to read; whether the caller wants no more."""
    poll = select.poll()
    for fd in (watch, stop):
        if fd >= 0:
            poll.register(fd, select.POLLIN)
    timeout = None if watch >= 0 else _NO_INOTIFY_MS
    if until:
        left = max((until - time.time_ns()) // 1_000_000 + 1, 0)
        timeout = left if timeout is None else min(left, timeout)
    ready = [fd for fd, _event in poll.poll(timeout)]
    if watch in ready:
        os.read(watch, 1 << 16)
    return stop in ready


def matcher(filters: Filters) -> Callable[[Event], bool]:
    """Whether an event passes all ``filters``: of the values of each, one has to fit; of labels, all.

    Raises `InvalidArgument` for a filter that Docker does not have.
    """
    for name in filters:
        if name not in FILTERS:
            raise InvalidArgument(f"invalid filter '{name}'", hint=f"known are {', '.join(FILTERS)}")
    actions = filters.get("event", ())
    loose = any(text in _WITH_DETAILS for text in actions)

    def matches(event: Event) -> bool:
        if actions and not any(event.action.startswith(text) if loose else event.action == text for text in actions):
            return False
        if "type" in filters and event.kind not in filters["type"]:
            return False
        if "scope" in filters and "local" not in filters["scope"]:
            return False
        named = (event.actor, event.attributes.get("name", ""))
        for kind in _OF_KIND:
            texts = filters.get(kind, ())
            if texts and not (event.kind == kind and any(one.startswith(text) for one in named for text in texts)):
                return False
        if "image" in filters and not _of_image(event, filters["image"]):
            return False
        return all(_has(event.attributes, text) for text in filters.get("label", ()))

    return matches


def _of_image(event: Event, wanted: Sequence[str]) -> bool:
    """By its id or name, with or without the tag."""
    name = event.attributes.get("name" if event.kind == "image" else "image", "")
    return any(text in wanted for one in (event.actor, name) for text in (one, _without_tag(one)))


def _without_tag(text: str) -> str:
    head, _slash, last = text.rpartition("/")
    return f"{head}{_slash}{last.partition('@')[0].partition(':')[0]}"


def _has(attributes: Mapping[str, str], text: str) -> bool:
    name, equals, value = text.partition("=")
    return name in attributes and (not equals or attributes[name] == value)


def document(event: Event) -> dict[str, Any]:
    """An event as Docker's API sends it (``GET /events``), with the older fields that it has for two of the kinds."""
    older: dict[str, Any] = {}
    if event.kind in ("container", "image"):
        older = {"status": event.action, "id": event.actor, "from": event.attributes.get("image", "")}
        if event.kind == "image":
            del older["from"]
        older = {name: value for name, value in older.items() if value}
    return {
        **older,
        "Type": event.kind,
        "Action": event.action,
        "Actor": {"ID": event.actor, "Attributes": event.attributes},
        "scope": "local",
        "time": event.time // 1_000_000_000,
        "timeNano": event.time,
    }
