"""Processes that write layers: what they answer, and what becomes of it when one of them, or the pull, ends early."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator

import pytest

from support.images import Layer
from wherry.engine import forms, unpack
from wherry.engine.engine import Engine
from wherry.engine.hands import Hand, Hands
from wherry.engine.transfer import Growing
from wherry.errors import Cancelled, Corrupt, Unavailable, WherryError
from wherry.oci import digest as digests
from wherry.store import layers
from wherry.store.unsynced import Note, Promise

TAR = Layer(compression="none").file("a", b"a" * 300_000).file("b", b"b").tar()
DIGEST = digests.of(TAR)
NOTHING = Promise((), (), "")


def nothing(_position: int) -> None:
    pass


@pytest.fixture
def hands(engine: Engine) -> Iterator[Hands]:
    with Note(engine.layout, NOTHING) as note, Hands(engine, 2, unpack.apply_options(engine), note) as them:
        yield them


@pytest.fixture
def path(engine: Engine) -> str:
    engine.content.put(TAR)
    return engine.content.path(DIGEST)


def test_a_layer_is_written_and_noted_once(engine: Engine, hands: Hands, path: str) -> None:
    seen: list[int] = []
    with hands.one() as hand:
        hand.read(path, seen.append)
        unpack.bring(engine, DIGEST, DIGEST, hand)
        assert hand.shared.position == len(TAR)
    row = layers.get(engine.db, DIGEST)
    assert row is not None and forms.is_kept(engine, row) and row.size == 300_001
    with hands.one() as other:  # nothing is left to do
        unpack.bring(engine, DIGEST, DIGEST, other)


def test_another_layer_than_was_said(engine: Engine, hands: Hands, path: str) -> None:
    for _ in range(3):  # a hand that has failed is as good as before
        with hands.one() as hand:
            hand.read(path, nothing)
            with pytest.raises(Corrupt, match="has the diff id"):
                unpack.bring(engine, DIGEST, digests.of(b"another"), hand)
    assert engine.tars.names() == [] and [one for one in engine.snapshotter.names() if "no-layers" not in one] == []


def growing(engine: Engine, hand: Hand, work: Callable[[Growing], None]) -> BaseException | None:
    """What came of unpacking while ``work`` wrote the blob."""
    failed: list[BaseException] = []

    def bring() -> None:
        try:
            unpack.bring(engine, DIGEST, DIGEST, hand)
        except BaseException as error:
            failed.append(error)

    with engine.content.writer(DIGEST, len(TAR)) as writer:
        blob = Growing(writer, hand.shared)
        hand.follow(blob.reader())
        thread = threading.Thread(target=bring)
        thread.start()
        work(blob)
        thread.join(20)
        assert not thread.is_alive()
    return failed[0] if failed else None


def test_a_blob_that_grows(engine: Engine, hands: Hands) -> None:
    def work(blob: Growing) -> None:
        for start in range(0, len(TAR), 50_000):
            blob.write(TAR[start : start + 50_000])
        blob.commit()

    with hands.one() as hand:
        assert growing(engine, hand, work) is None
    assert layers.get(engine.db, DIGEST) is not None


def read_so_far(hand: Hand, size: int) -> None:
    while hand.shared.position < size:
        os.sched_yield()


def test_a_blob_that_begins_again_or_is_given_up(engine: Engine, hands: Hands) -> None:
    with hands.one() as hand:

        def again(blob: Growing) -> None:
            blob.write(TAR[:1000])
            read_so_far(hand, 1000)
            blob.restart()
            blob.write(TAR)

        assert isinstance(growing(engine, hand, again), Unavailable)

        def fail(blob: Growing) -> None:
            blob.write(TAR[blob.offset : 2000])
            blob.fail()

        assert isinstance(growing(engine, hand, fail), Cancelled)
    assert layers.get(engine.db, DIGEST) is None
    assert engine.tars.names() == [] and [one for one in engine.snapshotter.names() if "no-layers" not in one] == []


def test_a_hand_that_is_killed(engine: Engine, hands: Hands) -> None:
    with hands.one() as hand:

        def kill(blob: Growing) -> None:
            blob.write(TAR[:1000])
            read_so_far(hand, 1000)
            os.kill(hand.pid, signal.SIGKILL)

        error = growing(engine, hand, kill)
        assert isinstance(error, WherryError) and "has ended" in str(error)
    assert layers.get(engine.db, DIGEST) is None
    engine.tars.sweep()
    engine.snapshotter.sweep()
    assert engine.tars.names() == [] and [one for one in engine.snapshotter.names() if "no-layers" not in one] == []


def keep(hand: Hand) -> None:
    with pytest.raises((WherryError, OSError)):
        hand.keep(DIGEST, "")


def test_leaving_in_the_middle_ends_them(engine: Engine) -> None:
    with (
        Note(engine.layout, NOTHING) as note,
        Hands(engine, 1, unpack.apply_options(engine), note) as hands,
        hands.one() as hand,
        engine.content.writer(DIGEST, len(TAR)) as writer,
    ):
        blob = Growing(writer, hand.shared)
        hand.follow(blob.reader())
        thread = threading.Thread(target=keep, args=(hand,))
        thread.start()
        blob.write(TAR[:1000])
        read_so_far(hand, 1000)
    thread.join(20)
    with pytest.raises(ProcessLookupError):
        os.kill(hand.pid, 0)
    assert not os.path.exists(engine.layout.unsynced)
