"""Bundles for the tests of the runtime, and a place for hostile archives."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.bundle_fixtures import bundle, host_bundle, rootless_bundle, user_bundle
from support.hostile import BASE

__all__ = ["bundle", "host_bundle", "rootless_bundle", "user_bundle"]


@pytest.fixture
def base() -> Iterator[Path]:
    shutil.rmtree(BASE, ignore_errors=True)
    BASE.mkdir(mode=0o700)
    yield BASE
    shutil.rmtree(BASE, ignore_errors=True)
