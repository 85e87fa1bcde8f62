"""A monitor to whose container nothing happens becomes a small process (docs/decisions/0084-resting-monitors.md).

`rest_if_possible` executes a fresh interpreter in the place of the monitor: the same process, with the same child and
the same descriptors, which has loaded nothing but the loop.  What the loop does not need is pickled into a memory file,
for `wherry.monitor.resting` to load when something happens.
"""

from __future__ import annotations

import _pickle
import _socket
import fcntl
import marshal
import os
import select
import sys
from io import BytesIO
from time import monotonic

from wherry import precompiled
from wherry.monitor.keep import REST_AGAIN
from wherry.monitor.main import keep_only

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from wherry.monitor.keep import Keeper
    from wherry.precompiled import Precompiled

_BOOT = "import marshal,sys;wherry=marshal.load(open(int(sys.argv[1]),'rb'));exec(wherry[0])"
_FIRST = """
_, code, root, descriptor, entries, values, memory = wherry
wherry = sys.modules["wherry.precompiled"] = type(sys)("wherry.precompiled")
wherry.__file__ = root + "wherry/precompiled.py"
exec(code, wherry.__dict__)
wherry.pin(root, descriptor, entries)
del _, code, entries, wherry
from wherry.monitor.resting import main
main(values, memory)
"""
_WANTED = (
    "wherry",
    "wherry.monitor",
    "wherry.monitor.log",
    "wherry.monitor.log_file",
    "wherry.monitor.loop",
    "wherry.monitor.peer",
    "wherry.monitor.protocol",
    "wherry.monitor.resting",
    "wherry.monitor.supervise",
    "wherry.record",
)


def rest_if_possible(keeper: Keeper) -> None:
    """Become the small process.  Returns when that cannot be, or is not worth it, and has changed nothing then.

    It cannot be where the package is not kept in one file as it is now: what a resting monitor loads later must be
    what it was left by, whatever is installed meanwhile.  A child brings that file up to date first, once; it takes up
    to a second.
    """
    supervisor = keeper.supervisor
    supervisor.alarms = [alarm for alarm in supervisor.alarms if alarm[1] != keeper.rest]
    if not sys.executable or any(when < monotonic() + REST_AGAIN for when, _function in supervisor.alarms):
        return
    finder = precompiled.whole()
    if finder is None and not keeper.prepared:
        keeper.prepared = True
        keeper.owner.rest()
        _bring_up_to_date(keeper)
    elif finder is not None:
        keeper.owner.rest()
        _rest(keeper, finder)


def _rest(keeper: Keeper, finder: Precompiled) -> None:
    before = precompiled.descriptors()  # of a file that was there before this one
    files = [] if finder.descriptor in before else [finder.descriptor]
    try:
        files.append(_memory("kept", _pickled(keeper)))
        files.append(_memory("rest", marshal.dumps((*_boot(finder), _values(keeper), files[-1]))))
        arguments = [sys.executable, "-I", "-S", "-c", _BOOT, str(files[-1]), keeper.job.title]
        _execute(arguments, {keeper.supervisor.descriptor, *before} - {finder.descriptor})
    except Exception as error:  # something that cannot be kept goes on; a container does not end because of that
        _tell(keeper, f"{type(error).__name__}: {error}")
    for file in files:
        os.close(file)


def _tell(keeper: Keeper, reason: str) -> None:
    """Make an event of it, once: nothing is wrong with the container, but its monitor takes twice the memory."""
    if keeper.restless != reason:
        keeper.restless = reason
        keeper.owner.note("rest_failed", error=reason)


def _bring_up_to_date(keeper: Keeper) -> None:
    supervisor = keeper.supervisor
    pid = os.fork()
    if pid == 0:
        try:
            keep_only(precompiled.descriptors())
            precompiled.refresh(thorough=True)
        finally:
            os._exit(0)
    pidfd = os.pidfd_open(pid)

    def ended() -> None:
        supervisor.unwatch(pidfd)
        os.close(pidfd)
        os.waitpid(pid, 0)
        keeper.rest()

    supervisor.watch(pidfd, ended)


def _boot(finder: Precompiled) -> tuple[Any, ...]:
    code = finder.get_code("wherry.precompiled")
    return compile(_FIRST, "wherry", "exec"), code, finder.root, finder.descriptor, finder.entries(_WANTED)


def _memory(name: str, content: bytes) -> int:
    """A file in memory with this content, read from the beginning."""
    descriptor = os.memfd_create(name, os.MFD_CLOEXEC)
    with os.fdopen(descriptor, "wb", closefd=False) as file:
        file.write(content)
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor


def _execute(arguments: list[str], without: set[int]) -> None:
    """With every descriptor but these.  Raises OSError."""
    closing = []
    for fd in map(int, os.listdir("/proc/self/fd")):
        try:
            flags = fcntl.fcntl(fd, fcntl.F_GETFD)
        except OSError:
            continue  # the directory's own
        if flags & fcntl.FD_CLOEXEC and fd not in without:
            closing.append(fd)
            fcntl.fcntl(fd, fcntl.F_SETFD, 0)
    try:
        os.execve(arguments[0], arguments, {})
    finally:
        for fd in closing:
            os.set_inheritable(fd, False)


def _values(keeper: Keeper) -> dict[str, Any]:
    """What the loop needs, as marshal can write it."""
    return {
        "supervisor": keeper.supervisor.values(),
        "settings": keeper.job.log,
        "log": None if keeper.log is None else keeper.log.values(),
        "listener": -1 if keeper.listener is None else keeper.listener.fileno(),
    }


def _pickled(keeper: Keeper) -> bytes:
    """Everything else."""
    supervisor = keeper.supervisor
    names = {id(supervisor): "supervisor", id(keeper.log): "log", id(keeper.listener): "listener"}
    names.pop(id(None), None)

    class Pickler(_pickle.Pickler):
        dispatch_table = {_socket.socket: _socket_by_descriptor, select.epoll: _epoll_by_descriptor}

        def persistent_id(self, value: object) -> str | None:
            return names.get(id(value))

    file = BytesIO()
    Pickler(file, 5).dump((keeper, supervisor.others, supervisor.alarms, supervisor.changes))
    return file.getvalue()


def _socket_by_descriptor(one: _socket.socket) -> tuple[Any, ...]:
    return _socket.socket, (one.family, one.type, one.proto, one.fileno())


def _epoll_by_descriptor(one: select.epoll) -> tuple[Any, ...]:
    return select.epoll.fromfd, (one.fileno(),)
