"""Creating a container: the side of the process that asks.

``create(spec, host=probe())`` returns when everything but execve(2) has been done; ``start()`` lets it happen.  Both
sides work at once: while the child makes file systems, the parent writes id maps and opens the trees that need its
privileges.  Whatever fails, nothing is left behind.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]
import errno
import os

from wherry.errors import CannotInvoke, CommandNotFound, InvalidArgument, SystemFailure, WherryError
from wherry.linux import cgroup as cgroups
from wherry.linux import ids, namespaces, prctl
from wherry.runtime import birth, channel, init, ops, trees
from wherry.runtime.execute import shield_link
from wherry.runtime.inside import Prepared, Stdio
from wherry.runtime.inside_process import own_streams
from wherry.runtime.plan import plan

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any, NoReturn

    from wherry.linux.cgroup import Cgroup
    from wherry.linux.host import Host
    from wherry.oci.mount import IdMap, Mount
    from wherry.runtime.channel import Channel
    from wherry.runtime.ops import Op

__all__ = ["Process", "Stdio", "create"]


class Process:
    """A created container process, a child of the process that called `create`.

    ``pid`` is its pid here, ``pidfd`` a descriptor of it (readable when it has ended), ``console`` the master of its
    terminal or None.  The caller waits for it (waitpid(2) or waitid(2) on the pidfd) and calls `delete` at the end.
    """

    def __init__(self, pid: int, spec: dict[str, Any], operations: tuple[Op, ...], link: Channel) -> None:
        self.pid = pid
        self.pidfd = os.pidfd_open(pid)
        self.console: int | None = None
        self.cgroup: Cgroup | None = None
        self.state: tuple[str, str] = ("", "")
        self._spec = spec
        self._operations = operations
        self._link: Channel | None = link

    def start(self) -> None:
        """Let the process execute its command; returns after it has.

        Raises CommandNotFound, CannotInvoke (with Docker's words) or SystemFailure; then the process has ended, and
        `delete` is still the caller's to call.
        """
        link = self._link
        if link is None:
            raise InvalidArgument("the container has been started already")
        try:
            link.send(channel.START)
            kind, body, _ = link.receive()
        except channel.Closed:
            kind = body = b""
        finally:
            link.close()
            self._link = None
        if kind == channel.FAILED:
            raise failure(self._operations, body)
        if kind == channel.STUB:
            raise exec_failure(body[0], str(self._spec["process"]["args"][0]))
        self._hooks("poststart", "running")

    def kill(self, signal: int) -> None:
        """Send a signal; no error when the process has ended."""
        try:
            _signal.pidfd_send_signal(self.pidfd, signal)
        except ProcessLookupError:
            pass

    def delete(self) -> None:
        """Remove the cgroup and what is left in it; the process is killed if it still lives.  Does nothing twice."""
        if self.pidfd < 0:
            return
        self.kill(_signal.SIGKILL)
        try:
            os.waitpid(self.pid, 0)
        except ChildProcessError:
            pass  # the caller has waited
        if self._link is not None:
            self._link.close()
        if self.console is not None:
            os.close(self.console)
            self.console = None
        os.close(self.pidfd)
        self.pidfd = -1
        if self.cgroup is not None:
            self.cgroup.kill()
            self.cgroup.remove()
        self._hooks("poststop", "stopped")

    def _hooks(self, stage: str, status: str) -> None:
        found = (self._spec.get("hooks") or {}).get(stage)
        if found:
            from wherry.runtime import hooks

            hooks.run_ignoring_failures(stage, found, state_document(self.state, self.pid, status))


def create(
    spec: Any,
    *,
    host: Host,
    rootfs: Mount | None = None,
    stdio: Stdio | None = None,
    extra_fds: Sequence[int] = (),
    container_id: str = "",
    bundle: str = "",
    cache_dir: str = "",
) -> Process:
    """Make the container of an OCI runtime specification, up to, not including, execve(2).

    ``stdio`` None: the caller's own standard streams.  ``extra_fds`` become 3, 4, ...  ``container_id`` and ``bundle``
    are what hooks are told; ``cache_dir`` keeps compiled seccomp filters ("": they are compiled each time).  The
    caller has a single thread and is the parent of the container's first process.

    Raises InvalidArgument, NotSupported or Forbidden for what the specification asks, and SystemFailure with the
    operation that failed; then nothing is left behind.
    """
    operations = plan(spec, host, rootfs, container_id=container_id, bundle=bundle)
    made = operations[0]
    assert isinstance(made, ops.MakeCgroup)
    group = cgroups.create(host.cgroups, made.path, made.resources)
    try:
        state = state_parts(spec, container_id, bundle)
        prepared = prepare(spec, operations, stdio, tuple(extra_fds), cache_dir, state, group.join_fds())
        return launch(spec, operations, prepared, group)
    except BaseException:
        group.kill()
        group.remove()
        raise


def prepare(
    spec: dict[str, Any],
    operations: tuple[Op, ...],
    stdio: Stdio | None,
    extra: tuple[int, ...],
    cache_dir: str,
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

        bpf = seccomp.filter_for(profile, cache_dir) if cache_dir else seccomp.compile(profile)
        program, flags = seccomp.prepare(bpf), seccomp.flags_of(profile)
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


def launch(spec: dict[str, Any], operations: tuple[Op, ...], prepared: Prepared, group: Cgroup | None) -> Process:
    """Give birth to the process and bring it to the point where it can be started."""
    ours, theirs = channel.pair()
    clone = next(operation for operation in operations if isinstance(operation, ops.Clone))
    through: list[tuple[int, int]] = []
    into = group.into_fd() if group is not None else None

    def body() -> NoReturn:
        ours.close()
        init.run(operations, theirs, prepared)

    try:
        if clone.through:
            through = birth.open_namespaces(clone.through)
        pid = birth.start(clone.new, clone.join, through, body, cgroup=into)
    except BaseException:
        ours.close()
        raise
    finally:
        theirs.close()
        birth.close(through)
        for descriptor in (*prepared.joins, prepared.shield, -1 if into is None else into):
            if descriptor >= 0:
                os.close(descriptor)
    try:
        process = Process(pid, spec, operations, ours)
        process.state = prepared.state
        process.cgroup = group
        _Parent(process, ours, operations, prepared).bring_up()
        return process
    except BaseException:
        os.kill(pid, _signal.SIGKILL)
        os.waitpid(pid, 0)
        ours.close()
        raise


class _Parent:
    """The parent's walk over the operations that are outside, and its answers to the child."""

    def __init__(self, process: Process, link: Channel, operations: tuple[Op, ...], prepared: Prepared) -> None:
        self.process = process
        self.link = link
        self.operations = operations
        self.prepared = prepared
        self.namespaces: dict[object, int] = {}
        self.maps: tuple[tuple[IdMap, ...], tuple[IdMap, ...]] = ((), ())

    def bring_up(self) -> None:
        late: list[Op] = []
        try:
            for operation in self.operations:
                if operation.outside:
                    action = _ACTIONS.get(type(operation))
                    if action is None:
                        late.append(operation)
                    else:
                        action(self, operation)
            self._converse()
        except channel.Closed:
            self._converse()  # the child gave up: it has said why
        finally:
            for descriptor in self.namespaces.values():
                os.close(descriptor)
        for operation in late:
            _LATE_ACTIONS[type(operation)](self, operation)

    def _converse(self) -> None:
        """Answer the child until it is ready."""
        while True:
            try:
                kind, body, descriptors = self.link.receive()
            except channel.Closed:
                raise SystemFailure("create the container's process", "clone", errno.ECHILD) from None
            if kind == channel.READY:
                return
            if kind == channel.CONSOLE:
                self.process.console = descriptors[0]
            elif kind == channel.HOOKS:
                self._run_hooks()
                self.link.send(channel.HOOKED)
            elif kind == channel.FAILED:
                raise failure(self.operations, body)

    def _run_hooks(self) -> None:
        from wherry.runtime import hooks

        found = self.process._spec.get("hooks") or {}
        document = state_document(self.process.state, self.process.pid, "creating")
        for stage in ("prestart", "createRuntime"):
            hooks.run(stage, found.get(stage) or [], document)

    def nothing(self, operation: Op) -> None:
        """Done before the child was born."""

    def map_ids(self, operation: ops.MapIds) -> None:
        self.maps = operation.uids, operation.gids
        ids.write_maps(self.process.pid, operation.uids, operation.gids)
        self.link.send(channel.MAPPED, str(self.process.pid).encode())
        if self.prepared.stdio is not None:
            user = next(one for one in self.operations if isinstance(one, ops.SetUser))
            own_streams(_host_id(operation.uids, user.uid), tuple(self.prepared.stdio.as_dict().values()))

    def open_trees(self, operation: ops.OpenTrees) -> None:
        opened: list[int] = []
        current: Op = operation
        try:
            for current in operation.trees:
                opened.append(trees.open_tree(current, self._namespace))
            self.link.send_trees(opened)
        except OSError as error:
            raise operation_failure(current, error) from None
        finally:
            for descriptor in opened:
                os.close(descriptor)

    def _namespace(self, uids: tuple[IdMap, ...], gids: tuple[IdMap, ...]) -> int:
        key = (uids, gids)
        if key not in self.namespaces:
            if not uids:
                path = f"/proc/{self.process.pid}/ns/user"
                self.namespaces[key] = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            else:
                self.namespaces[key] = namespaces.holder(uids, gids)
        return self.namespaces[key]

    def set_limit(self, operation: ops.SetLimit) -> None:
        soft, hard, pid = operation.soft, operation.hard, self.process.pid
        number = prctl.RESOURCES[operation.name]
        try:
            prctl.set_limit(number, soft, hard, pid)
        except OSError as error:
            if error.errno != errno.EPERM:
                raise operation_failure(operation, error) from None
            most = prctl.hard_limit(number, pid)
            if not operation.lenient:
                message = f"{operation.name}: the hard limit {hard} is above this host's {most}"
                raise InvalidArgument(message, hint="ask for less, or start with a higher limit (ulimit -H)") from None
            prctl.set_limit(number, min(soft, most), most, pid)

    def set_oom_score(self, operation: ops.SetOomScore) -> None:
        path = f"/proc/{self.process.pid}/oom_score_adj"
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
            try:
                if int(os.read(descriptor, 16)) != operation.score:
                    os.write(descriptor, str(operation.score).encode())
            finally:
                os.close(descriptor)
        except OSError as error:
            raise operation_failure(operation, error, "write") from None


_ACTIONS: dict[type[Op], Callable[[_Parent, Any], None]] = {
    ops.MakeCgroup: _Parent.nothing,
    ops.Clone: _Parent.nothing,
    ops.MapIds: _Parent.map_ids,
    ops.OpenTrees: _Parent.open_trees,
}
#: Done when the child is ready: a low limit of open files must not disturb it.
_LATE_ACTIONS: dict[type[Op], Callable[[_Parent, Any], None]] = {
    ops.SetLimit: _Parent.set_limit,
    ops.SetOomScore: _Parent.set_oom_score,
}


def _host_id(maps: tuple[IdMap, ...], number: int) -> int:
    for one in maps:
        if one.container <= number < one.container + one.size:
            return one.host + number - one.container
    return -1


def operation_failure(operation: Op, error: OSError, call: str = "") -> SystemFailure:
    """A failed call of an operation, with the kernel's own words where it had some."""
    return _worded(operation.describe(), getattr(error, "call", call), error.errno or 0, getattr(error, "message", ""))


def _worded(operation: str, call: str, code: int, words: str) -> SystemFailure:
    found = SystemFailure(operation, call, code)
    if words:
        found.message = f"{operation}: {words}"
        found.args = (found.message,)
    return found


def failure(operations: tuple[Op, ...], body: bytes) -> WherryError:
    """What the child reported, as an error."""
    number, call, code, words = channel.decode_failure(body)
    operation = operations[number]
    if isinstance(operation, ops.Execute) and words:
        return CommandNotFound(words) if code == errno.ENOENT else CannotInvoke(words)
    return _worded(operation.describe(), call, code, words)


def exec_failure(code: int, name: str) -> WherryError:
    """What the shield reported, as an error."""
    from wherry.runtime.execute import exec_words

    kind = CommandNotFound if code == errno.ENOENT else CannotInvoke
    return kind(exec_words(name, code))


def state_parts(spec: dict[str, Any], container_id: str, bundle: str) -> tuple[str, str]:
    """The hooks' state document without status and pid; empty when there are no hooks."""
    if not spec.get("hooks"):
        return "", ""
    from wherry.fastjson import dumps

    known = {"ociVersion": spec.get("ociVersion", "1.2.0"), "id": container_id, "bundle": bundle}
    known["annotations"] = spec.get("annotations") or {}
    return dumps(known)[:-1] + ',"status":"creating","pid":', "}"


def state_document(parts: tuple[str, str], pid: int, status: str) -> bytes:
    """The state document of the runtime specification (runtime.md, "State")."""
    before, after = parts
    return f"{before}{pid}{after}".replace('"status":"creating"', f'"status":"{status}"').encode()
