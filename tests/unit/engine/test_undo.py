"""What was made is taken back in reverse order, once, unless it is kept."""

from __future__ import annotations

import pytest

from wherry.engine.undo import Undo


def test_steps_are_taken_back_in_reverse_order_when_a_later_one_fails() -> None:
    calls: list[str] = []
    with pytest.raises(ZeroDivisionError), Undo() as undo:
        undo.callback(calls.append, "first")
        undo.callback(calls.append, "second")
        raise ZeroDivisionError
    assert calls == ["second", "first"]


def test_what_is_kept_stays() -> None:
    calls: list[str] = []
    with Undo() as undo:
        undo.callback(calls.append, "first")
        undo.keep()
    assert calls == []


def test_an_undo_that_fails_does_not_keep_the_others_from_being_called() -> None:
    calls: list[str] = []

    def fail() -> None:
        raise OSError("disk")

    with pytest.raises(ZeroDivisionError), Undo() as undo:
        undo.callback(calls.append, "first")
        undo.callback(fail)
        raise ZeroDivisionError
    assert calls == ["first"]
    with pytest.raises(OSError, match="disk"), Undo() as undo:
        undo.callback(fail)
