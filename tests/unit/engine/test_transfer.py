"""A blob that is read while it is written; jobs that stop each other; times; errors that cross a process."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from wherry import errors
from wherry.engine import times, worker
from wherry.engine.engine import Engine
from wherry.engine.progress import Silent
from wherry.engine.transfer import Crew, Follower, Growing, Meter, Restarted, Shared, Whole
from wherry.errors import Cancelled, Corrupt, NotFound, SystemFailure, Unavailable
from wherry.oci import digest

BODY = bytes(range(256)) * 4000
DIGEST = digest.of(BODY)


class Reader(threading.Thread):
    """Reads a follower to its end."""

    def __init__(self, growing: Growing, shared: Shared) -> None:
        super().__init__(daemon=True)
        self.follower = Follower(growing.reader(), shared, shared.generation)
        self.data = b""
        self.error: BaseException | None = None
        self.ended = False
        self.start()

    def run(self) -> None:
        try:
            while piece := self.follower.read(10_000):
                self.data += piece
            self.ended = True
        except BaseException as error:
            self.error = error
        finally:
            self.follower.close()


@pytest.fixture
def shared() -> Iterator[Shared]:
    memory = Shared()
    yield memory
    memory.close()


def test_followers_see_everything_and_the_end_when_it_is_verified(engine: Engine, shared: Shared) -> None:
    with engine.content.writer(DIGEST, len(BODY)) as writer:
        growing = Growing(writer, shared)
        reader = Reader(growing, shared)
        for start in range(0, len(BODY), 100_000):
            growing.write(BODY[start : start + 100_000])
        time.sleep(0.05)
        assert not reader.ended
        growing.commit()
        reader.join(5)
    assert reader.ended and reader.data == BODY


def test_followers_of_a_resumed_blob_begin_at_its_beginning(engine: Engine, shared: Shared) -> None:
    with engine.content.writer(DIGEST, len(BODY)) as writer:
        writer.write(BODY[:5000])
    with engine.content.writer(DIGEST, len(BODY)) as writer:
        growing = Growing(writer, shared)
        assert growing.offset == 5000
        reader = Reader(growing, shared)
        growing.write(BODY[5000:])
        growing.commit()
        reader.join(5)
    assert reader.data == BODY


def test_a_restart_is_told(engine: Engine, shared: Shared) -> None:
    with engine.content.writer(DIGEST, len(BODY)) as writer:
        growing = Growing(writer, shared)
        growing.write(b"wrong")
        reader = Reader(growing, shared)
        while shared.position < 5:
            time.sleep(0.01)
        growing.restart()
        reader.join(5)
        assert isinstance(reader.error, Restarted)
        again = Reader(growing, shared)
        growing.write(BODY)
        growing.commit()
        again.join(5)
    assert again.data == BODY


def test_a_wrong_blob_never_ends_for_its_followers(engine: Engine, shared: Shared) -> None:
    with engine.content.writer(DIGEST, len(BODY)) as writer:
        growing = Growing(writer, shared)
        reader = Reader(growing, shared)
        growing.write(b"x" + BODY[1:])
        with pytest.raises(Corrupt):
            growing.commit()
        growing.fail()
        reader.join(5)
    assert isinstance(reader.error, Cancelled)
    assert not reader.ended and not engine.content.has(DIGEST)


def test_whole(engine: Engine) -> None:
    seen: list[int] = []
    engine.content.put(BODY)
    source = Whole(engine.content.path(DIGEST), seen.append)
    data = b""
    while piece := source.read(300_000):
        data += piece
    source.close()
    assert data == BODY and seen[-1] == len(BODY)


# -- crews -----------------------------------------------------------------------------------------------------------


def test_a_crew_does_every_job(engine: Engine) -> None:
    del engine
    done: list[int] = []
    Crew(3, lambda: None).run([lambda number=number: done.append(number) for number in range(20)])  # type: ignore[misc]
    assert sorted(done) == list(range(20))
    Crew(3, lambda: None).run([])


def test_the_first_failure_stops_the_others() -> None:
    stopped = threading.Event()
    crew = Crew(2, stopped.set)
    begun: list[str] = []

    def bad() -> None:
        begun.append("bad")
        raise Corrupt("first")

    def waiting() -> None:
        begun.append("waiting")
        stopped.wait(5)
        crew.check()

    def never() -> None:
        begun.append("never")

    with pytest.raises(Corrupt, match="first"):
        crew.run([waiting, bad, never, never])
    assert "never" not in begun


def test_a_meter_is_not_too_loud() -> None:
    told: list[int] = []

    class Ear(Silent):
        def advance(self, item: str, current: int, total: int) -> None:
            assert (item, total) == ("x", 100)
            told.append(current)

    meter = Meter(Ear(), "x", 100)
    for number in range(1000):
        meter(number)
    assert 1 <= len(told) < 50


# -- errors and times ------------------------------------------------------------------------------------------------


class Nearer(Unavailable):
    """A class that only its own package knows."""


@pytest.mark.parametrize(
    "error",
    [
        NotFound("image", "x", hint="h"),
        Corrupt("c", hint="h"),
        SystemFailure("do", "call", 13, hint="h"),
        Nearer("far", hint="h"),
    ],
)
def test_errors_cross_processes(error: errors.WherryError) -> None:
    copy = worker._error(*worker._plain(error))
    assert isinstance(error, type(copy))
    assert type(copy).__module__ == "wherry.errors"
    assert (str(copy), copy.message, copy.hint, copy.status) == (str(error), error.message, "h", error.status)
    if isinstance(error, NotFound) and isinstance(copy, NotFound):
        assert (copy.kind, copy.name) == (error.kind, error.name)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("2023-11-14T22:13:20Z", 1_700_000_000),
        ("2023-11-14T22:13:20.123456789Z", 1_700_000_000),
        ("2023-11-14T23:13:20.5+01:00", 1_700_000_000),
        ("0001-01-01T00:00:00Z", -62135596800),
        ("", -62135596800),
        ("yesterday", -62135596800),
        ("99999-01-01T00:00:00Z", -62135596800),
    ],
)
def test_epoch_seconds(text: str, seconds: int) -> None:
    assert times.epoch_seconds(text) == seconds


@pytest.mark.parametrize(
    ("nanoseconds", "text"),
    [
        (0, "0001-01-01T00:00:00Z"),
        (1_700_000_000_000_000_000, "2023-11-14T22:13:20Z"),
        (1_700_000_000_120_000_000, "2023-11-14T22:13:20.12Z"),
        (1_700_000_000_000_000_001, "2023-11-14T22:13:20.000000001Z"),
    ],
)
def test_rfc3339(nanoseconds: int, text: str) -> None:
    assert times.rfc3339(nanoseconds) == text
