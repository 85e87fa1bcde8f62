"""`wherry.network.parent`: VLANs and other interfaces that networks lie on, in a network namespace of their own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from support.netns import Namespace
from wherry.errors import WherryError
from wherry.linux import links
from wherry.linux.netlink import Socket
from wherry.network import parent
from wherry.network.model import Network

pytestmark = pytest.mark.needs("root", "iproute2", "vlan")

ID = "0123456789abcdef" * 4
MINE, OTHERS = parent.label_of("wherry"), parent.label_of("wherry-01234567")


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
    parent.make(socket, on("d0.7"), MINE)
    parent.make(socket, on("d0.7"), OTHERS)
    made = links.find(socket, "d0.7")
    assert made is not None and (made.kind, made.up, made.alias) == ("vlan", True, f"{MINE}, {OTHERS}")
    parent.make(socket, on("d0.7"), OTHERS)
    parent.remove(socket, "d0.7", MINE)
    parent.remove(socket, "d0.7", MINE)
    made = links.find(socket, "d0.7")
    assert made is not None and made.alias == OTHERS
    assert (parent.is_ready(socket, on("d0.7"), OTHERS), parent.is_ready(socket, on("d0.7"), MINE)) == (True, False)
    parent.remove(socket, "d0.7", OTHERS)
    parent.remove(socket, "d0.7", OTHERS)
    assert links.find(socket, "d0.7") is None


@pytest.mark.parametrize("alias", ["", "uplink", "wherry network and more"])
def test_what_was_there_stays_as_it_is(socket: Socket, alias: str) -> None:
    master = links.find(socket, "d0")
    assert master is not None
    socket.do(links.vlan("d0.7", master.index, 7), links.label("d0.7", alias))
    parent.make(socket, on("d0.7"), MINE)
    assert parent.is_ready(socket, on("d0.7"), MINE)
    parent.remove(socket, "d0.7", MINE)
    made = links.find(socket, "d0.7")
    assert made is not None and made.alias == alias


class Killed(BaseException):
    """In the place of SIGKILL: what the kernel was told it has done."""


@pytest.mark.survival
@pytest.mark.parametrize("name", ["d0.7", ""])
def test_whoever_is_killed_leaves_none_without_a_label(
    socket: Socket, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """After each message that is sent the interface is not there, or is known for what it is."""
    send, left = Socket._send, 0

    def killed(self: Socket, *arguments: Any) -> int:
        nonlocal left
        number = send(self, *arguments)
        left -= 1
        if not left:
            raise Killed
        return number

    for count in range(1, 20):
        left = count
        with monkeypatch.context() as patched:
            patched.setattr(Socket, "_send", killed)
            try:
                parent.make(socket, on(name), MINE)
                break
            except Killed:
                pass
        socket._socket.setblocking(False)
        while True:
            try:
                socket._socket.recv(1 << 16)
            except BlockingIOError:
                break
        socket._socket.settimeout(10)
        made = links.find(socket, on(name).lower)
        assert made is None or made.alias == MINE
        parent.remove(socket, on(name).lower, MINE)
    assert 2 < count < 19
    made = links.find(socket, on(name).lower)
    assert made is not None and made.up


def test_somebody_who_makes_it_at_the_same_time_keeps_it(socket: Socket, monkeypatch: pytest.MonkeyPatch) -> None:
    master = links.find(socket, "d0")
    assert master is not None
    do = Socket.do

    def late(self: Socket, *messages: Any) -> None:
        monkeypatch.undo()
        do(self, links.vlan("d0.7", master.index, 7))
        do(self, *messages)

    monkeypatch.setattr(Socket, "do", late)
    with pytest.raises(WherryError):
        parent.make(socket, on("d0.7"), MINE)
    made = links.find(socket, "d0.7")
    assert made is not None and made.alias == ""


@pytest.mark.parametrize(("driver", "name"), [("macvlan", f"dm-{ID[:12]}"), ("ipvlan", f"di-{ID[:12]}")])
def test_without_a_parent_there_is_one_that_leads_nowhere(socket: Socket, driver: str, name: str) -> None:
    parent.make(socket, on("", driver), MINE)
    made = links.find(socket, name)
    assert made is not None and (made.kind, made.up, made.alias) == ("dummy", True, MINE)
    parent.remove(socket, name, MINE)
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
        parent.make(socket, on(name), MINE)
    assert caught.value.message == message
    assert links.links(socket) == before
