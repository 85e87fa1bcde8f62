"""What clients tell a monitor, and cannot."""

from __future__ import annotations

import pty
from types import SimpleNamespace
from typing import Any

import pytest

from wherry.monitor.commands import obey
from wherry.monitor.protocol import parse_control


@pytest.mark.parametrize("size", ["[70000, 5]", "[5, 65536]", "[-1, 5]", "[1e999, 5]", "[5]", '["x", 5]', "7"])
def test_a_size_that_no_terminal_has_is_nothing_to_the_monitor(size: str) -> None:
    """Whatever is raised here lets go of the client and of nothing else (`wherry.monitor.supervise`)."""
    console, other = pty.openpty()
    process: Any = SimpleNamespace(console=console)
    owner: Any = SimpleNamespace(note=lambda *_words, **_more: pytest.fail("it was done"))
    message = parse_control(f'{{"resize": {size}}}'.encode())
    with open(console, "rb"), open(other, "rb"), pytest.raises((ValueError, TypeError, KeyError, OverflowError)):
        obey(message, process, owner, SimpleNamespace())  # type: ignore[arg-type]
