"""Making and entering namespaces: clone3(2), unshare(2), setns(2)."""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]
import errno
import os
from _struct import pack

from wherry.linux import ids, syscall
from wherry.linux.syscall import call

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import NoReturn

    from wherry.linux.ids import IdMap

CLONE_NEWTIME = 0x00000080
CLONE_NEWNS = 0x00020000
CLONE_NEWCGROUP = 0x02000000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000

CLONE_PARENT = 0x00008000
_CLONE_PIDFD = 0x00001000
_CLONE_INTO_CGROUP = 0x200000000

#: Names of the runtime specification → clone(2) flags, in the order in which they are entered.
FLAGS: dict[str, int] = {
    "user": CLONE_NEWUSER,
    "ipc": CLONE_NEWIPC,
    "uts": CLONE_NEWUTS,
    "network": CLONE_NEWNET,
    "pid": CLONE_NEWPID,
    "cgroup": CLONE_NEWCGROUP,
    "time": CLONE_NEWTIME,
    "mount": CLONE_NEWNS,
}
#: Names of the runtime specification → names in ``/proc/PID/ns``.
FILES: dict[str, str] = {name: name for name in ("user", "ipc", "uts", "pid", "cgroup", "time")} | {
    "network": "net",
    "mount": "mnt",
}
#: Kernel parameters that each IPC namespace has for itself, besides ``fs.mqueue.*`` (ipc_namespaces(7)).
IPC_SYSCTLS = tuple(
    f"kernel.{name}" for name in "msgmax msgmnb msgmni sem shmall shmmax shmmni shm_rmid_forced".split()
)

_SIGCHLD = 17
_NS_GET_USERNS = 0xB701


def clone(flags: int, *, cgroup: int | None = None) -> int:
    """Fork into new namespaces: the child's pid in the parent, 0 in the child (clone3(2)).

    ``cgroup`` is a descriptor of a cgroup v2 directory to be born in.  The caller has a single thread.  Where clone3
    is not available the older clone(2) is used, and then ``cgroup`` raises ENOSYS.
    """
    signal = 0 if flags & CLONE_PARENT else _SIGCHLD
    wide = flags | (_CLONE_INTO_CGROUP if cgroup is not None else 0)
    arguments = pack("=11Q", wide, 0, 0, 0, signal, 0, 0, 0, 0, 0, cgroup or 0)
    syscall.before_fork()
    pid = -1
    try:
        try:
            pid = syscall.call_holding_lock("clone3", arguments, len(arguments))
        except OSError as error:
            if error.errno != errno.ENOSYS or cgroup is not None:
                raise
            pid = syscall.call_holding_lock("clone", flags | signal, 0, 0, 0, 0)
    finally:
        if pid == 0:
            syscall.after_fork_child()
        else:
            syscall.after_fork_parent()
    return pid


def unshare(flags: int) -> None:
    """unshare(2)."""
    call("unshare", flags)


def enter(descriptor: int, flags: int = 0) -> None:
    """setns(2)."""
    call("setns", descriptor, flags)


def holder(uids: Sequence[IdMap], gids: Sequence[IdMap]) -> int:
    """A descriptor of a new user namespace with these maps, which nobody lives in."""
    return held(uids, gids)[0]


def held(uids: Sequence[IdMap], gids: Sequence[IdMap], *more: str) -> list[int]:
    """Descriptors of a new user namespace and of others that belong to it, by their names in ``/proc/PID/ns``."""
    flags = CLONE_NEWUSER
    for name, file in FILES.items():
        flags |= FLAGS[name] if file in more else 0
    read, write = os.pipe()
    pid = clone(flags)
    if pid == 0:
        os.close(write)
        os.read(read, 1)
        os._exit(0)
    os.close(read)
    try:
        ids.write_maps(pid, uids, gids)
        return [os.open(f"/proc/{pid}/ns/{file}", os.O_RDONLY | os.O_CLOEXEC) for file in ("user", *more)]
    finally:
        os.close(write)
        os.waitpid(pid, 0)


def owner(descriptor: int) -> int:
    """A descriptor of the user namespace that a namespace belongs to (ioctl_ns(2))."""
    from fcntl import ioctl

    return int(ioctl(descriptor, _NS_GET_USERNS))


def in_user_namespace(maps: tuple[Sequence[IdMap], Sequence[IdMap]], function: Callable[[], int]) -> int:
    """Run ``function`` as `start_in_user_namespace` does, and return what it returns (0-255).

    Death by signal n becomes 128+n.
    """
    _, status = os.waitpid(start_in_user_namespace(maps, function), 0)
    return os.WEXITSTATUS(status) if os.WIFEXITED(status) else 128 + os.WTERMSIG(status)


def start_in_user_namespace(maps: tuple[Sequence[IdMap], Sequence[IdMap]], function: Callable[[], int]) -> int:
    """Begin to run ``function`` as id 0 of a new user and mount namespace with the given (uid, gid) maps.

    The caller has a single thread; ``function`` runs in a child, whose pid is returned and which is the caller's to
    wait for; its exit status is what ``function`` returns.  An exception is written to standard error by the
    interpreter's own hook and becomes 1.  Raises what `ids.write_maps` raises, and `CallError` where namespaces cannot
    be made.
    """
    read, write = os.pipe()
    pid = clone(CLONE_NEWUSER | CLONE_NEWNS)
    if pid == 0:
        _run_and_exit(function, read, write)
    os.close(read)
    try:
        ids.write_maps(pid, *maps)
        os.write(write, b"m")
    except BaseException:
        os.close(write)
        os.waitpid(pid, 0)
        raise
    os.close(write)
    return pid


def start(flags: int, function: Callable[[], int]) -> int:
    """Begin to run ``function`` in a child with new namespaces (``flags``, or none): see `start_in_user_namespace`."""
    pid = clone(flags)
    if pid == 0:
        _run(function)
    return pid


def _run_and_exit(function: Callable[[], int], read: int, write: int) -> NoReturn:
    """Become id 0 when the maps are there, and run ``function``."""

    def run() -> int:
        os.close(write)
        mapped = os.read(read, 1) == b"m"
        os.close(read)
        if not mapped:
            return 1
        os.setresgid(0, 0, 0)
        os.setresuid(0, 0, 0)
        return function()

    _run(run)


def _run(function: Callable[[], int]) -> NoReturn:
    code = 1
    try:
        _signal.signal(_signal.SIGTERM, _signal.SIG_DFL)
        _signal.signal(_signal.SIGHUP, _signal.SIG_DFL)
        code = function()
    except BaseException as error:
        import sys

        sys.excepthook(type(error), error, error.__traceback__)
    finally:
        try:
            import sys

            sys.stdout.flush()
            sys.stderr.flush()
        finally:
            os._exit(code & 0xFF)
