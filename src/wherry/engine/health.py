"""Health checks of a container that runs: its monitor keeps the time, a child of the monitor runs each check.

The child is forked for one check and ends with it (docs/decisions/0081-health-checks.md): what enters a container is
never loaded into the monitor, and a check that hangs keeps nobody.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]
import marshal
import os
import time

from wherry.container import health
from wherry.container.health import Health, Result

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wherry.container.record import ContainerRecord
    from wherry.engine.engine import Engine
    from wherry.engine.life import Life
    from wherry.monitor.supervise import Supervisor
    from wherry.store.db import Database

_MOST_ANSWER = 1 << 16


def load(db: Database, container_id: str) -> Health:
    """What the checks of a container have found last; its status is in its row."""
    from wherry.fastjson import loads
    from wherry.store import health as rows

    streak, log = rows.get(db, container_id)
    return Health("", streak, tuple([Result(**one) for one in loads(log)]))


def keep(db: Database, container_id: str, found: Health) -> None:
    """For `load`."""
    from wherry.fastjson import dumps
    from wherry.store import health as rows

    rows.put(db, container_id, found.streak, dumps([result.as_dict() for result in found.log]))


class HealthChecks:
    """The checks of one life, in its monitor's loop; ``life`` is told what there is to know after each."""

    def __init__(
        self,
        engine: Engine,
        record: ContainerRecord,
        pid: int,
        supervisor: Supervisor,
        life: Life,
    ) -> None:
        self._engine = engine
        self._record = record
        self._pid = pid
        self._supervisor = supervisor
        self._life = life
        self._health = Health(health.STARTING, 0, load(engine.db, record.id).log)
        self._began = time.monotonic()
        self._child = self._reader = -1
        self._answer = b""
        self._start = 0
        self._age = 0.0
        self._schedule()

    def _schedule(self) -> None:
        delay = health.interval(self._record.options, self._health.status, time.monotonic() - self._began)
        self._supervisor.later(delay, self._check)

    def _check(self) -> None:
        if self._life.is_paused:  # what enters it now would stand still as well
            self._schedule()
            return
        self._start, self._age, self._answer = time.time_ns(), time.monotonic() - self._began, b""
        self._reader, writer = os.pipe2(os.O_CLOEXEC)
        self._engine.will_fork()
        self._child = os.fork()
        if not self._child:
            try:
                _answer(self._engine, self._record, self._pid, writer)
            finally:
                os._exit(0)
        os.close(writer)
        self._supervisor.watch(self._reader, self._hear)

    def _hear(self) -> None:
        """Part of the child's answer, or its end."""
        data = os.read(self._reader, _MOST_ANSWER)
        self._answer += data
        if data:
            return
        self._leave_child()
        try:
            code, output = marshal.loads(self._answer)
        except (EOFError, ValueError, TypeError):
            code, output = health.CANNOT_RUN, "the process that runs the check was killed"
        result = Result(self._start, time.time_ns(), code, output)
        self._health = self._health.after(result, self._record.options, self._age)
        self._life.checked(self._health)
        self._schedule()

    def _leave_child(self) -> None:
        self._supervisor.unwatch(self._reader)
        os.close(self._reader)
        os.waitpid(self._child, 0)
        self._child = self._reader = -1

    def end(self) -> None:
        """The container has ended: so does a check."""
        if self._child > 0:
            os.kill(self._child, _signal.SIGKILL)
            self._leave_child()


def _answer(engine: Engine, record: ContainerRecord, pid: int, writer: int) -> None:
    """In the child: run the check and say how it ended.  Nothing of the monitor's stays open or is used."""
    from wherry import precompiled
    from wherry.engine.probe import probe
    from wherry.linux import prctl
    from wherry.monitor.main import keep_only

    parent = os.getppid()
    prctl.set_parent_death_signal(_signal.SIGKILL)
    if os.getppid() != parent:
        return
    keep_only([writer, *precompiled.descriptors()])
    os.write(writer, marshal.dumps(probe(engine, record, pid)))
