"""Bundles for the tests of the runtime, layers for those of file systems."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.bundle_fixtures import bundle, host_bundle, rootless_bundle, user_bundle
from support.overlays import Store

__all__ = ["bundle", "host_bundle", "rootless_bundle", "user_bundle"]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """A snapshotter in a directory of the test's own."""
    store = Store(tmp_path)
    yield store
    for name in os.listdir(store.containers):
        store.snapshotter.remove_upper(name)
