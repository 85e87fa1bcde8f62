"""Bundles for the tests of the runtime, layers for those of file systems, a kernel for virtual machines."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from support import needs, vm
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


@pytest.fixture(scope="session")
def kernel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[vm.Kernel]:
    """Debian's kernel; tests with virtual machines are one group, so that it is downloaded once.

    Their subject is a kernel other than this machine's: without a program to run one (`make test` installs it), or
    without a mirror to fetch one from, nothing is left that they could test.
    """
    directory = tmp_path_factory.mktemp("kernel")
    found = vm.Kernel.download(directory) if needs.present("vm") else None
    if found is None:
        pytest.skip(needs.reason("vm"))
    yield found
    shutil.rmtree(directory)
