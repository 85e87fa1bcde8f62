"""The state machine and Docker's words for it."""

from __future__ import annotations

import pytest

from wherry.container import state
from wherry.container.state import State
from wherry.errors import Conflict

S = 1_000_000_000


def test_a_life() -> None:
    born = State()
    running = born.started(42, 10 * S)
    assert (running.status, running.pid, running.running) == ("running", 42, True)
    paused = running.to(state.PAUSED)
    assert (paused.pid, paused.running) == (42, True)
    gone = paused.to(state.RUNNING).exited(137, 20 * S, oom_killed=True)
    assert (gone.status, gone.pid, gone.exit_code, gone.oom_killed, gone.running) == ("exited", 0, 137, True, False)
    again = gone.started(43, 30 * S)
    assert (again.exit_code, again.oom_killed) == (0, False)
    waiting = again.restarting(7, 40 * S)
    assert (waiting.status, waiting.pid, waiting.exit_code, waiting.restart_count) == ("restarting", 0, 7, 1)
    assert waiting.started(44, 50 * S).restarting(7, 60 * S).restart_count == 2  # counted as long as it is by itself
    assert waiting.to(state.EXITED).started(44, 50 * S).restart_count == 0
    assert again.to(state.REMOVING).to(state.DEAD).to(state.REMOVING).status == "removing"


@pytest.mark.parametrize(
    ("start", "end"),
    [
        ("created", "paused"),
        ("exited", "paused"),
        ("dead", "running"),
        ("removing", "running"),
        ("created", "restarting"),
    ],
)
def test_steps_that_do_not_exist(start: str, end: str) -> None:
    with pytest.raises(Conflict, match=f"a container that is {start} cannot become {end}"):
        State(start).to(end)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "Less than a second"), (1, "1 second"), (59, "59 seconds"), (60, "About a minute"), (119, "About a minute"),
        (180, "3 minutes"), (3599, "59 minutes"), (3600, "About an hour"), (7200, "2 hours"), (86400, "24 hours"),
        (172800, "2 days"), (14 * 86400, "2 weeks"), (60 * 86400, "2 months"), (730 * 86400, "2 years"),
        (-5, "Less than a second"),
    ],
)  # fmt: skip
def test_durations(seconds: int, text: str) -> None:
    assert state.duration_text(seconds * S) == text


def test_status_texts() -> None:
    text = state.status_text
    assert text(State(), 0) == "Created"
    assert text(State("running", started_at=1), 180 * S + 1) == "Up 3 minutes"
    assert text(State("paused", started_at=1), 180 * S + 1) == "Up 3 minutes (Paused)"
    assert text(State("restarting", exit_code=3, finished_at=1), 5 * S + 1) == "Restarting (3) 5 seconds ago"
    assert text(State("exited", exit_code=0, finished_at=1), 7200 * S + 1) == "Exited (0) 2 hours ago"
    assert text(State("removing"), 0) == "Removal In Progress"
    assert text(State("dead"), 0) == "Dead"
