"""Layers applied as whoever runs the tests: owners ignored, whiteouts in the form an unprivileged overlay reads."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from support.tars import END, Dribble
from wherry.layers.apply import Applied, ApplyOptions, apply

OPTIONS = ApplyOptions(whiteouts="overlay-user", ownership="ignore", devices="skip")


def unpack(data: bytes, into: Path, options: ApplyOptions = OPTIONS) -> Applied:
    """Apply the members ``data`` to a new directory."""
    into.mkdir(mode=0o700)
    fd = os.open(into, os.O_RDONLY | os.O_DIRECTORY)
    try:
        return apply(Dribble(data + END, most=5000), fd, options)
    finally:
        os.close(fd)


@pytest.fixture
def layer(tmp_path: Path) -> Callable[..., tuple[Path, Applied]]:
    """``layer(members)``: where they were unpacked, and the report."""
    made = 0

    def make(data: bytes, options: ApplyOptions = OPTIONS) -> tuple[Path, Applied]:
        nonlocal made
        made += 1
        path = tmp_path / f"layer{made}"
        return path, unpack(data, path, options)

    return make
