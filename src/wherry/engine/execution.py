"""The side of ``exec`` that lives in its monitor: makes the process, and sees that it ends with its container."""

from __future__ import annotations

import os

from wherry.container import lookup, users
from wherry.container.exec_options import ExecOptions, process
from wherry.container.record import ContainerRecord
from wherry.errors import CannotInvoke, Conflict, WherryError
from wherry.fastjson import JSONError, loads
from wherry.linux import cgroup as cgroups
from wherry.linux.process import start_time
from wherry.runtime.exec import exec_process
from wherry.runtime.executed import ExecutedProcess, has_ended

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from wherry.container.facts import Identity
    from wherry.engine.engine import Engine
    from wherry.linux.cgroup import Cgroup
    from wherry.runtime.create import Process, Stdio


def load(engine: Engine) -> None:
    """Import and look up what any ``exec`` needs, while there is nothing else to do."""
    from wherry.linux import seccomp  # noqa: F401
    from wherry.monitor import protocol, supervise  # noqa: F401
    from wherry.rootfs import overlay  # noqa: F401
    from wherry.runtime import shield  # noqa: F401

    _ = engine.host


class Execution:
    """The `wherry.monitor.main.Owner` of one ``exec``."""

    def __init__(self, engine: Engine, details: dict[str, Any]) -> None:
        self._engine = engine
        self._details = details

    def create(self, stdio: Stdio) -> ExecutedProcess:
        """Inside the container, up to its first instruction.

        Raises `Conflict` when the container has ended; anything else that cannot be is `CannotInvoke`, as in Docker.
        """
        pidfd = self._open()
        try:
            try:
                made = self._make(pidfd, stdio)
            except Conflict:
                raise
            except WherryError as error:
                if has_ended(pidfd):
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
        record = ContainerRecord.from_json(details["record"])
        options = ExecOptions(**details["exec"])
        spec = self._spec()
        made = process(
            spec,
            record.options,
            options,
            self._identity(record, options, spec),
            hostname=os.uname().nodename,
            every=_every(engine) if options.privileged else (),
        )
        return exec_process(
            made,
            spec=spec,
            host=engine.host,
            pid=details["pid"],
            pidfd=pidfd,
            cgroup=_cgroup(engine, spec),
            stdio=stdio,
            container_id=record.id,
            cache=engine.layout.cache,
        )

    def _spec(self) -> dict[str, Any]:
        """What the container was made of."""
        try:
            with open(f"{self._engine.layout.run_container(self._details['id'])}/config.json", "rb") as file:
                spec: dict[str, Any] = loads(file.read())
                return spec
        except (OSError, JSONError):
            raise self._not_running() from None

    def _identity(self, record: ContainerRecord, options: ExecOptions, spec: dict[str, Any]) -> Identity:
        """By the container's /etc/passwd and /etc/group as they are now."""
        engine = self._engine
        rootfs = engine.snapshotter.mounts(record.diff_ids, record.id, idmap=False, userxattr=engine.rootless)
        layers = (rootfs.upper, *rootfs.lower)
        found = users.resolve(
            options.user or record.options.user,
            record.options.group_add,
            lookup.read(layers, "etc/passwd", users.MAX_FILE) or b"",
            lookup.read(layers, "etc/group", users.MAX_FILE) or b"",
        )
        mapped = sum(one["size"] for one in spec["linux"].get("gidMappings") or ())
        if engine.rootless and mapped == 1 and found.groups == (found.gid,):
            found = found.replace(groups=())  # setgroups(2) is denied where only one group is mapped
        return found

    def started(self, pid: int) -> None:
        """Nothing is kept of it."""

    def failed(self, error: BaseException) -> None:
        """Whoever waits is told by the monitor."""

    def exited(self, exit_code: int, oom_killed: bool) -> None:
        """Whoever waits is told by the monitor."""

    def cleanup(self) -> None:
        """For the next command's start."""
        from wherry import precompiled

        precompiled.refresh()


def _every(engine: Engine) -> tuple[str, ...]:
    from wherry.container.capabilities import choose
    from wherry.linux import capabilities

    available = engine.host.bounding & capabilities.ALL
    return choose((), (), privileged=True, available=tuple(capabilities.names(available)))


def _cgroup(engine: Engine, spec: dict[str, Any]) -> Cgroup:
    """The container's group; one without directories where this user may make none."""
    layout, path = engine.host.cgroups, str(spec["linux"]["cgroupsPath"])
    if engine.rootless:
        base = layout.delegated()
        path = base.rstrip("/") + path if base is not None else ""
    return cgroups.open_cgroup(layout, path)
