"""Clients with short patience and a server that can be told to misbehave."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from support.clients import QUICK
from support.faulty import Faulty
from wherry.registry.client import Client


@pytest.fixture
def server() -> Iterator[Faulty]:
    with Faulty() as running:
        yield running


@pytest.fixture
def client() -> Iterator[Client]:
    with Client(QUICK) as made:
        yield made


@pytest.fixture
def client_of() -> Iterator[Callable[..., Client]]:
    """``client_of(hosts=…, certificates=…)``: a client with a changed configuration."""
    made: list[Client] = []

    def make(**changes: object) -> Client:
        made.append(Client(QUICK.replace(**changes)))
        return made[-1]

    yield make
    for one in made:
        one.close()
