"""The user-defined networks of somebody who is not root: a `wherry.engine.network.Sandbox` whose host, as far as
bridges and rules are concerned, is the store's own network namespace (`wherry.engine.netns`).

Published ports are the host's, so bytes are copied from there into the namespace; a service sees the address of its
bridge as its client's.
"""

from __future__ import annotations

from wherry.engine import netns
from wherry.engine.network import Sandbox
from wherry.engine.user_network import host_address
from wherry.errors import WherryError
from wherry.linux.netns import enter
from wherry.network import usermode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from wherry.container.record import ContainerRecord
    from wherry.engine.engine import Engine
    from wherry.engine.netns import Netns
    from wherry.monitor.supervise import Supervisor
    from wherry.network.endpoint import Place
    from wherry.network.model import Endpoint
    from wherry.network.ports import Wanted
    from wherry.runtime.child import Child

_PAUSE = 1.0  # seconds until somebody looks again for a holder that could not be replaced


class UserBridges(Sandbox):
    """See `Sandbox` for when its methods are called."""

    early = False

    def __init__(self, engine: Engine, record: ContainerRecord) -> None:
        super().__init__(engine, record)
        self._netns: Netns | None = None

    @property
    def _there(self) -> Netns:
        if self._netns is None:
            self._netns = netns.join(self._engine)
        return self._netns

    def prepare(self) -> None:
        """As root's, in a namespace that is made first if need be."""
        with self._there:
            super().prepare()

    def connect(self, process: Child) -> None:
        """As root's."""
        with self._there:
            super().connect(process)

    def watch(self, pid: int, supervisor: Supervisor) -> None:
        """As root's, and replace the namespace's holder when somebody kills it."""
        with self._there as there:
            super().watch(pid, supervisor)
        supervisor.watch(there.connection.fileno(), self._holder_ended)

    def _holder_ended(self) -> None:
        assert self._supervisor is not None
        self._supervisor.unwatch(self._there.connection.fileno())
        self._replace_holder()

    def _replace_holder(self) -> None:
        assert self._supervisor is not None
        try:
            self._there.again()
        except WherryError:  # what it needs is not there now
            self._supervisor.later(_PAUSE, self._replace_holder)
        else:
            self._supervisor.watch(self._there.connection.fileno(), self._holder_ended)

    def _restore_rules(self) -> None:
        with self._there:
            super()._restore_rules()

    def _changed(self) -> None:
        with self._there:
            super()._changed()

    def release(self) -> None:
        """As root's."""
        if self._netns is not None and self._supervisor is not None:
            self._supervisor.unwatch(self._netns.connection.fileno())
        if self.ports:
            with self._there:
                super().release()
        else:
            super().release()

    def unplug(self) -> None:
        """Interfaces go with the container's namespace, and the bridges with theirs, which is not used any more."""
        if self._netns is not None:
            self._netns.close()
            self._netns = None

    def clean(self) -> None:
        """The same."""
        self.unplug()

    def _check_reach(self, wanted: Wanted, hosts: Sequence[str], place: Place) -> None:  # noqa: ARG002
        usermode.check(wanted.protocol)

    @staticmethod
    def _is_relayed(_address: str, _own: Endpoint) -> bool:
        return True

    @property
    def _serving(self) -> tuple[Any, ...]:
        return _serve, self._engine

    @property
    def gateway(self) -> str:
        """The host's own address on its way out: nothing of the host is in the namespace of the bridges."""
        return host_address() if super().gateway else ""


def _serve(listeners: Sequence[tuple[int, tuple[str, int]]], engine: Engine) -> None:
    """Copy bytes between sockets that the host has and those that this process makes from now on."""
    from wherry.network import relay

    there = netns.reach(engine)
    if there is None:
        return  # its holder is being replaced
    enter(there.fd)
    there.close()
    relay.serve(listeners)
