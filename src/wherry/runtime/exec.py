"""Another process in a running container (`exec`)."""

from __future__ import annotations

import os

from wherry.errors import Conflict, InvalidArgument
from wherry.linux import namespaces
from wherry.linux.namespaces import FILES, FLAGS
from wherry.runtime import ops
from wherry.runtime.create import Process, launch, prepare
from wherry.runtime.plan import process_ops
from wherry.runtime.situation import Situation

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from wherry.linux.cgroup import Cgroup
    from wherry.linux.host import Host
    from wherry.runtime.inside import Stdio
    from wherry.runtime.ops import Op


def exec_process(
    process: dict[str, Any],
    *,
    spec: Any,
    host: Host,
    pid: int,
    pidfd: int | None = None,
    cgroup: Cgroup | None = None,
    stdio: Stdio | None = None,
    extra_fds: Sequence[int] = (),
    cache: str = "",
) -> Process:
    """Start a process in the container whose first process is ``pid``, up to, not including, execve(2).

    ``process`` is the runtime specification's object (args, env, user, cwd, capabilities, terminal, ...), ``spec``
    the container's own specification (seccomp, id maps).  It enters every namespace of ``pid`` that is not the
    caller's, and ``cgroup``.  ``pidfd``, when given, makes sure that ``pid`` still is who it was.  The new process is
    a child of the caller, which has a single thread; its `Process.delete` leaves the container's cgroup alone.

    Raises Conflict when the container is not running, and what `wherry.runtime.create.create` raises.
    """
    whole = {**spec, "process": process, "hooks": None, "annotations": None}
    operations = exec_plan(whole, host)
    target = os.dup(pidfd) if pidfd is not None else _open(pid)
    try:
        through = [(target, _different(pid))]
        joins = cgroup.join_fds() if cgroup is not None else []
        prepared = prepare(whole, operations, stdio, tuple(extra_fds), cache, ("", ""), joins)
        found = launch(whole, operations, prepared, cgroup, through)
    finally:
        os.close(target)
    found.cgroup = None
    return found


def _open(pid: int) -> int:
    try:
        return os.pidfd_open(pid)
    except OSError:
        raise Conflict(f"the container's process {pid} is not running") from None


def _different(pid: int) -> int:
    """The flags of the namespaces of ``pid`` that are not this process's own."""
    flags = 0
    try:
        for name, file in FILES.items():
            theirs = os.stat(f"/proc/{pid}/ns/{file}")
            ours = os.stat(f"/proc/self/ns/{file}")
            if (theirs.st_dev, theirs.st_ino) != (ours.st_dev, ours.st_ino):
                flags |= FLAGS[name]
    except FileNotFoundError:
        raise Conflict(f"the container's process {pid} is not running") from None
    if not flags & namespaces.CLONE_NEWNS:
        raise InvalidArgument(f"process {pid} is not in a container")
    return flags


def exec_plan(spec: dict[str, Any], host: Host) -> tuple[Op, ...]:
    """The operations of an exec: a birth inside, and the last part of a container's plan."""
    situation = Situation(spec, host, "")
    process = spec["process"]
    found: list[Op] = [ops.Clone((), (), (("all", "the container's"),)), ops.JoinCgroup()]
    if situation.in_user:
        found.append(ops.BecomeRoot(False))
    found += [ops.NewSession(""), ops.LookAround()]
    if process.get("terminal"):
        size = process.get("consoleSize") or {}
        found.append(ops.OpenConsole("", int(size.get("height", 0)), int(size.get("width", 0))))
    return (*found, *process_ops(spec, situation, joins_container=True))
