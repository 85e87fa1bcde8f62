"""The process that `wherry.runtime.create` has made; what only its making needs is not loaded with it."""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]
import os

from wherry.errors import InvalidArgument
from wherry.runtime.child import Child

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from wherry.runtime.channel import Channel
    from wherry.runtime.ops import Op


class Process(Child):
    """A created container process, a child of the process that called `create`, which waits for it and calls `delete`
    at the end."""

    def __init__(
        self, pid: int, spec: dict[str, Any], operations: tuple[Op, ...], link: Channel, *, own_pids: bool
    ) -> None:
        super().__init__(pid)
        self.terminal = bool(spec["process"].get("terminal"))
        self.state: tuple[str, str] = ("", "")
        self._command = str(spec["process"]["args"][0])
        self.hooks: dict[str, Any] = spec.get("hooks") or {}
        self._operations = operations  # until it has started
        self._own_pids = own_pids
        self._link: Channel | None = link

    def start(self) -> None:
        """Let the process execute its command; returns after it has.

        Raises CommandNotFound, CannotInvoke (with Docker's words) or SystemFailure; then the process has ended, and
        `delete` is still the caller's to call.
        """
        from wherry.runtime import channel

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
        if kind in (channel.FAILED, channel.STUB):
            from wherry.runtime.failures import exec_failure, failure

            if kind == channel.FAILED:
                raise failure(self._operations, body)
            raise exec_failure(body[0], self._command)
        self._operations = ()
        self._run_hooks("poststart", "running")

    def delete(self) -> None:
        """Remove the cgroup and what is left in it; the process is killed if it still lives.  Does nothing twice."""
        if self.pidfd < 0:
            return
        self.kill(_signal.SIGKILL)
        self.wait()
        if self._link is not None:
            self._link.close()
        os.close(self.pidfd)
        self.pidfd = -1
        for descriptor in self.kept.values():
            os.close(descriptor)
        if self.cgroup is not None:
            if not self._own_pids:
                self.cgroup.kill()  # with pids of its own, nobody outlives the first process (pid_namespaces(7))
            self.cgroup.remove()
        self._run_hooks("poststop", "stopped")

    def _run_hooks(self, stage: str, status: str) -> None:
        found = self.hooks.get(stage)
        if found:
            from wherry.runtime import hooks
            from wherry.runtime.parent import state_document

            hooks.run_ignoring_failures(stage, found, state_document(self.state, self.pid, status))
