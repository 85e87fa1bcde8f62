"""Which events pass which filters, and that a follower reads what others commit, once, however it comes."""

from __future__ import annotations

import os
import threading
import time

import pytest

from wherry.engine.engine import Engine
from wherry.engine.event_stream import Wanted, document, matcher, stream
from wherry.errors import InvalidArgument
from wherry.store import events
from wherry.store.db import Database
from wherry.store.events import Event

STARTED = Event(
    1, 1_700_000_000_000_000_001, "container", "start", "c" * 64,
    {"name": "web", "image": "reg.io:5000/nginx:1.2", "tier": "front"},
)  # fmt: skip
TAGGED = Event(2, 2, "image", "tag", "sha256:" + "d" * 64, {"name": "nginx:latest"})
EXEC = Event(3, 3, "container", "exec_start: sh -c true", "c" * 64, {"name": "web", "execID": "1"})


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({}, [STARTED, TAGGED, EXEC]),
        ({"container": ["web"]}, [STARTED, EXEC]),
        ({"container": ["cccc"]}, [STARTED, EXEC]),
        ({"container": ["other", "we"]}, [STARTED, EXEC]),
        ({"container": ["web"], "event": ["start"]}, [STARTED]),
        ({"event": ["exec_start"]}, [EXEC]),
        ({"event": ["exec_start: sh -c true"]}, [EXEC]),
        ({"event": ["start", "tag"]}, [STARTED, TAGGED]),
        ({"type": ["image"]}, [TAGGED]),
        ({"image": ["nginx"]}, [TAGGED]),
        ({"image": ["nginx:latest"]}, [TAGGED]),
        ({"image": ["reg.io:5000/nginx"]}, [STARTED]),
        ({"image": ["reg.io"]}, []),
        ({"label": ["tier"]}, [STARTED]),
        ({"label": ["tier=front", "name=web"]}, [STARTED]),
        ({"label": ["tier=front", "name=db"]}, []),
        ({"scope": ["local"]}, [STARTED, TAGGED, EXEC]),
        ({"scope": ["swarm"]}, []),
        ({"volume": ["web"]}, []),
    ],
)
def test_filters(filters: dict[str, list[str]], expected: list[Event]) -> None:
    matches = matcher(filters)
    assert [one for one in (STARTED, TAGGED, EXEC) if matches(one)] == expected


def test_a_filter_that_is_none() -> None:
    with pytest.raises(InvalidArgument, match="invalid filter 'colour'"):
        matcher({"colour": ["red"]})


def test_documents() -> None:
    assert document(STARTED) == {
        "status": "start", "id": "c" * 64, "from": "reg.io:5000/nginx:1.2", "Type": "container", "Action": "start",
        "Actor": {"ID": "c" * 64, "Attributes": STARTED.attributes}, "scope": "local", "time": 1_700_000_000,
        "timeNano": 1_700_000_000_000_000_001,
    }  # fmt: skip
    assert list(document(TAGGED))[:3] == ["status", "id", "Type"]
    assert list(document(TAGGED.replace(kind="volume")))[:2] == ["Type", "Action"]


def test_old_ones_go_and_numbers_go_on(engine: Engine) -> None:
    with engine.db.transaction():
        for number in range(4096 + 300):
            events.record(engine.db, "image", "tag", str(number), {})
    kept = events.after(engine.db, 0)
    assert 4000 <= len(kept) <= 4096 + 128
    assert kept[-1].actor == "4395" and events.newest(engine.db) == kept[-1].number == 4396


def test_a_follower_sees_each_event_of_other_connections_once(engine: Engine) -> None:
    """Also those that are committed while it reads, and none of a transaction that is taken back."""
    other, count = Database(engine.db.path), 300
    heard: list[Event] = []
    begun = threading.Event()
    stop, end = os.pipe()

    def follow() -> None:
        for found in stream(Engine(engine.paths), Wanted(since=1), stop):
            heard.extend(found)
            begun.set()

    events.record(engine.db, "volume", "create", "first", {})
    follower = threading.Thread(target=follow)
    follower.start()
    assert begun.wait(20)
    for number in range(count):
        with other.transaction():
            events.record(other, "volume", "create", str(number), {"driver": "local"})
        try:
            with other.transaction():
                events.record(other, "volume", "destroy", str(number), {})
                raise RuntimeError
        except RuntimeError:
            pass
    deadline = time.monotonic() + 20
    while len(heard) <= count and time.monotonic() < deadline:
        time.sleep(0.01)
    os.close(end)
    follower.join()
    os.close(stop)
    other.close()
    assert [one.actor for one in heard] == ["first", *map(str, range(count))]


def test_what_happens_after_the_call_is_told(engine: Engine) -> None:
    """Not only what happens after the follower first looks: a client acts as soon as it is told that it is heard."""
    events.record(engine.db, "volume", "create", "before", {})
    followed = stream(engine, Wanted())
    events.record(engine.db, "volume", "create", "after", {})
    assert [one.actor for one in next(followed)] == ["after"]


def test_times_choose(engine: Engine) -> None:
    events.record(engine.db, "volume", "create", "a", {})
    (first,) = events.after(engine.db, 0)
    events.record(engine.db, "volume", "create", "b", {})
    second = events.after(engine.db, first.number)[0]

    def actors(**wanted: int) -> list[str]:
        return [one.actor for found in stream(engine, Wanted(**wanted)) for one in found]

    now = time.time_ns()
    assert actors(until=now) == ["a", "b"]
    assert actors(since=second.time, until=now) == ["b"]
    assert actors(until=first.time) == ["a"]
    with pytest.raises(InvalidArgument, match="cannot be after"):
        actors(since=now, until=first.time)
