"""Containers that live: begun in the background, listed, removed, many at once; and what keeps watch over them."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import measure
import subjects

LISTED = 100  # containers for `ps -a`
MANY = 20  # that run at the same time
_SETTLED = 5.0  # seconds: by then a supervisor has done what a start leaves to do


class Lives:
    """One engine's containers; whatever a turn makes it removes, outside the time that it gives."""

    def __init__(self, engine: subjects.Engine) -> None:
        self.engine = engine

    def begin(self, name: str) -> list[str]:
        return self.engine.detached(name, subjects.IMAGE, "sleep", "9999")

    def run_detached(self) -> float:
        """Milliseconds of ``run -d``."""
        taken = self.engine.time(self.begin("one"))
        self.engine.time(self.engine.remove("one"))
        return taken

    def remove_running(self) -> float:
        """Milliseconds of ``rm -f``."""
        self.engine.time(self.begin("one"))
        return self.engine.time(self.engine.remove("one"))

    def list_all(self) -> float:
        """Milliseconds of ``ps -a``."""
        return self.engine.time([*self.engine.base, "ps", "-a"])

    def begin_many(self) -> float:
        """Milliseconds from the first of `MANY` commands, all at once, to the end of the last."""
        begun = [self.begin(f"many{number}") for number in range(MANY)]
        start = time.perf_counter()
        running = [
            subprocess.Popen(argv, env=subjects.ENV, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            for argv in begun
        ]
        codes = [one.wait() for one in running]
        taken = (time.perf_counter() - start) * 1000
        try:
            if any(codes):
                raise measure.Failed(f"{sum(map(bool, codes))} of {MANY} commands failed")
        finally:
            self.engine.time(self.engine.remove(*self._many()))
        return taken

    def supervisor_memory(self) -> float:
        """MB, by proportional set size, of what each of `MANY` running containers is a child of."""
        names = self._many()
        for name in names:
            self.engine.time(self.begin(name))
        try:
            time.sleep(_SETTLED)
            pids = subjects.output(*self.engine.base, "inspect", "-f", "{{.State.Pid}}", *names).split()
            supervisors = {_parent(int(pid)) for pid in pids}
            return sum(measure.proportional(pid) for pid in supervisors) / len(pids) / 2**20
        finally:
            self.engine.time(self.engine.remove(*names))

    @contextmanager
    def listed(self) -> Iterator[None]:
        """While there are `LISTED` containers, one of them running."""
        names = [f"listed{number}" for number in range(LISTED)]
        try:
            self.engine.time(self.begin(names[0]))
            for name in names[1:]:
                self.engine.time(self.engine.created(name, subjects.IMAGE, "true"))
            yield
        finally:
            self.engine.time(self.engine.remove(*names))

    def _many(self) -> list[str]:
        return [f"many{number}" for number in range(MANY)]


def _parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def turns(lives: dict[str, Lives], which: Callable[[Lives], float]) -> dict[str, Callable[[], float]]:
    """The same of every engine."""
    return {name: partial(which, one) for name, one in lives.items()}
