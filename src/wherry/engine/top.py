"""``docker top``: the processes of a container as ps(1) of the host shows them."""

from __future__ import annotations

import os

from wherry.engine import events
from wherry.engine.containers import ALIVE, find, load
from wherry.errors import Conflict, InvalidArgument, NotFound, WherryError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from wherry.engine.engine import Engine
    from wherry.store.containers import ContainerRow

_PLACES = ("/usr/bin/ps", "/bin/ps")


def top(engine: Engine, name: str, options: Sequence[str]) -> tuple[list[str], list[list[str]]]:
    """Titles and lines of ``ps options`` (``-ef`` without any), those of the container's processes.

    Raises `NotFound`, `Conflict` when it does not run, `InvalidArgument` for options that ps refuses.
    """
    row = find(engine, name)
    if row.status not in ALIVE:
        raise Conflict(f"container {row.id} is not running")
    if row.status == "restarting":
        raise Conflict(f"container {row.id} is restarting, wait until the container is running")
    wanted = processes(engine, row)
    lines = _ps(list(options) or ["-ef"])
    events.of_container(engine.db, load(row), "top")
    titles = lines[0].split()
    if "PID" not in titles:
        raise InvalidArgument("Couldn't find PID field in ps output", hint="let ps show the pid, as in -o pid,args")
    at = titles.index("PID")
    rows = []
    for line in lines[1:]:
        cells = line.split(None, len(titles) - 1)
        if len(cells) > at and cells[at].isdigit() and int(cells[at]) in wanted:
            rows.append(cells + [""] * (len(titles) - len(cells)))
    return titles, rows


def processes(engine: Engine, row: ContainerRow) -> set[int]:
    """The pids of a container's processes: of its control group, or of its pid namespace where it has none."""
    from wherry.engine.stats import group_of

    group = group_of(engine, row.id)
    return (set(group.pids()) if group is not None and group.path else set()) or _of_namespace(row.pid)


def _of_namespace(pid: int) -> set[int]:
    try:
        namespace = os.readlink(f"/proc/{pid}/ns/pid")
        if namespace == os.readlink("/proc/self/ns/pid"):
            return {pid}
    except OSError:
        return set()
    found = set()
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                if os.readlink(f"/proc/{name}/ns/pid") == namespace:
                    found.add(int(name))
            except OSError:
                continue  # it has ended, or is not ours
    return found


def _ps(options: list[str]) -> list[str]:
    program = next((path for path in _PLACES if os.access(path, os.X_OK)), "")
    if not program:
        raise NotFound("program", "ps", "ps is not installed on this host", hint="install procps")
    import subprocess

    done = subprocess.run([program, *options], capture_output=True, text=True, errors="replace", check=False)
    if done.returncode or not done.stdout:
        problem = (done.stderr.strip() or "it printed nothing").splitlines()[0]
        raise InvalidArgument(f"ps: {problem}") if done.stderr else WherryError(f"ps: {problem}")
    return done.stdout.splitlines()
