"""The side of ``exec`` that lives in its monitor: makes the process, and sees that it ends with its container."""

from __future__ import annotations

import errno
import os

from wherry.errors import CannotInvoke, Conflict, NotSupported, WherryError
from wherry.linux import cgroup as cgroups
from wherry.linux.process import start_time
from wherry.runtime.exec import exec_process
from wherry.runtime.executed import ExecutedProcess, has_ended

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from wherry.engine.engine import Engine
    from wherry.linux.cgroup import Cgroup
    from wherry.monitor.supervise import Supervisor
    from wherry.runtime.create import Stdio
    from wherry.runtime.process import Process
    from wherry.store.locks import Lock

_DYING = (errno.ECHILD, errno.ESRCH, errno.ENOMEM)  # of entering a pid namespace whose first process is being killed
_DYING_SECONDS = 5
_TELL_SECONDS = 0.05  # opening the database takes as long as the rest of a short command


def load(engine: Engine) -> None:
    """Import and look up what the start of any command needs, while there is nothing else to do."""
    from wherry.linux import seccomp  # noqa: F401
    from wherry.monitor import keep  # noqa: F401

    _ = engine.host, engine.layout


def load_more() -> None:
    """Import what is needed once the process is there."""
    from wherry import fastjson  # noqa: F401
    from wherry.monitor import supervise  # noqa: F401
    from wherry.runtime import parent, process  # noqa: F401


class Execution:
    """The `wherry.monitor.main.Owner` of one ``exec``."""

    def __init__(self, engine: Engine, details: dict[str, Any]) -> None:
        self._engine = engine
        self._details = details
        self._known = "exec_id" in details  # to others, who ask by it and were told of the beginning
        self._exec_id = details.get("exec_id") or os.urandom(32).hex()
        self._exit_code = -1
        self._failed = 0  # the exit status of one that could not be started
        self._told = self._known  # that it began
        self._lock: Lock | None = None

    def create(self, stdio: Stdio) -> ExecutedProcess:
        """Inside the container, up to its first instruction.

        Raises `Conflict` when the container has ended; anything else that cannot be is `CannotInvoke`, as in Docker.
        """
        if self._known:
            self._lock = self._settle()
        pidfd = self._open()
        try:
            try:
                made = self._make(pidfd, stdio)
            except Conflict:
                raise
            except WherryError as error:
                if has_ended(pidfd, _DYING_SECONDS if getattr(error, "errno", 0) in _DYING else 0):
                    raise self._not_running() from None
                if error.exit_code != WherryError.exit_code:
                    raise
                raise CannotInvoke(error.message, hint=error.hint) from None
            if has_ended(pidfd):  # it may have been too late for the container's monitor to see this one
                made.delete()
                raise self._not_running()
            return ExecutedProcess(made, pidfd)
        except BaseException:
            os.close(pidfd)
            raise

    def _settle(self) -> Lock:
        """A directory for a socket and a lock, by which others see that this process lives."""
        from wherry.store.layout import make_private
        from wherry.store.locks import Lock

        layout = self._engine.layout
        make_private(layout.execs)
        make_private(layout.exec(self._exec_id))
        lock = Lock(layout.exec_lock(self._exec_id))
        lock.acquire()
        return lock

    def _open(self) -> int:
        try:
            pidfd = os.pidfd_open(self._details["pid"])
        except ProcessLookupError:
            raise self._not_running() from None
        if start_time(self._details["pid"]) != self._details["born"]:
            os.close(pidfd)
            raise self._not_running()
        return pidfd

    def _not_running(self) -> Conflict:
        return Conflict(f"container {self._details['id']} is not running")

    def _make(self, pidfd: int, stdio: Stdio) -> Process:
        engine, details = self._engine, self._details
        return exec_process(
            details["process"],
            spec=details["spec"],
            host=engine.host,
            pid=details["pid"],
            pidfd=pidfd,
            cgroup=cgroup_of(engine, details["spec"]),
            stdio=stdio,
            container_id=details["id"],
            cache=engine.layout.cache,
            aside=load_more,
        )

    is_paused = False

    def started(self, pid: int) -> None:
        """Nothing is kept of it."""

    def paused(self, _yes: bool) -> None:
        """It freezes and goes on with its container."""
        raise NotSupported("a command in a container is paused with its container")

    def note(self, _action: str, /, **_attributes: str) -> None:
        """Only its beginning and its end are told."""

    def stopping(self, _signal: int, *, keep: bool = False) -> bool:  # noqa: ARG002
        """It is not started again."""
        return True

    def updated(self, _record: str, /) -> None:
        """It has none."""
        raise NotSupported("a command in a container has the container's limits")

    def watch(self, _pid: int, supervisor: Supervisor) -> None:
        """Tell of its beginning, unless it ends at once: then that waits until nobody waits for the command."""
        if not self._known:
            supervisor.later(_TELL_SECONDS, lambda: self._tell(self._began()))

    def failed(self, error: BaseException | None) -> None:
        """Whoever waits is told by the monitor."""
        self._failed = error.exit_code if isinstance(error, WherryError) else WherryError.exit_code

    def exited(self, exit_code: int, oom_killed: bool) -> None:
        """Whoever waits is told by the monitor."""
        del oom_killed
        self._exit_code = exit_code

    def rest(self) -> None:
        """Nothing but the database cannot be kept."""
        self._engine.will_fork()

    def cleanup(self) -> None:
        """Tell of its end, now that nobody waits; and get ready for the next command's start."""
        from wherry import precompiled

        told = True
        if self._exit_code >= 0:
            told = self._tell(self._began() | {"exec_die": {"exitCode": str(self._exit_code)}})
        elif self._known:
            told = self._tell({})
        if self._known and not told:
            from wherry.engine.execs import note_end

            note_end(self._engine, self._exec_id, self._code)
        elif self._lock is not None:
            from wherry.engine.clean import remove_tree

            remove_tree(self._engine.layout.exec(self._exec_id))
        precompiled.refresh()

    def _began(self) -> dict[str, dict[str, str]]:
        """What is still to be told of its beginning."""
        if self._told:
            return {}
        self._told = True
        command = self._details["command"]
        return {f"exec_create: {command}": {}, f"exec_start: {command}": {}}

    def _tell(self, actions: dict[str, dict[str, str]]) -> bool:
        """Whether there was room for it: a database that is full or busy is no reason to end a command."""
        from wherry.store.events import record_container

        db, details = self._engine.db, self._details
        try:
            with db.transaction():
                for action, more in actions.items():
                    more["execID"] = self._exec_id
                    record_container(db, action, details["id"], details["image"], details["labels"], more)
                if self._known:
                    self._write_end()
        except WherryError:
            return False
        return True

    @property
    def _code(self) -> int:
        return self._exit_code if self._exit_code >= 0 else self._failed

    def _write_end(self) -> None:
        from time import time

        from wherry.store import execs

        execs.end(self._engine.db, self._exec_id, self._code, int(time()))


def cgroup_of(engine: Engine, spec: dict[str, Any]) -> Cgroup:
    """The container's group; one without directories where this user may make none."""
    return cgroups.find(engine.host.cgroups, str(spec["linux"]["cgroupsPath"]), delegated=engine.rootless)
