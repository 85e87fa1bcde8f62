"""Fixtures of `support.bundle`: bundles as root with and without a user namespace, and as an unprivileged user."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from support import places
from support.bundle import Bundle

ALL = ("user", "host", "rootless")


@contextmanager
def scratch_bundle(mode: str) -> Iterator[Bundle]:
    """A bundle that is gone afterwards."""
    directory = places.make("runtime")
    directory.chmod(0o755)
    try:
        yield Bundle(directory, mode)
    finally:
        for place, names, _ in os.walk(directory):
            for name in names:
                if not os.path.islink(os.path.join(place, name)):
                    os.chmod(os.path.join(place, name), 0o700)
        shutil.rmtree(directory)


@pytest.fixture(params=ALL)
def bundle(request: pytest.FixtureRequest) -> Iterator[Bundle]:
    """In each of the three ways."""
    with scratch_bundle(request.param) as found:
        yield found


@pytest.fixture
def user_bundle() -> Iterator[Bundle]:
    """Root, with a user namespace: the default."""
    with scratch_bundle("user") as found:
        yield found


@pytest.fixture
def host_bundle() -> Iterator[Bundle]:
    """Root, in the host's user namespace: ``--userns=host`` and ``--privileged``."""
    with scratch_bundle("host") as found:
        yield found


@pytest.fixture
def rootless_bundle() -> Iterator[Bundle]:
    """An unprivileged user without subordinate ids."""
    with scratch_bundle("rootless") as found:
        yield found
