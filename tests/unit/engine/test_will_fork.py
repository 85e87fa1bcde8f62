"""What a child finds of its parent's database: nothing."""

from __future__ import annotations

import os
from pathlib import Path

from wherry.engine.engine import Engine
from wherry.engine.paths import here


def opened(path: str) -> list[str]:
    found = []
    for fd in os.listdir("/proc/self/fd"):
        try:
            found.append(os.readlink(f"/proc/self/fd/{fd}"))
        except FileNotFoundError:
            continue
    return [name for name in found if name.startswith(path)]


def test_who_has_the_database_from_before_a_fork_has_the_one_that_the_next_closes(tmp_path: Path) -> None:
    """``write(engine.db, make(engine))`` takes the database first, and ``make`` forks."""
    engine = Engine(here(root=str(tmp_path / "root"), run=str(tmp_path / "run")))
    before = engine.db
    before.row("SELECT 1 FROM containers")
    assert opened(engine.layout.db)
    engine.will_fork()
    assert not opened(engine.layout.db)
    assert before.row("SELECT count(*) FROM containers") == (0,)
    engine.will_fork()
    assert not opened(engine.layout.db)
