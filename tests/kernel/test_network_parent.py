"""`wherry.network.parent`: VLANs and other interfaces that networks lie on, in a network namespace of their own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from support.netns import Namespace
from wherry.errors import WherryError
from wherry.linux import links
from wherry.linux.netlink import Socket
from wherry.network import parent
from wherry.network.model import Network

pytestmark = pytest.mark.needs("root", "iproute2", "vlan")

ID = "0123456789abcdef" * 4


@pytest.fixture
def socket() -> Iterator[Socket]:
    """Speaks for a namespace with the interface d0, up."""
    namespace = Namespace()
    with namespace.call(Socket) as socket:
        socket.do(links.bridge("d0"), links.up("d0"))
        yield socket
    namespace.close()


def on(name: str, driver: str = "macvlan") -> Network:
    return Network(ID, "n", driver, parent=name)


def test_a_vlan_is_made_once_and_goes_with_its_label(socket: Socket) -> None:
    parent.make(socket, on("d0.7"), "mine")
    parent.make(socket, on("d0.7"), "another's")
    made = links.find(socket, "d0.7")
    assert made is not None and (made.kind, made.up, made.alias) == ("vlan", True, "mine")
    parent.remove(socket, "d0.7", "another's")
    assert links.find(socket, "d0.7") is not None
    parent.remove(socket, "d0.7", "mine")
    parent.remove(socket, "d0.7", "mine")
    assert links.find(socket, "d0.7") is None


@pytest.mark.parametrize(("driver", "name"), [("macvlan", f"dm-{ID[:12]}"), ("ipvlan", f"di-{ID[:12]}")])
def test_without_a_parent_there_is_one_that_leads_nowhere(socket: Socket, driver: str, name: str) -> None:
    parent.make(socket, on("", driver), "mine")
    made = links.find(socket, name)
    assert made is not None and (made.kind, made.up, made.alias) == ("dummy", True, "mine")
    parent.remove(socket, name, "mine")
    assert links.find(socket, name) is None


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("d0.8", "VLAN 8 of d0 is there by another name"),
        ("lo.8", "the interface lo cannot have VLANs"),
        ("d1.8", "the interface d1 is down, and so would its VLAN 8 be"),
        ("d2.8", "-o parent interface was not found on the host: d2"),
        ("d0.0", "vlan id must be between 1-4094, received: 0"),
        ("d0.4095", "vlan id must be between 1-4094, received: 4095"),
    ],
)
def test_what_cannot_be_is_told_and_leaves_nothing(socket: Socket, name: str, message: str) -> None:
    index = links.find(socket, "d0")
    assert index is not None
    socket.do(links.vlan("other", index.index, 8), links.bridge("d1"))
    before = links.links(socket)
    with pytest.raises(WherryError) as caught:
        parent.make(socket, on(name), "mine")
    assert caught.value.message == message
    assert links.links(socket) == before
