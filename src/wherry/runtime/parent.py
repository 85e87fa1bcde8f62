"""The parent's walk over the operations that are outside, and its answers to the child."""

from __future__ import annotations

import errno
import os

from wherry.errors import InvalidArgument, SystemFailure
from wherry.linux import ids, namespaces, prctl
from wherry.runtime import channel, ops
from wherry.runtime.failures import failure, operation_failure
from wherry.runtime.inside_process import own_streams

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from wherry.linux.ids import IdMap
    from wherry.runtime.channel import Channel
    from wherry.runtime.inside import Prepared
    from wherry.runtime.ops import Op
    from wherry.runtime.process import Process


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


class Parent:
    """The parent's walk over the operations that are outside, and its answers to the child."""

    def __init__(self, process: Process, link: Channel, operations: tuple[Op, ...], prepared: Prepared) -> None:
        self.process = process
        self.link = link
        self.operations = operations
        self.prepared = prepared
        self.namespaces: dict[object, int] = {}
        self.maps: tuple[tuple[IdMap, ...], tuple[IdMap, ...]] = ((), ())

    def bring_up(self, meanwhile: Callable[[Process], None] | None = None) -> None:
        late: list[Op] = []
        try:
            for operation in self.operations:
                if operation.outside:
                    action = _ACTIONS.get(type(operation))
                    if action is None:
                        late.append(operation)
                    else:
                        action(self, operation)
            self._converse(meanwhile)
        except channel.Closed:
            self._converse()  # the child gave up: it has said why
        finally:
            for descriptor in self.namespaces.values():
                os.close(descriptor)
        for operation in late:
            _LATE_ACTIONS[type(operation)](self, operation)

    def _converse(self, meanwhile: Callable[[Process], None] | None = None) -> None:
        """Answer the child until it is ready."""
        while True:
            try:
                kind, body, descriptors = self.link.receive()
            except channel.Closed:
                raise SystemFailure("create the container's process", "clone", errno.ECHILD) from None
            if kind == channel.READY:
                return
            if kind == channel.NAMESPACES:
                self.process.kept = dict(zip(self.prepared.keep, descriptors, strict=True))
                if meanwhile is not None:
                    meanwhile(self.process)
            elif kind == channel.CONSOLE:
                self.process.console = descriptors[0]
            elif kind == channel.HOOKS:
                self._run_hooks()
                self.link.send(channel.HOOKED)
            elif kind == channel.FAILED:
                raise failure(self.operations, body)

    def _run_hooks(self) -> None:
        from wherry.runtime import hooks

        found = self.process.hooks
        document = state_document(self.process.state, self.process.pid, "creating")
        for stage in ("prestart", "createRuntime"):
            hooks.run(stage, found.get(stage) or [], document)

    def nothing(self, operation: Op) -> None:
        """Done before the child was born."""

    def map_ids(self, operation: ops.MapIds) -> None:
        self.maps = operation.uids, operation.gids
        ids.write_maps(self.process.pid, operation.uids, operation.gids)
        self.link.send(channel.MAPPED, str(self.process.pid).encode())
        if self.prepared.stdio is not None and not self.process.terminal:
            user = next(one for one in self.operations if isinstance(one, ops.SetUser))
            own_streams(_host_id(operation.uids, user.uid), tuple(self.prepared.stdio.as_dict().values()))

    def open_trees(self, operation: ops.OpenTrees) -> None:
        from wherry.runtime import trees

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
                message = f"{operation.name}: the hard limit {prctl.limit_text(hard)} is above this host's {most}"
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


_ACTIONS: dict[type[Op], Callable[[Parent, Any], None]] = {
    ops.MakeCgroup: Parent.nothing,
    ops.Clone: Parent.nothing,
    ops.MapIds: Parent.map_ids,
    ops.OpenTrees: Parent.open_trees,
}
#: Done when the child is ready: a low limit of open files must not disturb it.
_LATE_ACTIONS: dict[type[Op], Callable[[Parent, Any], None]] = {
    ops.SetLimit: Parent.set_limit,
    ops.SetOomScore: Parent.set_oom_score,
}


def _host_id(maps: tuple[IdMap, ...], number: int) -> int:
    for one in maps:
        if one.container <= number < one.container + one.size:
            return one.host + number - one.container
    return -1
