"""When a monitor does not rest, and what is told of one that cannot."""

from __future__ import annotations

import os
from types import SimpleNamespace
from typing import Any, cast

import pytest

from wherry.monitor.loop import Loop
from wherry.monitor.rest import _rest, rest_if_possible


class Owner:
    """Keeps what was noted."""

    def __init__(self) -> None:
        self.notes: list[tuple[str, dict[str, str]]] = []

    def note(self, action: str, /, **attributes: str) -> None:
        """As `wherry.monitor.main.Owner` has it."""
        self.notes.append((action, attributes))


def test_what_cannot_be_kept_is_told_once() -> None:
    owner = Owner()
    supervisor = SimpleNamespace(others={7: lambda: None}, alarms=[], changes={}, descriptor=-1)
    keeper: Any = SimpleNamespace(supervisor=supervisor, log=None, listener=None, owner=owner, restless="")
    finder = cast(Any, SimpleNamespace(descriptor=os.open("/dev/null", os.O_RDONLY)))
    _rest(keeper, finder)  # returns: another interpreter is executed when everything could be kept
    finder.descriptor = os.open("/dev/null", os.O_RDONLY)
    _rest(keeper, finder)
    ((action, attributes),) = owner.notes
    assert action == "rest_failed"
    assert "<lambda>" in attributes["error"]


def test_a_monitor_that_is_about_to_do_something_does_not_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor does what is due in the same moment get lost."""
    begun: list[str] = []
    monkeypatch.setattr("wherry.monitor.rest._rest", lambda _keeper, _finder: begun.append("rest"))
    monkeypatch.setattr("wherry.precompiled.whole", object)
    loop = Loop()
    keeper: Any = SimpleNamespace(supervisor=loop, prepared=True, owner=SimpleNamespace(rest=lambda: None))
    keeper.rest = lambda: rest_if_possible(keeper)
    loop.later(0, keeper.rest)
    loop.later(0, lambda: begun.append("kill"))
    loop._ring()
    assert begun == ["kill"]
    keeper.rest()
    assert begun == ["kill", "rest"]
