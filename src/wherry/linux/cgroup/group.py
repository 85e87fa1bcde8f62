"""One control group: made with its limits, joined, measured, emptied, removed.

What only setting limits needs is imported there: a process that joins a group has no use for it.
"""

from __future__ import annotations

import errno
import os
import time

from wherry.errors import Conflict, NotSupported, SystemFailure
from wherry.linux.cgroup.files import children, descend, read_int, read_table, read_text, write_file

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from wherry.linux.cgroup.layout import Layout
    from wherry.linux.cgroup.resources import Resources, Write
    from wherry.linux.cgroup.stats import Stats

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
#: What the kernel says to a user who may not.
REFUSED = (errno.EPERM, errno.EACCES, errno.EROFS)
#: Seconds to wait for processes that were killed to leave a group that is being removed.
_PATIENCE = 2.0


class Cgroup:
    """A container's control group, the same path in every hierarchy that this process may write to.

    ``path`` is what `open_cgroup` finds it by, ``""`` when there is none: an unprivileged user without delegation
    and without limits has no group, and every operation on it does nothing.
    """

    __slots__ = ("layout", "options", "path", "unified", "v1")

    def __init__(self, layout: Layout, path: str, v1_directories: Iterable[str], unified: str) -> None:
        self.layout = layout
        self.path = path
        self.v1: dict[str, str] = {mount: mount + path for mount in v1_directories} if path else {}
        self.unified = unified + path if unified and path else ""
        self.options: Mapping[str, str] | None = None

    def __repr__(self) -> str:
        return f"Cgroup({self.path!r}, {self.layout.version})"

    def directory(self, controller: str) -> str | None:
        """The group's directory in the hierarchy of a controller; None when the controller is not there."""
        mount = self.layout.controllers.get(controller)
        if mount is None:
            return None
        return self.unified or None if mount == self.layout.unified else self.v1.get(mount)

    def directories(self) -> list[str]:
        """The group's directory in each hierarchy."""
        return [*self.v1.values(), self.unified] if self.unified else list(self.v1.values())

    # Joining

    def join_fds(self) -> list[int]:
        """Descriptors of the v1 ``tasks`` files, closed on exec, the caller's to close.

        A single-threaded process that writes ``b"0"`` to each of them joins without waiting for an RCU grace period,
        which takes 5 to 12 ms when somebody else writes its pid to ``cgroup.procs``.
        """
        opened: list[int] = []
        try:
            for directory in self.v1.values():
                opened.append(os.open(directory + "/tasks", os.O_WRONLY | os.O_CLOEXEC))
        except OSError as error:
            for fd in opened:
                os.close(fd)
            raise SystemFailure("joining the cgroup", "open", error.errno or 0) from error
        return opened

    def into_fd(self) -> int | None:
        """A descriptor of the v2 directory for clone3(CLONE_INTO_CGROUP), closed on exec, the caller's to close."""
        return os.open(self.unified, _DIRECTORY) if self.unified else None

    def add(self, pid: int) -> None:
        """Move a whole process into the group, in every hierarchy.  Raises `SystemFailure`, `Conflict`."""
        for directory in self.directories():
            try:
                write_file(directory + "/cgroup.procs", str(pid))
            except OSError as error:
                if error.errno == errno.ESRCH:
                    raise Conflict(f"process {pid} has exited") from error
                if error.errno in (errno.EBUSY, errno.EOPNOTSUPP):
                    raise Conflict(f"cgroup {directory} cannot hold processes: it has child groups") from error
                raise SystemFailure(f"adding process {pid} to {directory}", "write", error.errno or 0) from error

    # Processes

    def pids(self) -> list[int]:
        """Every process in the group and in the groups below it, as seen from this process's pid namespace."""
        found: dict[int, None] = {}
        for directory in self.directories():
            for group in descend(directory):
                for line in read_text(group + "/cgroup.procs").split():
                    if line != "0":
                        found[int(line)] = None
        return list(found)

    def kill(self) -> None:
        """SIGKILL to every process in the group and below.  Returns when they are gone, or after two seconds."""
        if self.unified:
            try:
                write_file(self.unified + "/cgroup.kill", "1")
            except OSError:
                pass  # before Linux 5.14
        until = time.monotonic() + _PATIENCE
        while self.pids():
            frozen = self._freezer("FROZEN")  # takes hold one by one: what forks meanwhile is met the next time
            for pid in self.pids():
                try:
                    os.kill(pid, 9)
                except ProcessLookupError:
                    pass
            if frozen:
                self._freezer("THAWED")
            if time.monotonic() > until:
                return
            time.sleep(0.001)

    def freeze(self) -> None:
        """Stop every process in the group; returns when all are stopped.  Raises `NotSupported`, `Conflict`."""
        directory = self.directory("freezer")
        if directory is None and self.unified:
            self._freeze_unified(True)
        elif directory is None:
            raise NotSupported("this host has no freezer for control groups")
        else:
            until = time.monotonic() + 5
            delay = 0.0005
            while not self._freezer("FROZEN") or read_text(directory + "/freezer.state").strip() != "FROZEN":
                if time.monotonic() > until:
                    self._freezer("THAWED")
                    raise Conflict(f"cgroup {self.path} does not freeze")
                time.sleep(delay)
                delay = min(delay * 2, 0.05)

    def thaw(self) -> None:
        """Let frozen processes go on."""
        if self.directory("freezer") is not None:
            self._freezer("THAWED")
        elif self.unified:
            self._freeze_unified(False)

    def frozen(self) -> bool:
        """Whether `freeze` is in force."""
        directory = self.directory("freezer")
        if directory is not None:
            return read_text(directory + "/freezer.state").strip() in ("FROZEN", "FREEZING")
        return bool(self.unified) and read_table(self.unified + "/cgroup.events").get("frozen") == 1

    def _freezer(self, state: str) -> bool:
        directory = self.directory("freezer")
        if directory is None:
            return False
        try:
            write_file(directory + "/freezer.state", state)
        except OSError:
            return False
        return True

    def _freeze_unified(self, stop: bool) -> None:
        try:
            write_file(self.unified + "/cgroup.freeze", str(int(stop)))
        except OSError as error:
            raise NotSupported("this kernel cannot freeze a control group of version 2") from error
        until = time.monotonic() + 5
        while stop and not self.frozen():
            if time.monotonic() > until:
                write_file(self.unified + "/cgroup.freeze", "0")
                raise Conflict(f"cgroup {self.path} does not freeze")
            time.sleep(0.0005)

    # Limits

    def update(self, resources: Resources) -> None:
        """Change limits of a live group; what is not named stays.

        Raises `InvalidArgument`, `NotSupported`, `Conflict` (memory in use), naming the option.  Writes before the
        one that failed stay.
        """
        from wherry.linux.cgroup.plan import plan

        memory = resources.get("memory") or {}
        where = self.directory("memory")
        current = None
        if where and memory.get("limit") and self.layout.carrier("memory") == "v1":
            current = read_int(where + "/memory.limit_in_bytes")
        if memory.get("checkBeforeUpdate") and where and (memory.get("limit") or 0) > 0 and self.unified:
            used = read_int(where + "/memory.current")
            if used > memory["limit"]:
                raise Conflict(f"--memory: {memory['limit']} is below the {used} bytes in use")
        self.apply(plan(self.layout, resources, current))
        if resources.get("devices") is not None:
            self.set_devices(resources["devices"], fresh=False)

    def apply(self, writes: list[Write]) -> None:
        """Carry writes out in order.  Raises as `update` does."""
        from wherry.linux.cgroup import resources as limits

        late = []
        for write in writes:
            try:
                self._write(write)
            except OSError as error:
                if error.errno != errno.EINVAL:
                    raise limits.failure(write, error, self.options) from error
                late.append(write)  # such as a period that does not fit the quota that is about to change
        for write in late:
            try:
                self._write(write)
            except OSError as error:
                raise limits.failure(write, error, self.options) from error

    def _write(self, write: Write) -> None:
        from wherry.linux.cgroup import resources as limits

        directory = self.directory(write.controller)
        if directory is None:
            if write.optional:
                return None
            raise limits.missing(write, self.options)
        for file, value in ((write.file, write.value), *write.otherwise):
            try:
                return write_file(f"{directory}/{file}", value)
            except FileNotFoundError:
                continue
            except OSError as error:
                if write.optional and error.errno in (errno.EOPNOTSUPP, errno.EINVAL):
                    return None
                raise
        if write.optional:
            return None
        if self.unified and not privileged():
            why = f"the {write.controller} controller is not delegated to this user"
            raise limits.unprivileged(write.resource, self.options, why)
        raise limits.missing(write, self.options)

    def set_devices(self, wanted: Iterable[Mapping[str, object]] | None, *, fresh: bool) -> None:
        """Allow and deny devices; ``fresh`` says that the group has no rules of its own yet."""
        from wherry.linux.cgroup import devices

        default, rules = devices.effective(wanted)
        directory = self.directory("devices")
        if directory is not None and directory != self.unified:
            self._devices_v1(directory, devices.v1_commands(default, rules), fresh)
        elif self.unified:
            from wherry.linux.cgroup import ebpf

            try:
                ebpf.attach(self.unified, default, rules, fresh=fresh)
            except SystemFailure as error:
                # Outside the first user namespace no device node can be made, and only those that the caller may
                # open anyway can be bound: the filter would add nothing.
                if error.errno not in REFUSED or privileged():
                    raise

    def _devices_v1(self, directory: str, commands: list[tuple[str, str]], fresh: bool) -> None:
        from wherry.linux.cgroup import devices

        before = set() if fresh else devices.v1_listed(read_text(directory + "/devices.list"))
        try:
            if not fresh and commands and commands[0] == ("devices.deny", "a") and "a *:* r" not in before:
                wanted = devices.v1_listed("\n".join(value for _, value in commands[1:]))
                commands = [("devices.allow", value) for value in sorted(wanted - before)]
                commands += [("devices.deny", value) for value in sorted(before - wanted)]
            elif not fresh:
                commands = [("devices.allow", "a"), *commands]
            for file, value in commands:
                write_file(f"{directory}/{file}", value)
        except OSError as error:
            if error.errno not in REFUSED or privileged():
                raise SystemFailure("setting device rules", "write", error.errno or 0) from error

    # Figures

    def stats(self) -> Stats:
        """What the group has used so far."""
        from wherry.linux.cgroup.stats import collect

        return collect(self)

    def oom_kills(self) -> int:
        """How many of the group's processes the kernel has killed for want of memory."""
        directory = self.directory("memory")
        if directory is None:
            return 0
        file = "memory.events" if directory == self.unified else "memory.oom_control"
        return read_table(f"{directory}/{file}").get("oom_kill", 0)

    # The end

    def exists(self) -> bool:
        """Whether any part of the group is still there."""
        return any(os.path.isdir(directory) for directory in self.directories())

    def remove(self) -> None:
        """Remove the group and the empty groups that its processes left below it; none left is no error.

        Waits up to two seconds for killed processes to leave.  Raises `Conflict` when some stay.
        """
        delay, until = 0.0005, 0.0
        left = self.directories()
        while True:
            left = [directory for directory in left if not remove_tree(directory)]
            if not left:
                return
            now = time.monotonic()
            until = until or now + _PATIENCE
            if now > until:
                raise Conflict(
                    f"cgroup {left[0]} still has processes", hint="a process in it cannot be killed, or was added to it"
                )
            time.sleep(delay)
            delay = min(delay * 2, 0.05)


def remove_tree(directory: str) -> bool:
    """rmdir, children first where there are some.  False: still in use."""
    try:
        os.rmdir(directory)
    except FileNotFoundError:
        return True
    except OSError as error:
        if error.errno not in (errno.EBUSY, errno.ENOTEMPTY):
            raise SystemFailure(f"removing cgroup {directory}", "rmdir", error.errno or 0) from error
        below = children(directory)
        return bool(below) and _all_removed(below) and remove_tree(directory)
    return True


def _all_removed(directories: list[str]) -> bool:
    results = [remove_tree(directory) for directory in directories]  # each is tried, whatever became of the others
    return all(results)


def privileged() -> bool:
    """Root in the first user namespace."""
    return os.geteuid() == 0 and read_text("/proc/self/uid_map").split() == ["0", "0", "4294967295"]
