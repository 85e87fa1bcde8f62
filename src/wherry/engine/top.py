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
    lines = _ps(wanted, list(options) or ["-ef"])
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
    names = [int(name) for name in os.listdir("/proc") if name.isdigit()]
    namespace = _namespace(pid) or next(filter(None, map(_namespace, _children(pid, names))), "")
    if not namespace or namespace == _namespace(os.getpid()):
        return {pid}
    return {pid} | {other for other in names if _namespace(other) == namespace}


def _namespace(pid: int) -> str:
    try:
        return os.readlink(f"/proc/{pid}/ns/pid")
    except OSError:
        return ""  # it has ended, or is not ours, or is an init of `--init`, which nobody may look into


def _children(pid: int, names: list[int]) -> list[int]:
    found = []
    for name in names:
        try:
            with open(f"/proc/{name}/stat") as file:
                fields = file.read().rpartition(")")[2].split()
        except OSError:
            continue  # it has ended
        if int(fields[1]) == pid:
            found.append(name)
    return found


def _ps(pids: set[int], options: list[str]) -> list[str]:
    """What ps shows of these processes, or of more where it does not take some option together with pids."""
    program = next((path for path in _PLACES if os.access(path, os.X_OK)), "")
    if not program:
        raise NotFound("program", "ps", "ps is not installed on this host", hint="install procps")
    import subprocess

    for chosen in ([f"-q{','.join(map(str, sorted(pids)))}"], []):
        argv = [program, *chosen, *options]
        done = subprocess.run(argv, capture_output=True, text=True, errors="replace", check=False)
        if done.returncode == 0 and done.stdout:
            return done.stdout.splitlines()
    problem = (done.stderr.strip() or "it printed nothing").splitlines()[0]
    raise InvalidArgument(f"ps: {problem}") if done.stderr else WherryError(f"ps: {problem}")
