"""What is told of a monitor that cannot rest."""

from __future__ import annotations

import os
from types import SimpleNamespace
from typing import Any, cast

from wherry.monitor.rest import _rest


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
