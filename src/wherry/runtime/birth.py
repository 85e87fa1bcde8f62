"""Starting a process in new and existing namespaces."""

from __future__ import annotations

import errno
import os
from _struct import pack, unpack

from wherry.errors import NotFound, NotSupported, SystemFailure
from wherry.linux import namespaces, prctl
from wherry.linux.namespaces import CLONE_PARENT, FILES, FLAGS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import NoReturn


def open_namespaces(paths: tuple[tuple[str, str], ...]) -> list[tuple[int, int]]:
    """(descriptor, flag) for each (name, path).  Raises NotFound or SystemFailure, and closes what it opened."""
    found: list[tuple[int, int]] = []
    for name, path in paths:
        try:
            found.append((os.open(path, os.O_RDONLY | os.O_CLOEXEC), FLAGS[name]))
        except OSError as error:
            close(found)
            if error.errno == errno.ENOENT:
                raise NotFound("namespace", path, f"the {name} namespace {path} does not exist") from None
            raise SystemFailure(f"open the {name} namespace {path}", "open", error.errno or 0) from None
    return found


def close(opened: list[tuple[int, int]]) -> None:
    """Close the descriptors of `open_namespaces`."""
    for descriptor, _ in opened:
        os.close(descriptor)


def start(
    new: tuple[str, ...],
    join: tuple[tuple[str, str], ...],
    through: list[tuple[int, int]],
    body: Callable[[], NoReturn],
    *,
    cgroup: int | None = None,
    oom_score: int | None = None,
    aside: Callable[[], None] = lambda: None,
) -> int:
    """Start ``body`` in a child of this process and return its pid.  Raises SystemFailure, NotFound, NotSupported.

    ``through`` are opened namespaces, or a process with all of its own, to be born in for good.  ``cgroup`` is a cgroup
    v2 directory to be born in; where the kernel cannot do that the child is born outside and its pid has to be added.
    A child born through namespaces is out of reach of the processes in them from the start (CVE-2019-5736); nobody can
    change its ``oom_score`` from then on, so it is set before.  This process has nothing to do while another is at
    work: it calls ``aside`` meanwhile.
    """
    flags = 0
    for name in new:
        flags |= FLAGS[name]
    if through or join:
        prctl.set_arguments(b"wherry")  # a child is seen by those who are there from its first moment
    if through:
        pid = None if flags else _visiting(through, body, cgroup, oom_score)
        if pid is None:
            return _through(flags, through, body, cgroup, oom_score, aside)
        aside()
        return pid
    if join:
        return _joined(flags, join, body, cgroup)
    pid = _clone(flags, cgroup)
    if pid == 0:
        body()
    return pid


def _joined(flags: int, join: tuple[tuple[str, str], ...], body: Callable[[], NoReturn], cgroup: int | None) -> int:
    """Enter namespaces, give birth, and come back."""
    joining = open_namespaces(join)
    returning: list[tuple[int, int]] = []
    entered = 0
    try:
        returning = open_namespaces(tuple((name, f"/proc/self/ns/{FILES[name]}") for name, _ in join))
        for descriptor, flag in joining:
            _enter(descriptor, flag)
            entered += 1
        pid = _clone(flags, cgroup)
        if pid == 0:
            body()
        return pid
    finally:
        for descriptor, flag in returning[:entered]:
            namespaces.enter(descriptor, flag)
        close(joining)
        close(returning)


def _clone(flags: int, cgroup: int | None) -> int:
    try:
        return namespaces.clone(flags, cgroup=cgroup)
    except OSError as error:
        code = error.errno or 0
        if cgroup is not None and code in (errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP, errno.EBUSY, errno.EACCES):
            return _clone(flags, None)
        hint = ""
        if code == errno.ENOSPC:
            hint = "the limit of namespaces is reached: see /proc/sys/user/max_*_namespaces"
        elif code in (errno.EPERM, errno.EACCES) and flags & namespaces.CLONE_NEWUSER:
            hint = "this host does not let unprivileged users make user namespaces"
        raise SystemFailure("create the container's namespaces", "clone", code, hint=hint) from None


def _enter(descriptor: int, flag: int) -> None:
    try:
        namespaces.enter(descriptor, flag)
    except OSError as error:
        name = next(name for name, value in FLAGS.items() if value == flag)
        raise SystemFailure(f"join the {name} namespace", "setns", error.errno or 0) from None


#: What the processes of a pid namespace see of each other is their mounts and their network.
_SEEN = ("pid", "network", "mount")


def _visiting(
    through: list[tuple[int, int]], body: Callable[[], NoReturn], cgroup: int | None, oom_score: int | None
) -> int | None:
    """Enter what the child must be born in, give birth, and come back; the child enters the rest by itself.

    None where this process may not, or might not come back: that takes the host's root, and one process less.
    """
    own: list[tuple[int, int]] = []
    try:
        own = open_namespaces(tuple((name, f"/proc/self/ns/{FILES[name]}") for name in _SEEN))
        own.append((os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC), 0))
        _be_at(own)
    except OSError:
        close(own)
        return None
    seen = sum(FLAGS[name] for name in _SEEN)
    before = None if oom_score is None else _set_oom_score(oom_score)
    try:
        prctl.set_dumpable(False)
        for descriptor, flag in through:
            if flag & seen:
                namespaces.enter(descriptor, flag & seen)
        pid = _clone_inside(0, cgroup)
        if pid == 0:
            _be_born(through, ~seen, body)
    except OSError as error:
        raise SystemFailure("join the container's namespaces", "setns", error.errno or 0) from None
    finally:
        _be_at(own)
        close(own)
        prctl.set_dumpable(True)
        if before is not None:
            _set_oom_score(before)
    return pid


def _be_at(own: list[tuple[int, int]]) -> None:
    """Enter these namespaces, then the root directory, which entering a mount namespace changes.  Raises OSError."""
    for descriptor, flag in own[:-1]:
        namespaces.enter(descriptor, flag)
    os.fchdir(own[-1][0])
    os.chroot(".")


def _be_born(through: list[tuple[int, int]], flags: int, body: Callable[[], NoReturn]) -> NoReturn:
    try:
        for descriptor, flag in through:
            if flag & flags:
                namespaces.enter(descriptor, flag & flags)
        body()
    finally:
        os._exit(1)


def _through(
    flags: int,
    through: list[tuple[int, int]],
    body: Callable[[], NoReturn],
    cgroup: int | None,
    oom_score: int | None,
    aside: Callable[[], None],
) -> int:
    """A process in between enters the namespaces and gives birth to a sibling, a child of this process."""
    read, write = os.pipe()
    try:
        between = _clone(0, None)
        if between == 0:
            _be_between(flags, through, body, cgroup, write, oom_score)
        os.close(write)
        write = -1
        try:
            aside()
        finally:
            os.waitpid(between, 0)
        answer = os.read(read, 16)
    finally:
        os.close(read)
        if write >= 0:
            os.close(write)
    if len(answer) < 12:
        raise SystemFailure("join the container's namespaces", "clone", errno.ESRCH)
    pid, step, code = unpack("=iii", answer)
    if pid < 0:
        raise SystemFailure("join the container's namespaces", "clone" if step else "setns", code)
    if pid == 0:
        raise NotSupported("the process in between gave no pid")
    return int(pid)


def _be_between(
    flags: int,
    through: list[tuple[int, int]],
    body: Callable[[], NoReturn],
    cgroup: int | None,
    write: int,
    oom_score: int | None,
) -> NoReturn:
    step = 0
    pid = -1
    try:
        if oom_score is not None:
            _set_oom_score(oom_score)
        prctl.set_dumpable(False)
        for descriptor, flag in through:
            namespaces.enter(descriptor, flag)
        step = 1
        pid = _clone_inside(flags | CLONE_PARENT, cgroup)
        if pid == 0:
            os.close(write)
            body()
        os.write(write, pack("=iii", pid, step, 0))
    except OSError as error:
        os.write(write, pack("=iii", -1, step, error.errno or 0))
    finally:
        os._exit(0)


def _set_oom_score(score: int) -> int:
    """What it was before."""
    descriptor = os.open("/proc/self/oom_score_adj", os.O_RDWR | os.O_CLOEXEC)
    before = int(os.read(descriptor, 16))
    if before != score:
        os.write(descriptor, str(score).encode())
    os.close(descriptor)
    return before


def _clone_inside(flags: int, cgroup: int | None) -> int:
    try:
        return namespaces.clone(flags, cgroup=cgroup)
    except OSError:
        if cgroup is None:
            raise
        return namespaces.clone(flags)
