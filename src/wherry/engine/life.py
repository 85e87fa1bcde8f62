"""What the engine does as a container lives: the monitor tells, the database remembers."""

from __future__ import annotations

import time

from wherry.container.modes import container_of
from wherry.container.record import ContainerRecord
from wherry.container.state import EXITED, PAUSED, RESTARTING, RUNNING, State
from wherry.engine import events
from wherry.engine.containers import ALIVE, bury, monitor_lock, note_end, state
from wherry.engine.containers import load as load_record
from wherry.errors import Conflict, NotFound, NotModified, WherryError
from wherry.linux.process import boot_id
from wherry.store import containers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from wherry.container.health import Health
    from wherry.container.restart import BackOff
    from wherry.engine.engine import Engine
    from wherry.engine.health import HealthChecks
    from wherry.engine.lower import Lower
    from wherry.engine.network import Sandbox
    from wherry.engine.user_network import UserSandbox
    from wherry.monitor.supervise import Supervisor
    from wherry.runtime.create import Stdio
    from wherry.runtime.external import ExternalProcess
    from wherry.runtime.process import Process

PATIENCE = 30.0  # seconds that another command may take to finish with the container
_SIGKILL = 9
_SHUTDOWN = -1  # `wherry.monitor.commands.SHUTDOWN`
NOT_STARTED = 128  # exit code of a container that could not be started, where the error has none of its own


def load(engine: Engine, network: str) -> None:
    """Import and look up what the making of a container needs, while there is nothing else to do."""
    from wherry.container import spec  # noqa: F401
    from wherry.engine import facts  # noqa: F401
    from wherry.linux.seccomp import profile  # noqa: F401
    from wherry.monitor import keep, log, protocol, supervise  # noqa: F401
    from wherry.runtime import create, inside_mounts, mounts, parent, plan, process, trees  # noqa: F401

    if not engine.rootless and has_sandbox(network):
        from wherry.engine import network as networks  # noqa: F401

    _ = engine.host
    engine.db.row("PRAGMA user_version")


class Life:
    """The `wherry.monitor.main.Owner` of one container; lives in its monitor.

    While it holds the container's lock nobody else changes the container's state, so what it knows of that is true.
    """

    def __init__(self, engine: Engine, details: dict[str, Any]) -> None:
        self._engine = engine
        self._record = ContainerRecord.from_json(details["record"]).replace(id_base=details["id_base"])
        self._new: bool = details["new"]
        self._attached: bool = details["attached"]
        self._stopped = False  # by a command that stops, which events tell
        self._lock = monitor_lock(engine, self._record.id)
        self._state = State()
        self._removes = self._record.options.auto_remove
        self._stopping = False  # by that or a signal: it is not started again
        self._noted = True  # in the database: how it ended
        self._began = 0.0  # by the clock that nobody sets
        self._back_off: BackOff | None = None
        self._checks: HealthChecks | None = None
        self._sandbox: Sandbox | UserSandbox | None = None
        self._lower: Lower | None = None  # open as long as the container's monitor lives

    def create(self, stdio: Stdio) -> Process | ExternalProcess:
        """With our own runtime, or the program that ``--runtime`` names."""
        if self._state.status == RESTARTING:  # it may have been renamed or changed since
            self._record = load_record(containers.get(self._engine.db, self._record.id))
        else:
            self._take()
        process = self._create(stdio)
        if self._sandbox is not None and not self._early:
            try:
                self._sandbox.connect(process)
            except BaseException:
                process.delete()
                raise
        return process

    @property
    def _early(self) -> bool:
        """Whether interfaces are made while the process makes its file systems: not before parameters that interfaces
        get when they are made, and other runtimes do not tell when."""
        sandbox, record = self._sandbox, self._record
        set_first = any(".conf." in name or ".neigh." in name for name, _value in record.options.sysctls)
        return sandbox is not None and sandbox.early and record.runtime == "wherry" and not set_first

    def _create(self, stdio: Stdio) -> Process | ExternalProcess:
        engine, record = self._engine, self._record
        if has_sandbox(record.options.network_mode):
            if self._sandbox is not None:
                self._sandbox.unplug()  # of the life before this one
            self._sandbox = _sandbox(engine, record)
            self._sandbox.prepare()
        from wherry.engine.bundle import runtime_spec, write_bundle

        if record.mounts:
            from wherry.engine import local_driver

            local_driver.attach(engine, record)
        lower = self._lower = engine.lower_layers(record)
        rootfs = engine.mounts(record, record.id, idmap=bool(record.id_base))
        spec = runtime_spec(engine, record, (rootfs.upper, *lower), self._sandbox)
        bundle = write_bundle(engine, record, spec)
        if lower.fd >= 0:
            from wherry.engine.lower import for_container

            rootfs = for_container(engine, record, lower, rootfs)
        if record.runtime == "wherry":
            from wherry.runtime.create import create

            return create(
                spec,
                host=engine.host,
                rootfs=rootfs,
                stdio=stdio,
                container_id=record.id,
                bundle=bundle,
                cache=engine.layout.cache,
                keep=self._sandbox.namespaces if self._sandbox is not None else (),
                meanwhile=self._sandbox.connect if self._sandbox is not None and self._early else None,
            )
        from wherry.runtime.external import create_external

        return create_external(
            spec,
            program=record.runtime,
            host=engine.host,
            bundle=bundle,
            container_id=record.id,
            rootfs=rootfs,
            stdio=stdio,
        )

    def _take(self) -> None:
        """Get hold of the container for as long as it runs.

        Of several that start it at once one does; the others find it running.  Raises `NotModified` then, `NotFound`
        when it was removed meanwhile, `Conflict` when somebody is busy with it for long.
        """
        lock, identity = self._lock, self._record.id
        delay, until = 0.001, time.monotonic() + PATIENCE
        while not lock.try_acquire():
            if containers.get(self._engine.db, identity).status in ALIVE:
                raise NotModified(f"container {identity} is already running")
            if time.monotonic() > until:
                raise Conflict(f"container {identity} is being used by another command")
            time.sleep(delay)
            delay = min(delay * 1.1, 0.05)  # as in `wherry.engine.containers`
        if self._new:
            return
        try:
            row = containers.get(self._engine.db, identity)
            if row.status in ALIVE:
                bury(self._engine, row)
                row = containers.get(self._engine.db, identity)
            self._state = state(row)
        except BaseException:
            lock.release(remove=True)
            raise

    @property
    def is_paused(self) -> bool:
        """Whether it is frozen."""
        return self._state.status == PAUSED

    def started(self, pid: int) -> None:
        """The container is running.  Raises `NotFound` when it was removed before that."""
        self._began = time.monotonic()
        state = self._state.started(pid, time.time_ns()).replace(boot=boot_id())
        if self._record.options.health_test:
            from wherry.container import health

            state = state.replace(health=health.STARTING if health.command(self._record.options) else "")
        with self._engine.db.transaction():
            self._become(state)
            events.started(self._engine.db, self._record, attached=self._attached)
        self._attached = False  # to another life nobody has been joined

    def updated(self, record: str, /) -> None:
        """It has other limits, or another restart policy."""
        new = ContainerRecord.from_json(record).replace(id_base=self._record.id_base)
        with self._engine.db.transaction():
            containers.update(self._engine.db, new.id, record=record)
            events.of_container(self._engine.db, new, "update")
        self._record = new

    def watch(self, pid: int, supervisor: Supervisor) -> None:
        """Its names and rules, and its health where there is a check."""
        if self._sandbox is not None:
            self._sandbox.watch(pid, supervisor)
        if self._state.health:
            from wherry.engine.health import HealthChecks

            self._checks = HealthChecks(self._engine, self._record, pid, supervisor, self)

    def checked(self, found: Health) -> None:
        """A check has ended.  A full disk is no reason to end a container."""
        from wherry.engine.health import keep

        try:
            if found.status == self._state.health:
                keep(self._engine.db, self._record.id, found)
                return
            with self._engine.db.transaction():
                keep(self._engine.db, self._record.id, found)
                self._become(self._state.replace(health=found.status))
                events.of_container(self._engine.db, self._record, f"health_status: {found.status}")
        except WherryError:
            return

    def paused(self, yes: bool) -> None:
        """It has been frozen, or goes on."""
        with self._engine.db.transaction():
            self._become(self._state.to(PAUSED if yes else RUNNING))
            events.of_container(self._engine.db, self._record, "pause" if yes else "unpause")

    def note(self, action: str, /, **attributes: str) -> None:
        """Something was done to it that changes no state."""
        self._note(lambda: events.of_container(self._engine.db, self._record, action, **attributes))

    @staticmethod
    def _note(write: Callable[[], None]) -> None:
        """Write what need not be known: a full disk is no reason not to stop a container."""
        try:
            write()
        except WherryError:
            return

    def stopping(self, signal: int, *, keep: bool = False) -> bool:
        """As Docker has it, a signal ends the restarts, unless it is another one than the container's own to stop."""
        if keep:
            self._removes = False
        if not signal:
            self._stopped = True
        if signal == _SHUTDOWN:
            self._stopping = True
            return True
        if signal in (0, _SIGKILL) or not self._record.options.stop_signal or self._is_stop_signal(signal):
            self._stopping = True
        if not self._state.stopped:
            self._state = self._state.replace(stopped=True)
            if self._record.options.restart_policy:  # for `wherry boot`, even if this monitor ends now
                self._note(lambda: self._become(self._state))
        return self._stopping

    def _is_stop_signal(self, signal: int) -> bool:
        from wherry.engine.stop import stop_signal

        return signal == stop_signal(self._record)

    def failed(self, error: BaseException | None) -> None:
        """It stays as it was, with the exit code that Docker's clients see; ``--rm`` removes it."""
        if self._lock.fd < 0:
            return  # somebody else's
        if self._sandbox is not None:
            self._sandbox.release()
        if self._state.status == RESTARTING:
            self._not_again(error)
            return
        if self._removes:
            events.forget_container(self._engine.db, self._record)
            return
        try:
            containers.update(
                self._engine.db,
                self._record.id,
                exit_code=_code(error),
                pid=0,
                error="" if error is None else str(error),
            )
        except NotFound:
            self._removes = True  # it was removed meanwhile: so is what was made since

    def _not_again(self, error: BaseException | None) -> None:
        state = self._state
        if error is not None:
            self._become(state.exited(_code(error), time.time_ns(), error=str(error)))
            return
        with self._engine.db.transaction():
            self._become(state.to(EXITED))
            if self._stopped:
                events.of_container(self._engine.db, self._record, "stop")

    def exited(self, exit_code: int, oom_killed: bool) -> float | None:
        """It has ended; with ``--rm`` it is gone as soon as whoever waits is told."""
        if self._checks is not None:
            self._checks.end()
            self._checks, self._state = None, self._state.replace(health="unhealthy")
        state, delay = self._state.exited(exit_code, time.time_ns(), oom_killed=oom_killed), None
        options = self._record.options
        if options.restart_policy and not self._stopping:
            from wherry.container import restart

            if restart.is_wanted(options, exit_code, self._state.restart_count):
                self._back_off = self._back_off or restart.BackOff()
                delay = self._back_off.next(time.monotonic() - self._began)
                state = self._state.restarting(exit_code, state.finished_at, oom_killed=oom_killed)
        try:
            if self._sandbox is not None:
                self._sandbox.release()
            with self._engine.db.transaction():
                events.ended(self._engine.db, self._record, state, stopped=self._stopped)
                if self._removes:
                    events.forget_container(self._engine.db, self._record)
                else:
                    self._become(state)
        except WherryError:  # a full disk: whoever looks next makes it known (`wherry.engine.containers.bury`)
            note_end(self._engine, self._record.id, state)
            self._noted, delay = False, None
        return delay

    def _become(self, state: State) -> None:
        containers.update(
            self._engine.db,
            self._record.id,
            status=state.status,
            pid=state.pid,
            exit_code=state.exit_code,
            error=state.error,
            oom_killed=int(state.oom_killed),
            started_at=state.started_at,
            finished_at=state.finished_at,
            restart_count=state.restart_count,
            stopped=int(state.stopped),
            health=state.health,
            boot=state.boot,
        )
        self._state = state

    def rest(self) -> None:
        """Nothing but the database cannot be kept."""
        self._engine.will_fork()

    def cleanup(self) -> None:
        """Remove the directories of a container that has gone; keep what a stopped one may be started with.

        What others left behind is swept as well: here nobody waits for it.  A step that fails, because a process in the
        control group cannot be killed for example, keeps none of the others; the next command tries it again.
        """
        if self._lock.fd < 0:
            return
        from wherry import precompiled
        from wherry.engine.sweep import sweep

        steps: list[Callable[[], object]] = [self._remove_own]
        if self._noted:
            steps.append(lambda: sweep(self._engine, bridges=self._sandbox is None))
            steps += [self._sandbox.clean] if self._sandbox is not None else []
            steps.append(precompiled.refresh)
        for step in steps:
            try:
                step()
            except (OSError, WherryError):
                continue

    def _remove_own(self) -> None:
        from wherry.engine.sweep import remove_ended

        try:
            remove_ended(self._engine, self._record, gone=self._removes, noted=self._noted)
        finally:
            self._lock.release(remove=self._noted)


def _code(error: BaseException | None) -> int:
    return error.exit_code if isinstance(error, WherryError) else NOT_STARTED


def has_sandbox(mode: str) -> bool:
    """Whether a container of this network mode has networks of its own to be looked after."""
    return mode not in ("none", "host") and not container_of(mode)


def _sandbox(engine: Engine, record: ContainerRecord) -> Sandbox | UserSandbox:
    if engine.rootless:
        from wherry.engine.user_network import sandbox

        return sandbox(engine, record)
    from wherry.engine.network import Sandbox

    return Sandbox(engine, record)
