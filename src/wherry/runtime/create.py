"""Creating a container: the side of the process that asks.

``create(spec, host=probe())`` returns when everything but execve(2) has been done; ``start()`` lets it happen.  Both
sides work at once: while the child makes file systems, the parent writes id maps and opens the trees that need its
privileges.  Whatever fails, nothing is left behind.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]
import os

from wherry.errors import InvalidArgument
from wherry.linux import cgroup as cgroups
from wherry.linux import prctl
from wherry.runtime import birth, channel, init, ops
from wherry.runtime.execute import shield_link
from wherry.runtime.inside import Prepared, Stdio

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any, NoReturn

    from wherry.linux.cgroup import Cgroup
    from wherry.linux.host import Host
    from wherry.oci.mount import Mount
    from wherry.runtime.ops import Op
    from wherry.runtime.process import Process

__all__ = ["Stdio", "create"]


def create(
    spec: Any,
    *,
    host: Host,
    rootfs: Mount | None = None,
    stdio: Stdio | None = None,
    extra_fds: Sequence[int] = (),
    container_id: str = "",
    bundle: str = "",
    cache: str = "",
    keep: tuple[str, ...] = (),
    meanwhile: Callable[[Process], None] | None = None,
) -> Process:
    """Make the container of an OCI runtime specification, up to, not including, execve(2).

    ``stdio`` None: the caller's own standard streams.  ``extra_fds`` become 3, 4, ...  ``container_id`` (the bundle's
    name when empty) and ``bundle`` are what hooks are told; ``cache`` is a directory for compiled seccomp filters
    ("": they are compiled each time).  ``keep`` are namespaces, as /proc/PID/ns names them, to have descriptors of
    (`Child.kept`); ``meanwhile`` is called when these are there, while the process makes its file systems.  The caller
    has a single thread and is the parent of the first process.

    Raises InvalidArgument, NotSupported or Forbidden for what the specification asks, SystemFailure with the
    operation that failed, and what ``meanwhile`` raises; then nothing is left behind.
    """
    from wherry.runtime.parent import state_parts
    from wherry.runtime.plan import plan

    container_id = container_id or bundle.rstrip("/").rpartition("/")[2]
    operations = plan(spec, host, rootfs, container_id=container_id, bundle=bundle)
    made = operations[0]
    assert isinstance(made, ops.MakeCgroup)
    group = cgroups.create(host.cgroups, made.path, made.resources)
    try:
        state = state_parts(spec, container_id, bundle)
        prepared = prepare(spec, operations, stdio, tuple(extra_fds), cache, state, group.join_fds())
        if keep:
            prepared = prepared.replace(keep=keep)
        return launch(spec, operations, prepared, group, meanwhile=meanwhile)
    except BaseException:
        group.kill()
        group.remove()
        raise


def prepare(
    spec: dict[str, Any],
    operations: tuple[Op, ...],
    stdio: Stdio | None,
    extra: tuple[int, ...],
    cache: str,
    state: tuple[str, str],
    joins: list[int],
) -> Prepared:
    """Everything the child needs that takes an import or a file: made before it is born."""
    last = operations[-1]
    assert isinstance(last, ops.Execute)
    program: Any = None
    flags = 0
    profile = (spec.get("linux") or {}).get("seccomp")
    if profile:
        from wherry.linux import seccomp

        bpf = seccomp.filter_for(profile, cache) if cache else seccomp.compile(profile)
        program, flags = seccomp.prepare(bpf), seccomp.flags_of(profile)
    init.load(operations)
    for operation in operations:
        if isinstance(operation, ops.RunHooks):
            from wherry.runtime import hooks  # noqa: F401 - the child imports nothing
    if last.init:
        from wherry.runtime import reaper  # noqa: F401
    shield = -1
    if last.shield:
        import fcntl

        from wherry.runtime import shield as shields

        link = shield_link(extra)
        made = shields.make(link)
        shield = fcntl.fcntl(made, fcntl.F_DUPFD_CLOEXEC, link + 1)
        os.close(made)
    return Prepared(stdio, extra, tuple(joins), program, flags, shield, environment(last.env), state)


def environment(entries: Sequence[str]) -> dict[bytes, bytes]:
    """``NAME=value`` entries as execve(2) takes them; later ones win.  Raises InvalidArgument for a zero byte."""
    found: dict[bytes, bytes] = {}
    for entry in entries:
        name, separator, value = entry.partition("=")
        if "\0" in entry:
            raise InvalidArgument("an environment variable holds a zero byte")
        if separator and name:
            found[os.fsencode(name)] = os.fsencode(value)
    return found


def launch(
    spec: dict[str, Any],
    operations: tuple[Op, ...],
    prepared: Prepared,
    group: Cgroup | None,
    through: list[tuple[int, int]] | None = None,
    meanwhile: Callable[[Process], None] | None = None,
    aside: Callable[[], None] = lambda: None,
    born: Callable[[int], None] = lambda _pid: None,
) -> Process:
    """Give birth to the process and bring it to the point where it can be started.

    ``through`` are (descriptor, flags) to enter first; without it those that the plan names are opened.  ``aside`` is
    called while a process in between is at work, ``born`` with the pid while the process is at its own part; what it
    raises ends it.
    """
    ours, theirs = channel.pair()
    clone = next(operation for operation in operations if isinstance(operation, ops.Clone))
    opened: list[tuple[int, int]] = []
    into = group.into_fd() if group is not None else None

    def body() -> NoReturn:
        ours.close()
        prctl.set_arguments(b"init")  # else processes inside read the command line of whoever asked
        init.run(operations, theirs, prepared)

    try:
        if through is None:
            through = opened = birth.open_namespaces(clone.through)
        score = next((one.score for one in operations if isinstance(one, ops.SetOwnOomScore)), None)
        pid = birth.start(clone.new, clone.join, through, body, cgroup=into, oom_score=score, aside=aside)
    except BaseException:
        ours.close()
        raise
    finally:
        theirs.close()
        birth.close(opened)
        for descriptor in (*prepared.joins, prepared.shield, -1 if into is None else into):
            if descriptor >= 0:
                os.close(descriptor)
    try:
        from wherry.runtime.parent import Parent
        from wherry.runtime.process import Process

        process = Process(pid, spec, operations, ours, own_pids="pid" in clone.new)
        process.state = prepared.state
        process.cgroup = group
        born(pid)
        Parent(process, ours, operations, prepared).bring_up(meanwhile)
        return process
    except BaseException:
        os.kill(pid, _signal.SIGKILL)
        os.waitpid(pid, 0)
        ours.close()
        raise
