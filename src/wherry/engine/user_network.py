"""The network of one container of somebody who is not root: the same steps as a `wherry.engine.network.Sandbox`.

Instead of bridges and rules there is a program that the monitor starts (`wherry.network.usermode`), so containers reach
each other by published ports alone.  User-defined networks are `wherry.engine.user_bridges`.
"""

from __future__ import annotations

import _socket
import os

from wherry.engine import bridges
from wherry.engine.places import DEFAULT
from wherry.engine.publishing import host_addresses, published, wanted_ports
from wherry.network import ports, usermode
from wherry.network.endpoint import Place
from wherry.network.model import Endpoint, PublishedPort, from_row, to_json
from wherry.store import networks

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wherry.container.record import ContainerRecord
    from wherry.engine.engine import Engine
    from wherry.engine.network import Sandbox
    from wherry.monitor.supervise import Supervisor
    from wherry.network.model import Network
    from wherry.network.ports import Held
    from wherry.network.usermode import Program, Running
    from wherry.runtime.child import Child

_PAUSE = 1.0  # seconds before a program that was killed is started again


class UserSandbox:
    """See `wherry.engine.network.Sandbox` for when its methods are called."""

    resolver = usermode.RESOLVER
    namespaces = ("user", "net")
    early = False  # what is needed of the process comes when it is made
    networks: tuple[Network, ...] = ()  # none that knows names
    addresses = (usermode.ADDRESS,)

    def __init__(self, engine: Engine, record: ContainerRecord) -> None:
        self._engine = engine
        self._record = record
        self._held: list[Held] = []
        self._ports: tuple[PublishedPort, ...] = ()
        self._program: Program | None = None
        self._running: Running | None = None
        self._where = ("", "")
        self._pidfd = -1
        self._supervisor: Supervisor | None = None

    def prepare(self) -> None:
        """See that the ports can be had.  Raises `Conflict` for one that is taken, `NotSupported` without a program."""
        self._program = usermode.find()
        if self._program is None:
            raise usermode.needed()
        db = self._engine.db
        try:
            with db.transaction():
                for row in networks.endpoints_of(db, self._record.id):
                    network = from_row(networks.find(db, row.network_id))
                    own = Endpoint(
                        row.id, network.id, self._record.id, interface=usermode.INTERFACE,
                        ipv4=f"{usermode.ADDRESS}/{usermode.PREFIX}", gateway=usermode.GATEWAY,
                    )  # fmt: skip
                    networks.activate(db, row.id, "", "", to_json(own))
                    self._take_ports(Place(network, own))
        finally:
            self._let_go()

    def _take_ports(self, place: Place) -> None:
        taken: list[PublishedPort] = []
        for wanted in wanted_ports(self._record):
            hosts = host_addresses(wanted, place, relayed=False)
            for address in hosts:
                port = published(wanted, address, wanted.first, place, self._record.id)
                usermode.check(port.protocol)
            if wanted.first and wanted.first == wanted.last:
                bridges.check_ports(self._engine, wanted.protocol, hosts, wanted.first)
            held = ports.hold(wanted, hosts)
            self._held.append(held)
            taken += [published(wanted, address, held.port, place, self._record.id) for address in hosts]
        networks.add_ports(self._engine.db, [networks.PortRow(**port.as_dict()) for port in taken])
        self._ports = tuple(taken)

    def connect(self, process: Child) -> None:
        """Start the program, which takes the ports over."""
        own = f"/proc/{os.getpid()}/fd"
        self._where = f"{own}/{process.kept['user']}", f"{own}/{process.kept['net']}"
        self._start()

    def _start(self) -> None:
        assert self._program is not None
        directory = self._engine.layout.run_container(self._record.id)
        self._running = usermode.start(self._program, *self._where, directory, self._ports)

    def watch(self, pid: int, supervisor: Supervisor) -> None:  # noqa: ARG002
        """Start the program again when it ends before the container does."""
        self._supervisor = supervisor
        self._look()

    def _look(self) -> None:
        if self._running is None or self._supervisor is None:
            return
        self._pidfd = os.pidfd_open(self._running.pid)
        self._supervisor.watch(self._pidfd, self._ended)

    def _ended(self) -> None:
        assert self._supervisor is not None
        self._supervisor.unwatch(self._pidfd)
        self._close()
        self._supervisor.later(_PAUSE, self._again)

    def _again(self) -> None:
        from wherry.errors import WherryError

        assert self._supervisor is not None
        try:
            self._start()
        except WherryError:  # what it needs is not there now
            self._supervisor.later(_PAUSE, self._again)
        else:
            self._look()

    def _close(self) -> None:
        if self._running is not None:
            self._running.close()
            self._running = None
        if self._pidfd >= 0:
            os.close(self._pidfd)
            self._pidfd = -1

    def release(self) -> None:
        """End the program; the ports are free."""
        self._close()
        networks.deactivate(self._engine.db, self._record.id)

    def _let_go(self) -> None:
        """The ports are the program's to take; the container's process would keep them from it until it executes."""
        for held in self._held:
            for _address, socket in held.sockets:
                if socket is not None:
                    socket.close()
        self._held.clear()

    def unplug(self) -> None:
        """Nothing: the interface went with the program."""

    def clean(self) -> None:
        """Nothing."""

    @property
    def gateway(self) -> str:
        """The host's own address on its way out, which containers reach; "" without one."""
        return host_address()


def sandbox(engine: Engine, record: ContainerRecord) -> UserSandbox | Sandbox:
    """What looks after the networks of a container of somebody who is not root."""
    if record.options.network_mode == DEFAULT:
        return UserSandbox(engine, record)
    from wherry.engine.user_bridges import UserBridges

    return UserBridges(engine, record)


def host_address() -> str:
    """The host's own address on its way out, which containers reach; "" without one."""
    probe = _socket.socket(_socket.AF_INET, _socket.SOCK_DGRAM | _socket.SOCK_CLOEXEC, 0)
    try:
        probe.connect(("192.0.2.1", 9))  # of TEST-NET-1 (RFC 5737); nothing is sent
        return str(probe.getsockname()[0])
    except OSError:
        return ""
    finally:
        probe.close()
