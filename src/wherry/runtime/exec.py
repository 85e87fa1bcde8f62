"""Another process in a running container (`exec`)."""

from __future__ import annotations

import os

from wherry.errors import Conflict, InvalidArgument
from wherry.linux import namespaces
from wherry.linux.namespaces import FILES, FLAGS
from wherry.runtime import ops
from wherry.runtime.create import launch, prepare
from wherry.runtime.inside_process import own_streams
from wherry.runtime.plan import process_ops
from wherry.runtime.situation import Situation

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from wherry.linux.cgroup import Cgroup
    from wherry.linux.host import Host
    from wherry.runtime.inside import Stdio
    from wherry.runtime.ops import Op
    from wherry.runtime.process import Process


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
    container_id: str = "",
    cache: str = "",
    aside: Callable[[], None] = lambda: None,
) -> Process:
    """Start a process in the container whose first process is ``pid``, up to, not including, execve(2).

    ``process`` is the runtime specification's object (args, env, user, cwd, capabilities, terminal, ...), ``spec``
    the container's own specification (seccomp, id maps).  It enters every namespace of ``pid`` that is not the
    caller's, ``cgroup``, and the session keyring of the container ``container_id``.  ``pidfd``, when given, makes sure
    that ``pid`` still is who it was.  The new process is a child of the caller, which has a single thread; its
    `Process.delete` leaves the container's cgroup alone.  ``aside`` is called when there is nothing to do but to wait.

    Raises Conflict when the container is not running, and what `wherry.runtime.create.create` raises.
    """
    whole = {**spec, "process": process, "hooks": None, "annotations": None}
    operations = exec_plan(whole, host, container_id)
    member, target = open_process(pid, pidfd)
    try:
        through = [(target, _different(member))]
        if stdio is not None and not process.get("terminal"):
            _give_streams(member, process, stdio)
        joins = cgroup.join_fds() if cgroup is not None else []
        prepared = prepare(whole, operations, stdio, tuple(extra_fds), cache, ("", ""), joins)

        def born(child: int) -> None:
            if cgroup is not None and cgroup.unified:
                _be_in_unified(cgroup, member, child)

        found = launch(whole, operations, prepared, cgroup, through, aside=aside, born=born)
        found.cgroup = None
    finally:
        os.close(target)
    return found


def open_process(pid: int, pidfd: int | None) -> tuple[int, int]:
    """A process of the container whose namespaces this caller may look at, and a descriptor of it.

    That is the first one, or a child of it: an init of Wherry's own has executed nothing since it left the host, so
    it is out of reach of a caller who is not root there.
    """
    try:
        first = os.dup(pidfd) if pidfd is not None else os.pidfd_open(pid)
        try:
            os.stat(f"/proc/{pid}/ns/user")
            return pid, first
        except PermissionError:
            try:
                return _child(pid)
            finally:
                os.close(first)
        except BaseException:
            os.close(first)
            raise
    except (FileNotFoundError, ProcessLookupError):
        raise Conflict(f"the container's process {pid} is not running") from None


def _child(pid: int) -> tuple[int, int]:
    with open(f"/proc/{pid}/task/{pid}/children") as file:
        children = file.read().split()
    for text in children:
        try:
            descriptor = os.pidfd_open(int(text))
            try:
                os.stat(f"/proc/{text}/ns/user")
                with open(f"/proc/{text}/stat") as file:
                    parent = int(file.read().rpartition(")")[2].split()[1])
            except OSError:
                os.close(descriptor)
                continue
        except OSError:
            continue
        if parent == pid:
            return int(text), descriptor
        os.close(descriptor)
    raise Conflict(f"the container's process {pid} is out of reach")


def _give_streams(pid: int, process: dict[str, Any], stdio: Stdio) -> None:
    """Pipes belong to the process's user, so that it can open ``/dev/stdout`` again."""
    user = int((process.get("user") or {}).get("uid", 0))
    with open(f"/proc/{pid}/uid_map") as file:
        for line in file:
            inside, outside, size = (int(word) for word in line.split())
            if inside <= user < inside + size:
                own_streams(outside + user - inside, (stdio.stdin, stdio.stdout, stdio.stderr))


def _be_in_unified(cgroup: Cgroup, member: int, born: int) -> None:
    """Make sure that the new process is in the container's v2 group: where the kernel cannot give birth into it, and
    where the container has divided it, it is moved, then to where the container's own process is.  Raises `Conflict`,
    `SystemFailure`."""
    where = _unified(born)
    if where == cgroup.path or where.startswith(cgroup.path + "/"):
        return
    theirs = _unified(member)
    if where == theirs:
        return  # the container is not in its group either: an unprivileged user may not move processes
    group = cgroup
    if theirs.startswith(cgroup.path + "/"):
        group = type(cgroup)(cgroup.layout, theirs, (), cgroup.layout.unified)
    try:
        group.add(born)
    except Conflict:
        if os.waitid(os.P_PID, born, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
            raise
        # it has ended, and said why


def _unified(pid: int) -> str:
    with open(f"/proc/{pid}/cgroup") as file:
        for line in file:
            if line.startswith("0::"):
                return line[3:].rstrip("\n")
    return ""


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


def exec_plan(spec: dict[str, Any], host: Host, container_id: str = "") -> tuple[Op, ...]:
    """The operations of an exec: a birth inside, and the last part of a container's plan."""
    situation = Situation(spec, host, "")
    process = spec["process"]
    found: list[Op] = [ops.Clone((), (), (("all", "the container's"),)), ops.JoinCgroup()]
    if situation.in_user:
        found.append(ops.BecomeRoot(False))
    found += [ops.NewSession(f"_ses.{container_id}" if container_id else ""), ops.LookAround()]
    if process.get("terminal"):
        size = process.get("consoleSize") or {}
        found.append(ops.OpenConsole("", int(size.get("height", 0)), int(size.get("width", 0))))
    return (*found, *process_ops(spec, situation, joins_container=True))
