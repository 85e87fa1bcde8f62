"""The interfaces of the host that this store's macvlan and ipvlan networks lie on (`wherry.network.parent`)."""

from __future__ import annotations

from wherry.engine.bridges import CHILDREN, alone, host_lock
from wherry.linux import links
from wherry.linux.netlink import Socket
from wherry.network import parent
from wherry.network.firewall import table_name
from wherry.network.model import from_row
from wherry.store import networks

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wherry.engine.engine import Engine
    from wherry.network.model import Network


def is_ready(engine: Engine, host: Socket, network: Network) -> bool:
    """Whether a network's is there, and noted as one that this store uses."""
    return parent.is_ready(host, network, _label(engine))


def make(engine: Engine, host: Socket, network: Network) -> None:
    """Make a network's, unless it is there; the caller holds `host_lock`.  Raises what `parent.make` does."""
    parent.make(host, network, _label(engine))


def remove(engine: Engine, host: Socket, name: str) -> None:
    """Remove one if no network of this store lies on it any more, and it was made here and for nobody else."""
    if name not in _used(engine):
        with host_lock(engine):
            parent.remove(host, name, _label(engine))


def forgotten(engine: Engine) -> list[str]:
    """Those that were made for networks of this store, of which none lies on them."""
    with alone(engine), Socket() as host:
        label = _label(engine)
        return sorted({link.name for link in links.links(host) if label in parent.labels(link)} - _used(engine))


def _used(engine: Engine) -> set[str]:
    return {one.lower for one in map(from_row, networks.list_all(engine.db)) if one.driver in CHILDREN}


def _label(engine: Engine) -> str:
    return parent.label_of(table_name(engine.paths.root))
