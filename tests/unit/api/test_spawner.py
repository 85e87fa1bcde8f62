"""The process that forks for the server."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

from wherry.api.spawner import Answer, Spawner, Worker
from wherry.errors import NotFound, Unavailable
from wherry.record import Record


def add(worker: Worker, first: int, second: int) -> int:
    worker.tell("adding")
    return first + second


def refuse(_worker: Worker) -> None:
    raise NotFound("thing", "x")


def pass_on(worker: Worker) -> Answer:
    return Answer("here", worker.descriptors[0])


def die(_worker: Worker) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def fail(_worker: Worker) -> None:
    raise ZeroDivisionError("division")


@pytest.fixture
def spawner() -> Iterator[Spawner]:
    one = Spawner({task.__name__: task for task in (add, refuse, pass_on, die, fail)})
    yield one
    one.close()


def test_a_task_tells_and_answers(spawner: Spawner) -> None:
    call = spawner.call("add", 2, 3)
    assert call.hear() == ("adding", None)
    assert call.hear() == (None, Answer(5))
    call.close()


def test_errors_come_through(spawner: Spawner) -> None:
    with pytest.raises(NotFound, match="No such thing: x"):
        spawner.call("refuse").hear()
    with pytest.raises(Exception, match="ZeroDivisionError: division"):
        spawner.call("fail").hear()
    with pytest.raises(Unavailable):
        spawner.call("die").hear()
    assert spawner.call("add", 1, 1).hear()[0] == "adding"  # the others do not notice


def test_descriptors_go_there_and_back(spawner: Spawner) -> None:
    reading, writing = os.pipe()
    _told, answer = spawner.call("pass_on", descriptors=[writing]).hear()
    os.close(writing)
    assert isinstance(answer, Record) and answer.value == "here"
    os.write(answer.descriptor, b"through")
    os.close(answer.descriptor)
    assert os.read(reading, 100) == b"through"
    os.close(reading)
